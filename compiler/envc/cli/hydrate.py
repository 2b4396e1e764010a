"""``envc hydrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envc.cli import lazy_click as click
from envc.cli import options
from envc.cli.output import print_json
from envc.cli.progress import Terminal
from envc.errors import UsageError
from envc.locking.plan.project import Selection
from envc.pipeline import single_file
from envc.pipeline.hydrate import hydrate
from envc.pipeline.project import open_project

if TYPE_CHECKING:
    from envc.shipping.prefix.object_cache import LinkMode


@click.command("hydrate")
@click.argument("step", metavar="STEP|FILE")
@options.manifest_option()
@click.option("--prefix", type=click.Path(path_type=Path), metavar="DIR", help="Where; else a folder of the cache.")
@click.option("--platform", "--target", "target", metavar="T", help="The target; a foreign one is only unpacked.")
@click.option("--bytecode", is_flag=True, help="Compile the sources now, not at their first import.")
@click.option(
    "--link-mode",
    type=click.Choice(["clone", "hardlink", "copy"]),
    help="How files are shared with other prefixes; else the first of these that works.",
)
@click.option("--no-cache", is_flag=True, help="Share nothing with what this machine has unpacked before.")
@options.store_option()
@options.frozen_option()
@options.force_option()
@options.quiet_option()
@options.json_option()
def command(
    step: str,
    manifest: str | None,
    prefix: Path | None,
    target: str | None,
    bytecode: bool,
    link_mode: LinkMode | None,
    no_cache: bool,
    store: str | None,
    frozen: bool,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Rebuild the environment of STEP from the store alone, every byte checked. Prints the prefix.

    FILE is a single-file bundle, with a separator in its name or ending in .zst: it needs nothing else, and with
    --manifest it must be what the lock names.
    """
    from envc.shipping.deliver.hydrate import Loading

    loading = Loading(link_mode=link_mode, cached=not no_cache, bytecode=bytecode, force=force)
    if prefix is None and loading != Loading(force=force):
        raise UsageError("--bytecode, --link-mode and --no-cache are for a folder of yours", "name it: --prefix DIR")
    if no_cache and link_mode:
        raise UsageError("--no-cache shares no files, so there is no --link-mode", "leave out one")
    with Terminal(quiet) as terminal:
        context = options.surroundings(terminal, offline=True, force=force)
        if single_file.is_bundle(step):
            options.refuse_beside_a_file(step, platform=target, store=store, frozen=frozen)
            against = open_project(manifest, context) if manifest else None
            where, made = single_file.hydrate(Path(step), prefix, against, context, loading)
        else:
            project = open_project(manifest, context)
            selection = Selection(store=store, frozen=frozen)
            where, made = hydrate(project, step, prefix, target, selection, context, loading)
    if as_json:
        print_json({"prefix": str(where), "made": made})
    else:
        print(where)
    return 0
