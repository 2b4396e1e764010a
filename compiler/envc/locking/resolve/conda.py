"""Solves conda problems over the channels of a manifest or a command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc.errors import Refusal, Unsolvable
from envc.fetch.conda.channel_locations import (
    DEFAULTS,
    ChannelLocation,
    default_channels,
    known_channel,
    resolve_channels,
)
from envc.fetch.conda.channels import Channels
from envc.fetch.context import FetchContext, fetch_context
from envc.fetch.net.settings import channel_settings
from envc.locking.manifest.conda_query import DEFAULT_CHANNELS, CondaQuery, parse_conda_query
from envc.locking.resolve.refusal import conda_error, title_of
from envc_solvers.conda.explain.floors import excluded_by_floors
from envc_solvers.conda.language.interpreters import refuse_other_interpreter
from envc_solvers.conda.problem import CondaProblem, CondaRoot
from envc_solvers.conda.solve import solve_conda
from envc_solvers.errors import SolverError

if TYPE_CHECKING:
    from envc.context import Context
    from envc.locking.plan.problems import SharedProblem
    from envc.model.manifest import Source
    from envc.model.progress import Progress
    from envc_solvers.conda.language.index import Repodata
    from envc_solvers.solution import Solution
    from envc_solvers.target import Python


@contextmanager
def open_channels(
    names: tuple[str, ...],
    sources: Mapping[str, Source],
    context: FetchContext,
    *,
    root: Path | None = None,
) -> Iterator[tuple[Channels, dict[str, ChannelLocation]]]:
    """Channels by name, path or URL, in this order, and their locations by name.

    Paths are relative to `root`. The client of `context` is closed at the end.
    """
    locations = resolve_channels(names, sources, context.keyring, base=context.settings.channel_alias, root=root)
    try:
        with Channels(locations, context) as channels:
            yield channels, locations
    finally:
        context.client.close()


def solve_one(title: str, problem: CondaProblem, repodata: Repodata, python: Python | None = None) -> Solution:
    """The solution of a problem, whose Python must be `python`, if given.

    Raises Unsolvable, and the errors of the repodata as EnvcError.
    """
    try:
        solution = solve_conda(problem, repodata)
        if python is not None:
            refuse_other_interpreter(solution.pins, python)
        return solution
    except SolverError as error:
        raise conda_error(title, problem.target, error) from None


def solve_query(query: CondaQuery, context: Context) -> Solution:
    """parse → solve, for one command line about conda packages."""
    fetching = fetch_context(channel_settings(context.environ), context)
    with open_channels(channels_of(query), {}, fetching) as (channels, locations):
        problem = with_record_channels(locations, parse_conda_query(query, locations, context.now))
        return solve_one(f"the specs for {query.platform}", problem, channels.repodata(query.platform))


def channels_of(query: CondaQuery) -> tuple[str, ...]:
    """The channels of a command line."""
    channels = query.channels or DEFAULT_CHANNELS
    if DEFAULTS not in channels:
        return channels
    parts = (default_channels((query.platform,)) if text == DEFAULTS else (text,) for text in channels)
    return tuple(name for part in parts for name in part)


def with_record_channels(locations: Mapping[str, ChannelLocation], problem: CondaProblem) -> CondaProblem:
    """The problem, with the channels of its specs as records name them. Raises UsageError for an unknown one."""

    def with_record_channel(root: CondaRoot) -> CondaRoot:
        if root.spec.channel is None:
            return root
        spec = msgspec.structs.replace(root.spec, channel=known_channel(root.spec.channel, locations))
        # Explanations show the text as written, and a URL may hold a password.
        text = root.text if "@" not in root.spec.channel else str(spec)
        return msgspec.structs.replace(root, spec=spec, text=text)

    return msgspec.structs.replace(
        problem,
        specs=tuple(map(with_record_channel, problem.specs)),
        constraints=tuple(map(with_record_channel, problem.constraints)),
        overrides=tuple(map(with_record_channel, problem.overrides)),
    )


def solve_conda_all(
    problems: tuple[SharedProblem, ...], channels: Channels, progress: Progress
) -> list[tuple[SharedProblem, Solution]]:
    """Every conda problem with its solution. Raises Unsolvable with every problem that has none."""
    shared_problems = [(shared, shared.problem) for shared in problems if isinstance(shared.problem, CondaProblem)]
    task = progress.task("solving", len(shared_problems))
    solutions: list[tuple[SharedProblem, Solution]] = []
    refusals: list[Refusal] = []
    for shared, problem in shared_problems:
        platform = shared.step_targets[0].target.platform
        repodata = channels.repodata(platform, problem.channels)
        try:
            solution = solve_one(title_of(shared), problem, repodata, shared.step_targets[0].python)
        except Unsolvable as error:
            refusals += (msgspec.structs.replace(one, steps=tuple(shared.steps)) for one in error.refusals)
        else:
            for warning in excluded_by_floors(problem, solution, repodata, shared.step_targets[0].target):
                progress.warn(f"{shared.title}: {warning}")
            solutions.append((shared, with_record_digests(solution, channels, platform)))
        task.advance()
    task.done()
    if refusals:
        raise Unsolvable(tuple(refusals))
    return solutions


def with_record_digests(solution: Solution, channels: Channels, platform: str) -> Solution:
    """The solution, with digests and sizes that the records lack read from the files themselves."""
    pins = []
    for pin in solution.pins:
        if pin.kind == "conda" and not (pin.sha256 and pin.size):
            digest, size = channels.identify(pin.source, platform, pin.file)
            pin = msgspec.structs.replace(pin, sha256=digest, size=size)
        pins.append(pin)
    return msgspec.structs.replace(solution, pins=tuple(pins))
