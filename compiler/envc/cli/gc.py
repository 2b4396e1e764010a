"""``envc gc``."""

from typing import Annotated

import msgspec

from envc.cli.commands import verb
from envc.cli.options import AsJson, Manifest, Quiet, Store, make_context, span
from envc.cli.output import count, mebibytes, print_json
from envc.cli.parameters import option
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
            help="Keep steps that were bundled within this time. Default: 30 days.",
        ),
    ] = None
    delete: Annotated[bool, option("--delete", help="Remove what was found.")] = False
    quiet: Quiet = False
    as_json: AsJson = False


@verb("gc", GcOptions)
def command(options: GcOptions) -> int:
    """Find blobs in a store that no tag, recent step or bundle in progress uses. Removes them only with --delete."""
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
        terminal.note("nothing was removed: pass --delete to remove them")
    return 0
