"""``envc cache``."""

from __future__ import annotations

from datetime import timedelta

from envc.cli import lazy_click as click
from envc.cli import options
from envc.cli.documents_upkeep import CacheDocument, PruneDocument
from envc.cli.output import count, mebibytes, print_json
from envc.cli.progress import Terminal
from envc.errors import UsageError
from envc.pipeline import upkeep

UNUSED = timedelta(days=30)


@click.group("cache", otherwise="show")
def command() -> None:
    """The cache of this machine; without a verb, what it holds. Everything in it can be made again."""


@command.command("show")
@options.json_option()
def show(as_json: bool) -> int:
    """Show what the cache holds, and how much room that takes."""
    context = options.surroundings(Terminal())
    parts = upkeep.show_cache(context)
    if as_json:
        print_json(CacheDocument(folder=str(context.cache), parts=parts))
        return 0
    print(context.cache)
    for part in parts:
        print(f"  {part.part:<18}{part.entries:>8}  {mebibytes(part.size):>12}")
    return 0


@command.command("prune")
@click.option(
    "--unused",
    metavar="SPAN",
    help="What nobody used for so long; 30 days unless you say otherwise.",
)
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--dry-run", is_flag=True, help="Remove nothing, only count.")
@options.quiet_option()
@options.json_option()
def prune(unused: str | None, everything: bool, dry_run: bool, quiet: bool, as_json: bool) -> int:
    """Remove artifacts, environments, pages of indexes and whatever else was not used for a while."""
    if everything and unused is not None:
        raise UsageError("--all and --unused contradict each other", "leave out one of them")
    with Terminal(quiet) as terminal:
        span = options.span(unused, "--unused") if unused else UNUSED
        context = options.surroundings(terminal)
        pruned = upkeep.prune_cache(context, None if everything else span, dry_run=dry_run)
    if as_json:
        print_json(
            PruneDocument(folder=str(context.cache), removed=not dry_run, entries=pruned.entries, size=pruned.size)
        )
    verb = "would remove" if dry_run else "removed"
    terminal.note(f"{verb} {count(pruned.entries, 'thing')} ({mebibytes(pruned.size)})")
    return 0
