"""``envc bundle``."""

from __future__ import annotations

from pathlib import Path

from envc.cli import lazy_click as click
from envc.cli import options
from envc.cli.documents import BundleDocument
from envc.cli.output import count, print_json
from envc.cli.progress import Terminal
from envc.locking.plan.project import Selection
from envc.pipeline import single_file
from envc.pipeline.bundle import BundleOptions, bundle
from envc.pipeline.project import open_project

LEVELS = {"fast": 3, "normal": 9, "small": 19}  # of zstd


@click.command("bundle")
@options.manifest_option()
@click.option("--platform", "--target", "targets", multiple=True, metavar="T", help="Only these targets or platforms.")
@click.option("--step", "steps", multiple=True, metavar="S", help="Only these steps.")
@options.store_option()
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="FILE", help="Also write one step-target as one file."
)
@click.option("--record", is_flag=True, help="Write what every artifact unpacks to into the lock.")
@click.option("--fast", "size", flag_value="fast", help="Compress less (zstd 3).")
@click.option("--small", "size", flag_value="small", help="Compress more (zstd 19).")
@click.option("--trust-store", is_flag=True, help="Reuse objects that other machines made, without deriving them.")
@options.frozen_option()
@options.offline_option()
@options.quiet_option()
@options.json_option()
def command(
    manifest: str | None,
    targets: tuple[str, ...],
    steps: tuple[str, ...],
    store: str | None,
    output: Path | None,
    record: bool,
    size: str | None,
    trust_store: bool,
    frozen: bool,
    offline: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Write the packages of locked environments to the store: every step and target, or those that are named.

    Equal environments are stored once, and objects that are there already are kept. FILE is a zstd-compressed tar,
    which `envc hydrate`, `envc run` and any tar read; `sh .envc/relocate.sh` then makes the unpacked tree run.
    """
    shipped = None
    with Terminal(quiet) as terminal:
        context = options.surroundings(terminal, offline=offline)
        project = open_project(manifest, context)
        selection = Selection(steps=steps, targets=targets, store=store, frozen=frozen)
        choices = BundleOptions(level=LEVELS[size or "normal"], trust_store=trust_store, record=record)
        if output is None:
            bundled = bundle(project, selection, choices, context)
        else:
            bundled, shipped = single_file.write(project, selection, choices, output, context)
    if as_json:
        print_json(BundleDocument.of(bundled, shipped))
    terminal.note(
        f"bundled {count(len(bundled.pointers), 'step-target')} in {count(len(bundled.records), 'environment')}, "
        f"{count(len(bundled.made), 'new object')}"
    )
    return 0
