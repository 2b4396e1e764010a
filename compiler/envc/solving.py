"""solving: every problem of a run answered, PyPI's over the indexes and conda's over the channels of the manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from envc.errors import Refusal, Unsolvable, render_key_path
from envc.expand import StepTarget, target_of
from envc.fetch.artifacts import Artifacts
from envc.fetch.index import Origins
from envc.fetch.listing import ListedFile
from envc.fetch.settings import channel_settings, read_settings
from envc.model.environment import EnvironmentMember
from envc.model.graph import DIRECT, Build, LockGraph
from envc.model.manifest import KeyPath, Manifest
from envc.pose import PosedProblem
from envc.surroundings import Surroundings
from envc_solvers.pypi.solve import Problem
from envc_solvers.solution import Solution

if TYPE_CHECKING:
    from envc.pack import Artifacts as Supplier


def solve_problems(
    problems: tuple[PosedProblem, ...],
    manifest: Manifest,
    around: Surroundings,
    label: Callable[[str], str] = str,
    *,
    lock: LockGraph | None = None,
    release: Callable[[str], bool] = lambda _name: False,
) -> Solved:
    """Every problem with its solution, or Unsolvable with every problem that has none. `label` as for `line_labels`.

    What `lock` says that direct requirements led to, and how wheels were built, stands, but for names that `release`
    says yes to.
    """
    refusals: list[Refusal] = []
    solutions: list[tuple[PosedProblem, Solution]] = []
    builds: tuple[Build, ...] = ()
    interpreters = None
    if any(posed.standalone for posed in problems):
        from envc.resolve_standalone import Interpreters

        interpreters = Interpreters(problems, manifest, around)
        problems = tuple(map(interpreters.posed, problems))
    pypi = tuple(posed for posed in problems if isinstance(posed.problem, Problem))
    conda = tuple(posed for posed in problems if not isinstance(posed.problem, Problem))
    try:
        if pypi:
            solved = _solve_pypi(pypi, manifest, around, label, lock, release)
            solutions, builds = solved.solutions, solved.builds
    except Unsolvable as error:
        refusals += error.refusals
    try:
        if conda:
            solutions = solutions + _solve_conda(conda, manifest, around, label)
    except Unsolvable as error:
        refusals += error.refusals
    if refusals:
        raise Unsolvable(tuple(refusals))
    if interpreters is not None:
        solutions = [(posed, interpreters.solution(posed, solution)) for posed, solution in solutions]
    return Solved(solutions, builds)


class Solved(msgspec.Struct, frozen=True):
    """The answers of a run."""

    solutions: list[tuple[PosedProblem, Solution]]
    builds: tuple[Build, ...] = ()  # of wheels that no source serves


def _solve_pypi(
    problems: tuple[PosedProblem, ...],
    manifest: Manifest,
    around: Surroundings,
    label: Callable[[str], str],
    lock: LockGraph | None,
    release: Callable[[str], bool],
) -> Solved:
    from envc.resolve import solve_all

    with open_origins(manifest, around) as origins:
        sources = None
        if any(posed.direct or posed.buildable for posed in problems):
            # Builds bring half of the compiler along, which most locks never need.
            from envc.direct.sources import Sources

            sources = Sources(
                origins,
                environ=around.environ,
                cache=around.cache,
                root=manifest.root,
                lock_path=manifest.lock_path,
                progress=around.progress,
                lock=lock,
                release=release,
                limits=around.limits,
            )
        solutions = solve_all(
            problems,
            origins,
            around.progress,
            align=manifest.policy.align,
            label=label,
            limits=around.limits,
            sources=sources,
        )
        return Solved(solutions, sources.builder.builds if sources is not None else ())


def _solve_conda(
    problems: tuple[PosedProblem, ...], manifest: Manifest, around: Surroundings, label: Callable[[str], str]
) -> list[tuple[PosedProblem, Solution]]:
    from envc.resolve_conda import open_channels, solve_conda_all

    wanted = {channel.name: channel for posed in problems for channel in posed.cells[0].channels}
    names = tuple(name for name in manifest.channels if name in wanted)
    with open_channels(
        names,
        manifest.sources,
        channel_settings(around.environ),
        around.progress,
        now=around.now,
        offline=around.offline,
        refresh=around.refresh,
        root=manifest.root,
    ) as (channels, _):
        return solve_conda_all(problems, channels, around.progress, label)


def open_origins(manifest: Manifest, around: Surroundings) -> Origins:
    """The indexes of a manifest. Use it as a context manager."""
    return Origins(
        {name: source for name, source in manifest.sources.items() if source.kind != "conda"},
        settings=read_settings(around.environ),
        progress=around.progress,
        now=int(around.now.timestamp()),
        offline=around.offline,
        refresh=around.refresh,
        root=manifest.root,
        elsewhere={"interpreter": lambda member: _archives(member, manifest, around)},
    )


def _archives(member: EnvironmentMember, manifest: Manifest, around: Surroundings) -> tuple[ListedFile, ...]:
    from envc.fetch.standalone import listed

    return listed(member.file, member.sha256, manifest.standalone, around.environ, manifest.root)


@contextmanager
def open_artifacts(
    manifest: Manifest, cells: tuple[StepTarget, ...], graph: LockGraph, around: Surroundings, kinds: Iterable[str]
) -> Iterator[Supplier]:
    """Where the artifacts of a manifest's lock come from, of those kinds of packages."""
    with open_origins(manifest, around) as origins:

        def supply(artifacts: Artifacts) -> Supplier:
            """The sources alone, unless the lock holds what none of them serves."""
            if not graph.builds and not DIRECT & {package.source for package in graph.packages}:
                return artifacts
            from envc.direct.supply import Supply

            return Supply(
                artifacts,
                origins.keyring,
                manifest,
                cells,
                graph,
                environ=around.environ,
                cache=around.cache,
                progress=around.progress,
                offline=around.offline,
            )

        if "conda" not in kinds:
            yield supply(origins.artifacts)
            return
        from envc.fetch.channel_files import ChannelFiles
        from envc.fetch.channels import resolve_channels
        from envc.fetch.repodata import Channels

        places = resolve_channels(manifest.channels, manifest.sources, origins.keyring, root=manifest.root)
        with Channels(
            places,
            cache=read_settings(around.environ).cache,
            client=origins.client,
            progress=around.progress,
            now=int(around.now.timestamp()),
            offline=around.offline,
            refresh=around.refresh,
        ) as channels:
            platforms = {target_of(manifest, name).platform for name in manifest.targets}
            yield supply(origins.artifacts.also(conda=ChannelFiles(channels, places, sorted(platforms)).locate))


def line_labels(manifest: Manifest, cells: tuple[StepTarget, ...]) -> Callable[[str], str]:
    """Adds to a rendered key path the line of the manifest where it stands. Reads the manifest when first asked."""
    lines: dict[str, int] = {}

    def label(origin: str) -> str:
        if not lines:
            from envc.parse.positions import Positions

            positions = Positions(manifest.path.read_text(encoding="utf-8"))
            pypi = (*manifest.constraints.pypi, *manifest.overrides.pypi, *(d for cell in cells for d in cell.pypi))
            conda = (*manifest.constraints.conda, *manifest.overrides.conda, *(d for cell in cells for d in cell.conda))
            written: list[KeyPath] = [dependency.at for dependency in pypi]
            written += [dependency.at for dependency in conda]
            written += [("project", "python"), *(("steps", step, "python") for step in manifest.steps)]
            for at in written:
                place = positions.of((*manifest.prefix, *at))
                if place is not None:
                    lines[render_key_path(at)] = place[0]
        before, space, key = origin.rpartition(" ")
        return f"{before}{space}{key}, line {lines[key]}" if key in lines else origin

    return label
