"""``envc verify``."""

from __future__ import annotations

from pathlib import Path

from envc.cli import lazy_click as click
from envc.cli import options
from envc.cli.output import count, print_json
from envc.cli.progress import Terminal
from envc.errors import UsageError
from envc.locking.plan.project import Selection
from envc.pipeline import upkeep
from envc.pipeline.project import open_project


@click.command("verify")
@options.manifest_option()
@click.option("--platform", "--target", "targets", multiple=True, metavar="T", help="Only these targets or platforms.")
@click.option("--step", "steps", multiple=True, metavar="S", help="Only these steps.")
@click.option("--all", "whole", is_flag=True, help="Everything that the store holds, without asking the lock.")
@click.option("--prefix", type=click.Path(path_type=Path), metavar="DIR", help="A hydrated folder instead of a store.")
@options.store_option()
@options.frozen_option()
@options.quiet_option()
@options.json_option()
def command(
    manifest: str | None,
    targets: tuple[str, ...],
    steps: tuple[str, ...],
    whole: bool,
    prefix: Path | None,
    store: str | None,
    frozen: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Read what the store holds for the lock to its last byte, or compare a prefix with its record.

    Changes nothing. Exit code 1 when anything is not as it should be; `envc bundle` makes objects again.
    """
    if (whole or prefix is not None) and (targets or steps or (whole and prefix is not None)):
        raise UsageError("--all and --prefix stand alone", "leave out --step and --platform")
    with Terminal(quiet) as terminal:
        context = options.surroundings(terminal)
        if prefix is not None:
            verified = upkeep.verify_folder(prefix, context)
        elif whole:
            verified = upkeep.verify_whole_store(upkeep.open_store(store, manifest, context), context)
        else:
            project = open_project(manifest, context)
            selection = Selection(steps=steps, targets=targets, store=store, frozen=frozen)
            verified = upkeep.verify_steps(project, selection, context)
    if as_json:
        print_json(verified)
    else:
        for problem in verified.problems:
            print(f"{problem.where}: {problem.reason}")
    terminal.note(f"verified {count(verified.checked, 'item')}, {count(len(verified.problems), 'problem')}")
    return 1 if verified.problems else 0
