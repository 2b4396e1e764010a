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
    delete: Annotated[bool, option("--delete", help="Remove the blobs that were found.")] = False
    quiet: Quiet = False
    as_json: AsJson = False


@verb("gc", GcOptions)
def command(options: GcOptions) -> int:
    """Find blobs in a store that no tag, recent step or bundle in progress uses. Removes them only with --delete."""
    with Terminal(options.quiet) as terminal:
        recent = span(options.recent, "--recent") if options.recent else upkeep.RECENT
        context = make_context(terminal)
        blobs = upkeep.open_store(options.store, options.manifest, context)
        collected = upkeep.collect(blobs, context, recent=recent, remove=options.delete)
    if options.as_json:
        print_json(collected)
    verb = "removed" if collected.removed else "would remove"
    terminal.note(
        f"{verb} {count(collected.garbage, 'blob')} ({mebibytes(collected.garbage_size)}), "
        f"{count(collected.kept, 'blob')} ({mebibytes(collected.kept_size)}) are in use"
    )
    if collected.garbage and not collected.removed:
        terminal.note("nothing was removed: pass --delete to remove them")
    return 0
