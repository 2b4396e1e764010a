"""resolve_conda: problems for the conda solver, over the channels that somebody names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc.errors import EnvcError, Refusal, SourceUnreachable, Unsolvable
from envc.fetch.conda.channels import Channels
from envc.fetch.conda.places import ChannelPlace, known_channel, resolve_channels
from envc.fetch.context import FetchContext, fetch_context
from envc.fetch.net.settings import channel_settings
from envc.locking.manifest.conda_query import DEFAULT_CHANNELS, CondaQuery, parse_conda_query
from envc_solvers.conda.explain.conflict import CondaUnsolvable as Conflicting
from envc_solvers.conda.explain.floors import kept_out
from envc_solvers.conda.language.record import RecordUnusable
from envc_solvers.conda.problem import CondaProblem, CondaRoot
from envc_solvers.conda.solve import solve_conda
from envc_solvers.errors import SolverError

if TYPE_CHECKING:
    from envc.context import Context
    from envc.locking.plan.problems import PosedProblem
    from envc.model.manifest import Source
    from envc.model.progress import Progress
    from envc_solvers.conda.language.index import Repodata
    from envc_solvers.solution import Solution


@contextmanager
def open_channels(
    names: tuple[str, ...],
    sources: Mapping[str, Source],
    context: FetchContext,
    *,
    root: Path | None = None,
) -> Iterator[tuple[Channels, dict[str, ChannelPlace]]]:
    """Channels by name, path or URL, in this order, and where they live by name.

    The context's client is closed at the end.
    """
    places = resolve_channels(names, sources, context.keyring, root=root)
    try:
        with Channels(places, context) as channels:
            yield channels, places
    finally:
        context.client.close()


def solve_one(title: str, problem: CondaProblem, repodata: Repodata, label: Callable[[str], str] = str) -> Solution:
    """The solution of a problem. Raises envc's Unsolvable, and what the repodata raises, as EnvcError."""
    try:
        return solve_conda(problem, repodata)
    except SolverError as error:
        raise refused(title, problem, error, label) from None


def refused(title: str, problem: CondaProblem, error: SolverError, label: Callable[[str], str]) -> EnvcError:
    """What the conda solver or its repodata raised, as people are told of it."""
    if isinstance(error, RecordUnusable):
        place = f"the record of {error.subdir}/{error.file}"
        return SourceUnreachable(error.channel, place, error.reason, "tell the people who keep the channel")
    if isinstance(error, Conflicting):
        conflict = error.conflict.relabelled(label)
        # Its first line says for which target; the title does.
        text = located("\n".join(str(conflict).splitlines()[1:]), problem, label)
        return Unsolvable((Refusal(title, text, conflict.data()),))
    return Unsolvable((Refusal(title, str(error), {"target": problem.target, "reason": str(error)}),))


def located(text: str, problem: CondaProblem, label: Callable[[str], str]) -> str:
    """A text about constraints with where they stand."""
    for root in problem.constraints:
        said = f"the constraint {root.text} rules it out"
        if root.origin and said in text:
            text = text.replace(said, f"the constraint {root.text} ({label(root.origin)}) rules it out")
    return text


def solve_query(query: CondaQuery, context: Context) -> Solution:
    """parse → solve, for one command line about conda packages."""
    fetching = fetch_context(channel_settings(context.environ), context)
    with open_channels(query.channels or DEFAULT_CHANNELS, {}, fetching) as (channels, places):
        problem = within(places, parse_conda_query(query, places, context.now))
        return solve_one(f"the specs for {query.platform}", problem, channels.repodata(query.platform))


def within(places: Mapping[str, ChannelPlace], problem: CondaProblem) -> CondaProblem:
    """The problem with every channel that a spec names called as records call it. Raises UsageError for another."""

    def settled(root: CondaRoot) -> CondaRoot:
        if root.spec.channel is None:
            return root
        spec = msgspec.structs.replace(root.spec, channel=known_channel(root.spec.channel, places))
        # What was written is shown in explanations, and a URL may hold a password.
        text = root.text if "@" not in root.spec.channel else str(spec)
        return msgspec.structs.replace(root, spec=spec, text=text)

    return msgspec.structs.replace(
        problem,
        specs=tuple(map(settled, problem.specs)),
        constraints=tuple(map(settled, problem.constraints)),
        overrides=tuple(map(settled, problem.overrides)),
    )


def solve_conda_all(
    problems: tuple[PosedProblem, ...], channels: Channels, progress: Progress, label: Callable[[str], str] = str
) -> list[tuple[PosedProblem, Solution]]:
    """Every conda problem with its solution, or Unsolvable with every problem that has none."""
    from envc.locking.resolve.refusal import title_of

    asked = [(posed, posed.problem) for posed in problems if isinstance(posed.problem, CondaProblem)]
    task = progress.task("solving", len(asked))
    solutions: list[tuple[PosedProblem, Solution]] = []
    refusals: list[Refusal] = []
    for posed, problem in asked:
        platform = posed.step_targets[0].target.platform
        repodata = channels.repodata(platform, problem.channels)
        try:
            solution = solve_one(title_of(posed), problem, repodata, label)
        except Unsolvable as error:
            refusals += error.refusals
        else:
            for warning in kept_out(problem, solution, repodata, posed.step_targets[0].target):
                progress.warn(f"{posed.title}: {warning}")
            solutions.append((posed, with_record_digests(solution, channels, platform)))
        task.advance()
    task.done()
    if refusals:
        raise Unsolvable(tuple(refusals))
    return solutions


def with_record_digests(solution: Solution, channels: Channels, platform: str) -> Solution:
    """The solution with the digests and sizes that no record states, found out from the files themselves."""
    pins = []
    for pin in solution.pins:
        if pin.kind == "conda" and not (pin.sha256 and pin.size):
            digest, size = channels.identify(pin.source, platform, pin.file)
            pin = msgspec.structs.replace(pin, sha256=digest, size=size)
        pins.append(pin)
    return msgspec.structs.replace(solution, pins=tuple(pins))
