"""solving: every problem of a run answered, PyPI's over the indexes and conda's over the channels of the manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
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
    from envc.direct.sources import Sources
    from envc.fetch.credentials import Keyring
    from envc.fetch.repodata import Channels
    from envc.pack import Artifacts as Supplier
    from envc.parse.conda_query import CondaQuery


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
    interpreters = None
    if any(posed.standalone for posed in problems):
        from envc.resolve_standalone import Interpreters

        interpreters = Interpreters(problems, manifest, around)
        problems = tuple(map(interpreters.posed, problems))
    refusals: list[Refusal] = []
    solutions: list[tuple[PosedProblem, Solution]] = []
    with ExitStack() as opened:
        run = _Run(problems, manifest, around, label, lock, release, opened)
        for solve in run.solvers():
            try:
                solutions += solve()
            except Unsolvable as error:
                refusals += error.refusals
    if refusals:
        raise Unsolvable(tuple(refusals))
    if interpreters is not None:
        solutions = [(posed, interpreters.solution(posed, solution)) for posed, solution in solutions]
    return Solved(solutions, run.builds, run.built_with, run.keyring)


class Solved(msgspec.Struct, frozen=True):
    """The answers of a run."""

    solutions: list[tuple[PosedProblem, Solution]]
    builds: tuple[Build, ...]  # of wheels that no source serves
    built_with: dict[tuple[str, str], str | None]  # as `yanked`, of what builds required
    keyring: Keyring  # knows the logins of the sources and channels that were asked

    @property
    def yanked(self) -> dict[tuple[str, str], str | None]:
        """What the indexes said of each file that was chosen: None, or why it was taken back. By source and sha256."""
        pins = (pin for _, solution in self.solutions for pin in solution.pins)
        return self.built_with | {(pin.source, pin.sha256): pin.yanked for pin in pins if pin.kind == "pypi"}


class _Run:
    """The problems of a run by their kind, over indexes and channels that are opened where a kind needs them."""

    def __init__(
        self,
        problems: tuple[PosedProblem, ...],
        manifest: Manifest,
        around: Surroundings,
        label: Callable[[str], str],
        lock: LockGraph | None,
        release: Callable[[str], bool],
        opened: ExitStack,
    ) -> None:
        self._pypi = tuple(posed for posed in problems if isinstance(posed.problem, Problem))
        self._mixed = tuple(posed for posed in problems if posed.is_mixed)
        self._conda = tuple(posed for posed in problems if posed.cells[0].uses_conda and not posed.is_mixed)
        self._manifest = manifest
        self._around = around
        self._label = label
        self._lock = lock
        self._release = release
        self._opened = opened
        self._sources: Sources | None = None
        self._origins: Origins | None = None

    @cached_property
    def keyring(self) -> Keyring:
        """The run's. Without indexes what pip's configuration says counts for nothing."""
        return self._origins.keyring if self._origins else channel_settings(self._around.environ).keyring()

    @property
    def builds(self) -> tuple[Build, ...]:
        """How wheels were built that no source serves."""
        return self._sources.builder.builds if self._sources is not None else ()

    @property
    def built_with(self) -> dict[tuple[str, str], str | None]:
        """What the indexes said of files that builds required."""
        return self._sources.yanked if self._sources is not None else {}

    def solvers(self) -> Iterator[Callable[[], list[tuple[PosedProblem, Solution]]]]:
        """One for each kind of problem that there is."""
        manifest, label = self._manifest, self._label
        progress, limits = self._around.progress, self._around.limits
        if self._pypi or self._mixed:
            origins = self._origins = self._opened.enter_context(open_origins(manifest, self._around))
            self._sources = sources = self._open_sources(origins)
        if self._pypi:
            from envc.resolve import solve_all

            align = manifest.policy.align
            yield lambda: solve_all(
                self._pypi, origins, progress, align=align, label=label, limits=limits, sources=sources
            )
        if self._conda or self._mixed:
            channels = self._open_channels()
        if self._conda:
            from envc.resolve_conda import solve_conda_all

            yield lambda: solve_conda_all(self._conda, channels, progress, label)
        if self._mixed:
            from envc.mapping import load_names
            from envc.resolve_mixed import solve_mixed_all

            names = load_names(manifest.mapping)
            yield lambda: solve_mixed_all(
                self._mixed, channels, origins, names, progress, label=label, limits=limits, sources=sources
            )

    def _open_sources(self, origins: Origins) -> Sources | None:
        if not any(posed.direct or posed.buildable for posed in (*self._pypi, *self._mixed)):
            return None
        # Builds bring half of the compiler along, which most locks never need.
        from envc.direct.sources import Sources

        return Sources(
            origins,
            environ=self._around.environ,
            cache=self._around.cache,
            root=self._manifest.root,
            lock_path=self._manifest.lock_path,
            progress=self._around.progress,
            lock=self._lock,
            release=self._release,
            limits=self._around.limits,
        )

    def _open_channels(self) -> Channels:
        from envc.resolve_conda import open_channels

        manifest, around = self._manifest, self._around
        wanted = {channel.name for posed in (*self._conda, *self._mixed) for channel in posed.cells[0].channels}
        channels, _ = self._opened.enter_context(
            open_channels(
                tuple(name for name in manifest.channels if name in wanted),
                manifest.sources,
                channel_settings(around.environ),
                around.progress,
                now=around.now,
                offline=around.offline,
                refresh=around.refresh,
                root=manifest.root,
                keyring=self.keyring,
            )
        )
        return channels


def solve_both(asked: CondaQuery, posed: PosedProblem, manifest: Manifest, around: Surroundings) -> Solution:
    """One command line about packages of both kinds: the conda side as it was given, the PyPI side as it was posed.

    Their Python is conda's, of the minor that was posed.
    """
    from envc.mapping import load_names
    from envc.parse.conda_query import DEFAULT_CHANNELS, parse_conda_query
    from envc.pose_conda import python_spec
    from envc.resolve_conda import open_channels, within
    from envc.resolve_mixed import solve_mixed_all
    from envc_solvers.mixed.solve import MixedProblem

    assert isinstance(posed.problem, Problem)
    with (
        open_origins(manifest, around) as origins,
        open_channels(
            asked.channels or DEFAULT_CHANNELS,
            {},
            channel_settings(around.environ),
            around.progress,
            now=around.now,
            offline=around.offline,
            refresh=around.refresh,
            keyring=origins.keyring,
        ) as (channels, places),
    ):
        text = python_spec(posed.problem.python)
        asked = msgspec.structs.replace(asked, specs=(*asked.specs, text))
        conda = within(places, parse_conda_query(asked, places, around.now))
        both = msgspec.structs.replace(posed, problem=MixedProblem(conda=conda, pypi=posed.problem))
        answered = solve_mixed_all((both,), channels, origins, load_names({}), around.progress, limits=around.limits)
        return answered[0][1]


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


def warn_of_link_scripts(
    manifest: Manifest, members: Iterable[EnvironmentMember], around: Surroundings, keyring: Keyring
) -> None:
    """Name the scripts of newly locked conda packages that conda would run, and envc does not.

    `keyring` is the run's, so that none is asked twice.
    """
    from envc.fetch.channels import resolve_channels
    from envc.fetch.http import Client
    from envc.fetch.link_scripts import LinkScripts

    settings = read_settings(around.environ)
    places = resolve_channels(manifest.channels, manifest.sources, keyring, root=manifest.root)
    # What nobody needs is not waited for.
    client = Client(keyring, transport=settings.transport, read_timeout=10, tries=1)
    try:
        found = LinkScripts(places, client, settings.cache, offline=around.offline).find(members)
    finally:
        client.close()
    for member, scripts in found.items():
        for path in scripts:
            around.progress.warn(f"{member.name} {member.version} has {path}, which envc never runs")


def line_labels(manifest: Manifest, cells: tuple[StepTarget, ...]) -> Callable[[str], str]:
    """Adds to a rendered key path the line of the manifest where it stands. Reads the manifest when first asked."""
    lines: dict[str, int] = {}

    def label(origin: str) -> str:
        if not lines:
            from envc.parse.positions import Positions

            positions = Positions(manifest.path.read_text(encoding="utf-8-sig"))
            pypi = (*manifest.constraints.pypi, *manifest.overrides.pypi, *(d for cell in cells for d in cell.pypi))
            conda = (*manifest.constraints.conda, *manifest.overrides.conda, *(d for cell in cells for d in cell.conda))
            written: list[KeyPath] = [dependency.at for dependency in pypi]
            written += [dependency.at for dependency in conda]
            written += [("project", "python")]
            written += [("steps", step, key) for step in manifest.steps for key in ("python", "interpreter")]
            for at in written:
                place = positions.of((*manifest.prefix, *at))
                if place is not None:
                    lines[render_key_path(at)] = place[0]
        before, space, key = origin.rpartition(" ")
        return f"{before}{space}{key}, line {lines[key]}" if key in lines else origin

    return label
