"""``envc gc``."""

from typing import Annotated

import msgspec

from envc.cli.commands import option, verb
from envc.cli.options import AsJson, Manifest, Quiet, Store, make_context, span
from envc.cli.output import count, mebibytes, print_json
from envc.cli.progress import Terminal
from envc.pipeline import upkeep


class GcOptions(msgspec.Struct, frozen=True, kw_only=True):
    manifest: Manifest = None
    store: Store = None
    recent: Annotated[
        str | None,
        option(
            "--recent",
            metavar="SPAN",
            help="Keep steps that were bundled within this span; 30 days unless you say otherwise.",
        ),
    ] = None
    delete: Annotated[bool, option("--delete", help="Really remove what was found.")] = False
    quiet: Quiet = False
    as_json: AsJson = False


@verb("gc", GcOptions)
def command(options: GcOptions) -> int:
    """Find what no tag, no recent step and no bundle under way leads to in a store. Removes it only with --delete."""
    with Terminal(options.quiet) as terminal:
        recent = span(options.recent, "--recent") if options.recent else upkeep.RECENT
        context = make_context(terminal)
        blobs = upkeep.open_store(options.store, options.manifest, context)
        done = upkeep.collect(blobs, context, recent=recent, remove=options.delete)
    if options.as_json:
        print_json(done)
    verb = "removed" if done.removed else "would remove"
    terminal.note(
        f"{verb} {count(done.garbage, 'blob')} ({mebibytes(done.garbage_size)}), "
        f"{count(done.kept, 'blob')} ({mebibytes(done.kept_size)}) are in use"
    )
    if done.garbage and not done.removed:
        terminal.note("nothing was changed: pass --delete to remove it")
    return 0
