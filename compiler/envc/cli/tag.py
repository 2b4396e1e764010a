"""``envc tag``."""

from typing import Annotated

import msgspec

from envc.cli.commands import verb
from envc.cli.documents_upkeep import TagsDocument
from envc.cli.options import AsJson, Manifest, Quiet, Store, make_context
from envc.cli.output import print_json, say
from envc.cli.parameters import argument, option
from envc.cli.progress import Terminal
from envc.errors import UsageError
from envc.locking.plan.project import Selection
from envc.pipeline import upkeep
from envc.pipeline.project import open_project


class TagOptions(msgspec.Struct, frozen=True, kw_only=True):
    name: Annotated[str | None, argument()] = None
    manifest: Manifest = None
    store: Store = None
    move: Annotated[bool, option("--move", help="Move the tag if it belongs to another lock.")] = False
    delete: Annotated[bool, option("--delete", help="Delete the tag.")] = False
    quiet: Quiet = False
    as_json: AsJson = False


@verb("tag", TagOptions)
def command(options: TagOptions) -> int:
    """Tag the current lock as NAME in the store, so that `envc gc` keeps its environments.

    Without a NAME, list the tags of the project.
    """
    if options.name is None and (options.move or options.delete):
        raise UsageError("--move and --delete need the name of a tag", "write it after `envc tag`")
    with Terminal(options.quiet) as terminal:
        context = make_context(terminal)
        project = open_project(options.manifest, context)
        selection = Selection(store=options.store)
        if options.name is not None and options.delete:
            upkeep.untag(project, options.name, selection, context)
        elif options.name is not None:
            upkeep.tag(project, options.name, selection, context, move=options.move)
        store = upkeep.open_store(options.store, options.manifest, context)
        tags = upkeep.list_tags(store, context, project.manifest.name)
    if options.as_json:
        print_json(TagsDocument(tags=tags))
    elif options.name is None:
        for tag in tags:
            say(f"{tag.name}  {tag.lock}")
    else:
        terminal.note(f"{'removed the tag' if options.delete else 'tagged this lock as'} {options.name}")
    return 0
