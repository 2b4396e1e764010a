"""``envc tag``."""

from __future__ import annotations

from envc.cli import lazy_click as click
from envc.cli import options
from envc.cli.documents_upkeep import TagsDocument
from envc.cli.output import print_json
from envc.cli.progress import Terminal
from envc.errors import UsageError
from envc.locking.plan.project import Selection
from envc.pipeline import upkeep
from envc.pipeline.project import open_project


@click.command("tag")
@click.argument("name", required=False)
@options.manifest_option()
@options.store_option()
@click.option("--move", is_flag=True, help="Let a name that stands for another lock stand for this one.")
@click.option("--delete", is_flag=True, help="Remove the tag.")
@options.quiet_option()
@options.json_option()
def command(
    name: str | None, manifest: str | None, store: str | None, move: bool, delete: bool, quiet: bool, as_json: bool
) -> int:
    """Give the lock as it stands a NAME in the store, so that `envc gc` keeps its environments.

    Without a NAME, list the tags of the project.
    """
    if name is None and (move or delete):
        raise UsageError("--move and --delete need the name of a tag")
    with Terminal(quiet) as terminal:
        context = options.surroundings(terminal)
        project = open_project(manifest, context)
        selection = Selection(store=store)
        if name is not None and delete:
            upkeep.untag(project, name, selection, context)
        elif name is not None:
            upkeep.tag(project, name, selection, context, move=move)
        tags = upkeep.list_tags(upkeep.open_store(store, manifest, context), project.manifest.name)
    if as_json:
        print_json(TagsDocument(tags=tags))
    elif name is None:
        for tag in tags:
            print(f"{tag.name}  {tag.lock}")
    else:
        terminal.note(f"{'removed the tag' if delete else 'tagged this lock as'} {name}")
    return 0
