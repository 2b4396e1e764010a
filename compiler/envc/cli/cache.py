"""``envc cache``."""

from datetime import timedelta
from typing import Annotated

import msgspec

from envc.cli.commands import Group
from envc.cli.documents_upkeep import CacheDocument, PruneDocument
from envc.cli.options import AsJson, Quiet, make_context, span
from envc.cli.output import count, mebibytes, print_json, say, say_path
from envc.cli.parameters import option
from envc.cli.progress import Terminal
from envc.errors import UsageError
from envc.pipeline import upkeep

UNUSED = timedelta(days=30)


command = Group(
    "cache",
    help="Show or prune this machine's cache. Without a command, show it. Everything in it can be recreated.",
    default="show",
)


class ShowOptions(msgspec.Struct, frozen=True, kw_only=True):
    as_json: AsJson = False


@command.verb("show", ShowOptions)
def show(options: ShowOptions) -> int:
    """Show the contents of the cache and how much space they take."""
    context = make_context(Terminal(), uses_cache=False)
    parts = upkeep.show_cache(context)
    if options.as_json:
        print_json(CacheDocument(folder=str(context.cache), parts=parts))
        return 0
    say_path(context.cache)
    for part in parts:
        say(f"  {part.part:<18}{part.entries:>8}  {mebibytes(part.size):>12}")
    return 0


class PruneOptions(msgspec.Struct, frozen=True, kw_only=True):
    unused: Annotated[
        str | None,
        option("--unused", metavar="SPAN", help="Remove entries that were not used for this long. Default: 30 days."),
    ] = None
    everything: Annotated[bool, option("--all", help="Remove everything.")] = False
    dry_run: Annotated[bool, option("--dry-run", help="Count the entries, but remove nothing.")] = False
    quiet: Quiet = False
    as_json: AsJson = False


@command.verb("prune", PruneOptions)
def prune(options: PruneOptions) -> int:
    """Remove artifacts, environments, index pages and other entries that were not used for a while."""
    if options.everything and options.unused is not None:
        raise UsageError("--all and --unused contradict each other", "leave out one of them")
    with Terminal(options.quiet) as terminal:
        unused = span(options.unused, "--unused") if options.unused else UNUSED
        context = make_context(terminal, uses_cache=False)
        pruned = upkeep.prune_cache(context, None if options.everything else unused, dry_run=options.dry_run)
    if options.as_json:
        print_json(
            PruneDocument(
                folder=str(context.cache), removed=not options.dry_run, entries=pruned.entries, size=pruned.size
            )
        )
    verb = "would remove" if options.dry_run else "removed"
    terminal.note(f"{verb} {count(pruned.entries, 'item')} ({mebibytes(pruned.size)})")
    return 0
