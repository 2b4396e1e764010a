"""Solves all problems of a run: PyPI over the indexes of the manifest, conda over its channels, and mixed over both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc.context import Context
from envc.errors import Refusal, Unsolvable
from envc.fetch.context import fetch_context
from envc.fetch.net.settings import channel_settings
from envc.fetch.pypi.indexes import Indexes
from envc.locking.plan.problems import SharedProblem
from envc.locking.resolve.open import open_origins
from envc.model.digest import Sha256
from envc.model.graph import Build, LockGraph
from envc.model.manifest import Manifest
from envc_solvers.pypi.problem import PyPIProblem
from envc_solvers.solution import Solution

if TYPE_CHECKING:
    from envc.fetch.conda.channels import Channels
    from envc.fetch.net.credentials import Keyring
    from envc.locking.builds.run_builds import RunBuilds
    from envc.locking.manifest.conda_query import CondaQuery


def solve_problems(
    problems: tuple[SharedProblem, ...],
    manifest: Manifest,
    context: Context,
    *,
    lock: LockGraph | None = None,
    is_unpinned: Callable[[str], bool] = lambda _name: False,
) -> Solved:
    """Every problem with its solution. Raises Unsolvable with every problem that has none.

    Resolved direct requirements and builds of wheels are kept from `lock`, unless `is_unpinned` returns true for the
    name.
    """
    interpreters = None
    if any(shared.standalone for shared in problems):
        from envc.locking.resolve.standalone import Interpreters

        interpreters = Interpreters(problems, manifest, context)
        problems = tuple(map(interpreters.with_interpreter, problems))
    refusals: list[Refusal] = []
    solutions: list[tuple[SharedProblem, Solution]] = []
    with ExitStack() as opened:
        run = _Run(problems, manifest, context, lock, is_unpinned, opened)
        for solve in run.solvers():
            try:
                solutions += solve()
            except Unsolvable as error:
                refusals += error.refusals
    if refusals:
        raise Unsolvable(tuple(refusals))
    if interpreters is not None:
        solutions = [(shared, interpreters.solution(shared, solution)) for shared, solution in solutions]
    return Solved(solutions, run.builds, run.built_with, run.keyring, run.whole)


class Solved(msgspec.Struct, frozen=True):
    """The solutions of a run."""

    solutions: list[tuple[SharedProblem, Solution]]
    builds: tuple[Build, ...]  # of wheels that no source serves
    built_with: dict[tuple[str, str], str | None]  # like `yanked`, for build requirements
    keyring: Keyring  # holds the logins of the sources and channels that were used
    whole: Mapping[Sha256, Path]  # files that were read to their ends

    @property
    def yanked(self) -> dict[tuple[str, str], str | None]:
        """By source and sha256 of each chosen file of an index: why it was yanked, or None."""
        pins = (pin for _, solution in self.solutions for pin in solution.pins)
        return self.built_with | {(pin.source, pin.sha256): pin.yanked for pin in pins if pin.kind == "pypi"}


class _Run:
    """The problems of a run by their kind. Indexes and channels are opened only if a problem needs them."""

    def __init__(
        self,
        problems: tuple[SharedProblem, ...],
        manifest: Manifest,
        context: Context,
        lock: LockGraph | None,
        is_unpinned: Callable[[str], bool],
        opened: ExitStack,
    ) -> None:
        self._pypi = tuple(shared for shared in problems if isinstance(shared.problem, PyPIProblem))
        self._mixed = tuple(shared for shared in problems if shared.is_mixed)
        self._conda = tuple(shared for shared in problems if shared.step_targets[0].uses_conda and not shared.is_mixed)
        self._manifest = manifest
        self._context = context
        self._lock = lock
        self._is_unpinned = is_unpinned
        self._opened = opened
        self._run_builds: RunBuilds | None = None
        self._origins: Indexes | None = None

    @cached_property
    def keyring(self) -> Keyring:
        """The keyring of the run. pip's configuration counts only if the run uses an index."""
        return self._origins.context.keyring if self._origins else channel_settings(self._context.environ).keyring()

    @property
    def whole(self) -> Mapping[Sha256, Path]:
        """The artifacts of indexes and references that the run has read as a whole."""
        return self._origins.artifacts.whole if self._origins is not None else {}

    @property
    def builds(self) -> tuple[Build, ...]:
        """How the wheels that no source serves were built."""
        return self._run_builds.builder.builds if self._run_builds is not None else ()

    @property
    def built_with(self) -> dict[tuple[str, str], str | None]:
        """Like `Solved.yanked`, for build requirements."""
        return self._run_builds.yanked if self._run_builds is not None else {}

    def solvers(self) -> Iterator[Callable[[], list[tuple[SharedProblem, Solution]]]]:
        """One function for each kind of problem that the run has."""
        progress, limits = self._context.progress, self._context.limits
        if self._pypi or self._mixed:
            origins = self._origins = self._opened.enter_context(open_origins(self._manifest, self._context))
            self._run_builds = builds = self._open_builds(origins)
        if self._pypi:
            from envc.locking.resolve.pypi import solve_all

            align = self._manifest.policy.align
            yield lambda: solve_all(self._pypi, origins, progress, align=align, limits=limits, builds=builds)
        if self._conda or self._mixed:
            channels = self._open_channels()
        if self._conda:
            from envc.locking.resolve.conda import solve_conda_all

            yield lambda: solve_conda_all(self._conda, channels, progress)
        if self._mixed:
            from envc.locking.resolve.mixed import MixedSources, solve_mixed_all
            from envc.locking.resolve.names.table import load_names

            sources = MixedSources(channels, origins, load_names(self._manifest.mapping), builds)
            yield lambda: solve_mixed_all(self._mixed, sources, progress, limits)

    def _open_builds(self, origins: Indexes) -> RunBuilds | None:
        if not any(shared.direct or shared.buildable for shared in (*self._pypi, *self._mixed)):
            return None
        # Builds import half of the compiler, which most locks never need.
        from envc.locking.builds.run_builds import RunBuilds

        return RunBuilds(origins, self._manifest, self._context, lock=self._lock, is_unpinned=self._is_unpinned)

    def _open_channels(self) -> Channels:
        from envc.locking.resolve.conda import open_channels

        manifest, context = self._manifest, self._context
        needed = {
            channel.name for shared in (*self._conda, *self._mixed) for channel in shared.step_targets[0].channels
        }
        channels, _ = self._opened.enter_context(
            open_channels(
                tuple(name for name in manifest.channels if name in needed),
                manifest.sources,
                fetch_context(channel_settings(context.environ), context, self.keyring),
                root=manifest.root,
            )
        )
        return channels


def solve_both(query: CondaQuery, shared: SharedProblem, manifest: Manifest, context: Context) -> Solution:
    """The solution for one command line with packages of both kinds.

    `query` is the conda side as given, `shared` the PyPI side. Python comes from conda, with the minor of `shared`.
    """
    from envc.locking.manifest.conda_query import parse_conda_query
    from envc.locking.plan.conda_problems import python_spec
    from envc.locking.resolve.conda import channels_of, open_channels, with_record_channels
    from envc.locking.resolve.mixed import MixedSources, solve_mixed_all
    from envc.locking.resolve.names.table import load_names
    from envc_solvers.mixed.problem import MixedProblem

    assert isinstance(shared.problem, PyPIProblem)
    with (
        open_origins(manifest, context) as origins,
        open_channels(
            channels_of(query),
            {},
            fetch_context(channel_settings(context.environ), context, origins.context.keyring),
        ) as (channels, locations),
    ):
        text = python_spec(shared.problem.python)
        query = msgspec.structs.replace(query, specs=(*query.specs, text))
        conda = with_record_channels(locations, parse_conda_query(query, locations, context.now))
        both = msgspec.structs.replace(shared, problem=MixedProblem(conda=conda, pypi=shared.problem))
        sources = MixedSources(channels, origins, load_names({}))
        return solve_mixed_all((both,), sources, context.progress, context.limits)[0][1]
