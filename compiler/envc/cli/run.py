"""``envc run``."""

from __future__ import annotations

from pathlib import Path

from envc import pipeline, portable
from envc.cli import lazy_click as click
from envc.cli import options
from envc.cli.progress import Terminal
from envc.project import Selection, open_project


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
        around = options.surroundings(terminal, offline=offline, force=force)
        if portable.is_bundle(step):
            options.refuse_beside_a_file(step, platform=target, store=store, from_store=from_store, frozen=frozen)
            against = open_project(manifest, around) if manifest else None
            return portable.run(Path(step), arguments, against, around)
        project = open_project(manifest, around)
        selection = Selection(store=store, frozen=frozen)
        return pipeline.run(project, step, arguments, target, selection, around, from_store=from_store)
