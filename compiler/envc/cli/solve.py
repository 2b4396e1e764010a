"""``envc solve``."""

from __future__ import annotations

import sys

import click

from envc import pipeline
from envc.cli import options
from envc.cli.documents import SolveDocument
from envc.cli.output import print_json
from envc.cli.progress import Terminal
from envc.parse.query import Query


@click.command("solve")
@click.option("--pypi", multiple=True, metavar="REQ", help="A PEP 508 requirement; may be given several times.")
@click.option("--conda", multiple=True, metavar="SPEC", help="A conda MatchSpec (not available yet).")
@click.option("--platform", metavar="P", help="The platform to solve for; else this machine's.")
@click.option(
    "--python",
    metavar="V",
    help="Such as 3.12, 3.12.7, 3.13t, pypy3.10; else the running minor.",
)
@click.option("--index", metavar="URL", multiple=True, help="An index instead of the default one; the first one wins.")
@click.option("--exclude-newer", metavar="T", help='A time such as 2026-11-01T00:00:00Z, or a span such as "7 days".')
@click.option("--constraint", multiple=True, metavar="REQ", help="Narrow a project wherever it occurs.")
@click.option("--override", multiple=True, metavar="REQ", help="Replace what packages require of a project.")
@click.option("--prereleases", type=click.Choice(["if-necessary", "never", "allow"]), default="if-necessary")
@click.option("--resolution", type=click.Choice(["highest", "lowest", "lowest-direct"]), default="highest")
@click.option("--refresh", is_flag=True, help="Ask the indexes again, however recently they were asked.")
@options.offline_option()
@options.quiet_option()
@options.json_option()
def command(
    pypi: tuple[str, ...],
    conda: tuple[str, ...],
    platform: str | None,
    python: str | None,
    index: tuple[str, ...],
    exclude_newer: str | None,
    constraint: tuple[str, ...],
    override: tuple[str, ...],
    prereleases: str,
    resolution: str,
    refresh: bool,
    offline: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Resolve requirements once, without a manifest and without writing anything."""
    with Terminal(quiet) as terminal:
        around = options.surroundings(terminal, offline=offline, refresh=refresh)
        query = Query(
            pypi=pypi,
            conda=conda,
            platform=platform or pipeline.this_platform(),
            python=python or f"{sys.version_info[0]}.{sys.version_info[1]}",
            indexes=index,
            exclude_newer=exclude_newer,
            constraints=constraint,
            overrides=override,
            prereleases=prereleases,
            resolution=resolution,
        )
        solution = pipeline.solve_once(query, around)
    if as_json:
        print_json(SolveDocument.of(solution))
    else:
        for pin in solution.pins:
            click.echo(f"{pin.name}=={pin.version}")
    return 0
