"""``envc solve``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from envc.cli import lazy_click as click
from envc.cli import options
from envc.cli.output import print_json
from envc.cli.progress import Terminal
from envc.cli.solved import SolveDocument
from envc.errors import UsageError
from envc_solvers.solution import Solution

if TYPE_CHECKING:
    from envc_solvers.conda.problem import ChannelPriority


@click.command("solve")
@click.option("--pypi", multiple=True, metavar="REQ", help="A PEP 508 requirement; may be given several times.")
@click.option("--conda", multiple=True, metavar="SPEC", help="A conda MatchSpec; may be given several times.")
@click.option("--channel", multiple=True, metavar="C", help="A channel's name, path or URL; the first one wins.")
@click.option("--channel-priority", type=click.Choice(["strict", "flexible", "disabled"]), default="strict")
@click.option("--virtual-package", multiple=True, metavar="V", help="Such as __glibc=2.28; instead of the defaults.")
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
@options.limit_options()
@options.offline_option()
@options.quiet_option()
@options.json_option()
def command(
    pypi: tuple[str, ...],
    conda: tuple[str, ...],
    channel: tuple[str, ...],
    channel_priority: ChannelPriority,
    virtual_package: tuple[str, ...],
    platform: str | None,
    python: str | None,
    index: tuple[str, ...],
    exclude_newer: str | None,
    constraint: tuple[str, ...],
    override: tuple[str, ...],
    prereleases: str,
    resolution: str,
    refresh: bool,
    time_limit: str | None,
    max_candidates: int | None,
    offline: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Resolve requirements once, without a manifest and without writing anything."""
    with Terminal(quiet) as terminal:
        limits = options.limits(time_limit, max_candidates)
        context = options.surroundings(terminal, offline=offline, refresh=refresh, limits=limits)
        asked = None
        if conda:
            from envc.locking.manifest.conda_query import CondaQuery

            if not pypi and (python is not None or index):
                unfit = "--python" if python is not None else "--index"
                raise UsageError(f"{unfit} says nothing about conda packages", "ask for `--conda python=3.12`")
            if pypi and (constraint or override):
                unfit = "--constraint" if constraint else "--override"
                raise UsageError(f"{unfit} does not say of which kind it speaks", "put both kinds into a manifest")
            asked = CondaQuery(
                specs=conda,
                platform=platform or _this_platform(),
                channels=channel,
                priority=channel_priority,
                virtual=virtual_package,
                exclude_newer=exclude_newer,
                constraints=constraint,
                overrides=override,
            )
            if not pypi:
                from envc.locking.resolve.conda import solve_query

                return _show(solve_query(asked, context), terminal, as_json)
        from envc.locking.manifest.query import Query
        from envc.pipeline.solve import solve_once

        query = Query(
            pypi=pypi,
            platform=platform or _this_platform(),
            python=python or f"{sys.version_info[0]}.{sys.version_info[1]}",
            indexes=index,
            exclude_newer=exclude_newer,
            constraints=constraint,
            overrides=override,
            prereleases=prereleases,
            resolution=resolution,
        )
        return _show(solve_once(query, context, asked), terminal, as_json)


def _this_platform() -> str:
    from envc.shipping.machine.interpreter import this_python

    return this_python().platform


def _show(solution: Solution, terminal: Terminal, as_json: bool) -> int:
    for pin in solution.pins:
        if pin.yanked is not None:
            from envc_solvers.pypi.language.index import was_yanked

            terminal.warn(f"{pin.name} {pin.version} {was_yanked(pin.yanked)}")
    if as_json:
        print_json(SolveDocument.of(solution))
    else:
        for pin in solution.pins:
            print(f"{pin.name}={pin.version}={pin.build}" if pin.kind == "conda" else f"{pin.name}=={pin.version}")
    return 0
