"""``envc solve``."""

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from envc.cli.commands import verb
from envc.cli.options import AsJson, MaxCandidates, Offline, Quiet, Refresh, TimeLimit, limits, make_context
from envc.cli.output import print_json, say
from envc.cli.parameters import option
from envc.cli.progress import Terminal
from envc.cli.solved import SolveDocument
from envc.errors import UsageError
from envc.pipeline.solve import solve_once

if TYPE_CHECKING:
    from envc.locking.manifest.conda_query import CondaQuery
    from envc.locking.manifest.query import Query


class SolveOptions(msgspec.Struct, frozen=True, kw_only=True):
    pypi: Annotated[tuple[str, ...], option("--pypi", metavar="REQ", help="Require this (PEP 508). Repeatable.")] = ()
    conda: Annotated[
        tuple[str, ...], option("--conda", metavar="SPEC", help="Require this, a conda MatchSpec. Repeatable.")
    ] = ()
    channel: Annotated[
        tuple[str, ...],
        option(
            "--channel",
            metavar="CHANNEL",
            help="Use this channel: a name, path or URL. Repeatable; the first has priority.",
        ),
    ] = ()
    channel_priority: Annotated[
        Literal["strict", "flexible", "disabled"],
        option("--channel-priority", help="Set how strictly channels take precedence. Default: strict."),
    ] = "strict"
    virtual_package: Annotated[
        tuple[str, ...],
        option(
            "--virtual-package",
            metavar="SPEC",
            help="Assume this virtual package, such as __glibc=2.28, instead of the defaults. Repeatable.",
        ),
    ] = ()
    platform: Annotated[
        str | None, option("--platform", metavar="PLATFORM", help="Solve for this platform. Default: this machine's.")
    ] = None
    python: Annotated[
        str | None,
        option(
            "--python",
            metavar="VERSION",
            help="Solve for this Python, such as 3.12, 3.12.7, 3.13t or pypy3.10. Default: the one that runs envc.",
        ),
    ] = None
    index: Annotated[
        tuple[str, ...],
        option(
            "--index",
            metavar="URL",
            help="Use this index instead of the default one. Repeatable; the first has priority.",
        ),
    ] = ()
    exclude_newer: Annotated[
        str | None,
        option(
            "--exclude-newer",
            metavar="TIME",
            help='Ignore files newer than this: a time such as 2026-11-01T00:00:00Z, or an age such as "7 days".',
        ),
    ] = None
    constraint: Annotated[
        tuple[str, ...],
        option("--constraint", metavar="REQ", help="Restrict a project wherever it is required. Repeatable."),
    ] = ()
    override: Annotated[
        tuple[str, ...],
        option("--override", metavar="REQ", help="Replace the requirements of packages on a project. Repeatable."),
    ] = ()
    prereleases: Annotated[
        Literal["if-necessary", "never", "allow"],
        option("--prereleases", help="Set when pre-releases may be chosen. Default: if-necessary."),
    ] = "if-necessary"
    resolution: Annotated[
        Literal["highest", "lowest", "lowest-direct"],
        option("--resolution", help="Prefer these versions of PyPI projects. Default: highest."),
    ] = "highest"
    refresh: Refresh = False
    time_limit: TimeLimit = None
    max_candidates: MaxCandidates = None
    offline: Offline = False
    quiet: Quiet = False
    as_json: AsJson = False


@verb("solve", SolveOptions)
def command(options: SolveOptions) -> int:
    """Resolve requirements once, without a manifest and without writing anything."""
    with Terminal(options.quiet) as terminal:
        context = make_context(
            terminal,
            offline=options.offline,
            refresh=options.refresh,
            limits=limits(options.time_limit, options.max_candidates),
        )
        conda = _conda_query(options) if options.conda else None
        query = _query(options) if options.pypi or not options.conda else None
        solution = solve_once(query, conda, context)
        for pin in solution.pins:
            if pin.yanked is not None:
                from envc_solvers.pypi.language.index import was_yanked

                terminal.warn(f"{pin.name} {pin.version} {was_yanked(pin.yanked)}")
        for one in solution.passed_over:
            text = f"{one.name} {one.version} is chosen: {one.newer} {one.reason}"
            (terminal.warn if one.kind in ("sdist", "url", "no-file") else terminal.note)(text)
    if options.as_json:
        print_json(SolveDocument.of(solution))
    else:
        for pin in solution.pins:
            say(f"{pin.name}={pin.version}={pin.build}" if pin.kind == "conda" else f"{pin.name}=={pin.version}")
    return 0


def _conda_query(options: SolveOptions) -> "CondaQuery":
    """The conda part of the command line. Raises UsageError for options that do not apply to conda packages."""
    from envc.locking.manifest.conda_query import CondaQuery

    if not options.pypi and (options.python is not None or options.index):
        if options.python is not None:
            raise UsageError("--python does not apply to conda packages", "use `--conda python=3.12`")
        raise UsageError("--index does not apply to conda packages", "name their channels with --channel")
    if options.pypi and (options.constraint or options.override):
        name = "--constraint" if options.constraint else "--override"
        raise UsageError(f"{name} is ambiguous with both --pypi and --conda", "write both kinds in a manifest instead")
    return CondaQuery(
        specs=options.conda,
        platform=options.platform or _this_platform(),
        channels=options.channel,
        priority=options.channel_priority,
        virtual=options.virtual_package,
        exclude_newer=options.exclude_newer,
        constraints=options.constraint,
        overrides=options.override,
    )


def _query(options: SolveOptions) -> "Query":
    from envc.locking.manifest.query import Query

    return Query(
        pypi=options.pypi,
        platform=options.platform or _this_platform(),
        python=options.python or f"{sys.version_info[0]}.{sys.version_info[1]}",
        indexes=options.index,
        exclude_newer=options.exclude_newer,
        constraints=options.constraint,
        overrides=options.override,
        prereleases=options.prereleases,
        resolution=options.resolution,
    )


def _this_platform() -> str:
    from envc.shipping.machine.interpreter import this_python

    return this_python().platform
