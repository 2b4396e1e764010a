"""``envc run``."""

from __future__ import annotations

from pathlib import Path

from envc.cli import lazy_click as click
from envc.cli import options
from envc.cli.progress import Terminal
from envc.locking.plan.project import Selection
from envc.pipeline import single_file
from envc.pipeline.project import open_project
from envc.pipeline.run import run


@click.command("run")
@click.argument("step", metavar="STEP|FILE")
@click.argument("arguments", nargs=-1, metavar="[-- CMD...]", type=click.UNPROCESSED)
@options.manifest_option()
@click.option("--platform", "--target", "target", metavar="T", help="One of the step's targets for this machine.")
@options.store_option()
@click.option("--from-store", is_flag=True, help="Use the bundled code instead of the working tree's.")
@options.frozen_option()
@options.force_option()
@options.offline_option()
@options.quiet_option()
def command(
    step: str,
    arguments: tuple[str, ...],
    manifest: str | None,
    target: str | None,
    store: str | None,
    from_store: bool,
    frozen: bool,
    force: bool,
    offline: bool,
    quiet: bool,
) -> int:
    """Run STEP in its environment: its `run` command, or the one behind `--`.

    Locks when there is no lock, and bundles and hydrates what is missing. FILE is a single-file bundle, with a
    separator in its name or ending in .zst: it needs nothing else, and with --manifest it must be what the lock names.
    """
    with Terminal(quiet) as terminal:
        context = options.surroundings(terminal, offline=offline, force=force)
        if single_file.is_bundle(step):
            options.refuse_beside_a_file(step, platform=target, store=store, from_store=from_store, frozen=frozen)
            against = open_project(manifest, context) if manifest else None
            return single_file.run(Path(step), arguments, against, context)
        project = open_project(manifest, context)
        selection = Selection(store=store, frozen=frozen)
        return run(project, step, arguments, target, selection, context, from_store=from_store)
