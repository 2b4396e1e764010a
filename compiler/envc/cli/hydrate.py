"""``envc hydrate``."""

from __future__ import annotations

from pathlib import Path

import click

from envc import pipeline, portable
from envc.cli import options
from envc.cli.output import print_json
from envc.cli.progress import Terminal


@click.command("hydrate")
@click.argument("step", metavar="STEP|FILE")
@options.manifest_option()
@click.option("--prefix", type=click.Path(path_type=Path), metavar="DIR", help="Where; else a folder of the cache.")
@click.option("--platform", "--target", "target", metavar="T", help="The target; a foreign one is only unpacked.")
@options.store_option()
@options.frozen_option()
@options.quiet_option()
@options.json_option()
def command(
    step: str,
    manifest: str | None,
    prefix: Path | None,
    target: str | None,
    store: str | None,
    frozen: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Rebuild the environment of STEP from the store alone, every byte checked. Prints the prefix.

    FILE is a single-file bundle, with a separator in its name or ending in .zst: it needs nothing else, and with
    --manifest it must be what the lock names.
    """
    with Terminal(quiet) as terminal:
        around = options.surroundings(terminal, offline=True)
        if portable.is_bundle(step):
            options.refuse_beside_a_file(step, platform=target, store=store, frozen=frozen)
            against = pipeline.open_project(manifest, around) if manifest else None
            where, made = portable.hydrate(Path(step), prefix, against, around)
        else:
            project = pipeline.open_project(manifest, around)
            selection = pipeline.Selection(store=store, frozen=frozen)
            where, made = pipeline.hydrate(project, step, prefix, target, selection, around)
    if as_json:
        print_json({"prefix": str(where), "made": made})
    else:
        click.echo(where)
    return 0
