"""``envc gc``."""

from __future__ import annotations

from envc.cli import lazy_click as click
from envc.cli import options
from envc.cli.output import count, mebibytes, print_json
from envc.cli.progress import Terminal
from envc.pipeline import upkeep


@click.command("gc")
@options.manifest_option()
@options.store_option()
@click.option(
    "--recent",
    metavar="SPAN",
    help="Keep steps that were bundled within this span; 30 days unless you say otherwise.",
)
@click.option("--delete", is_flag=True, help="Really remove what was found.")
@options.quiet_option()
@options.json_option()
def command(
    manifest: str | None, store: str | None, recent: str | None, delete: bool, quiet: bool, as_json: bool
) -> int:
    """Find what no tag, no recent step and no bundle under way leads to in a store. Removes it only with --delete."""
    with Terminal(quiet) as terminal:
        span = options.span(recent, "--recent") if recent else upkeep.RECENT
        context = options.surroundings(terminal)
        blobs = upkeep.open_store(store, manifest, context)
        done = upkeep.collect(blobs, context, recent=span, remove=delete)
    if as_json:
        print_json(done)
    verb = "removed" if done.removed else "would remove"
    terminal.note(
        f"{verb} {count(done.garbage, 'blob')} ({mebibytes(done.garbage_size)}), "
        f"{count(done.kept, 'blob')} ({mebibytes(done.kept_size)}) are in use"
    )
    if done.garbage and not done.removed:
        terminal.note("nothing was changed: pass --delete to remove it")
    return 0
