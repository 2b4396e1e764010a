"""A change that makes a failed problem solvable, tried before it is said."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import msgspec
from resolvelib.resolvers import ResolutionImpossible

from envc_solvers.errors import ProjectNotFound, Unanswered
from envc_solvers.pypi.explain.conflict import PyPIConflict
from envc_solvers.pypi.explain.corrections import Trials, several
from envc_solvers.pypi.language.index import Index
from envc_solvers.pypi.language.markers import Markers
from envc_solvers.pypi.language.requirement import Requirement
from envc_solvers.pypi.problem import PyPIProblem, PyPIRoot
from envc_solvers.pypi.search.journal import Journal
from envc_solvers.pypi.search.run import search
from envc_solvers.pypi.search.search import SearchLimit
from envc_solvers.solution import Solution

_MOST_TRIALS = 10
_CANDIDATES = 1_500  # in all trials of one change; real sets take some hundreds when nothing stands in the way

_FROM_URL = re.compile(r"requires? (\S+) from a URL")
Change = tuple[PyPIProblem, str, str]  # the changed problem, what to say, and the project whose version is of interest


def suggest(
    problem: PyPIProblem,
    conflict: PyPIConflict,
    nearest: dict[str, str],
    index: Index,
    markers: Markers,
    out_of_time: Callable[[], bool] | None,
) -> str:
    """What helps, in words: one change where one does, else several; "" where there was no time to find out.

    `problem` is the whole one, so that what is said leads to a solution and not to the next conflict. `nearest` holds
    names that exist for names that do not. The trials may ask the index for more than the failed search did; one that
    does not answer ends them.
    """
    left = _CANDIDATES
    try:
        for changed, words, name in islice(_changes(problem, conflict, nearest), _MOST_TRIALS):
            journal = Journal()
            try:
                solution = search(changed, index, markers, journal, left, out_of_time)
            except (ResolutionImpossible, ProjectNotFound):
                left -= journal.tried
            except SearchLimit as limit:
                if limit.timed_out:
                    return ""
                break
            else:
                return words + _giving(solution, (name,))
            if left <= 0:
                break
        trials = Trials(problem, index, markers, nearest, out_of_time)
        words, names = several(problem, conflict, trials, _looser)
    except (SearchLimit, Unanswered):
        return ""
    return words + _giving(trials.solution, names)


def _giving(solution: Solution | None, names: Iterable[str]) -> str:
    """What a solution has of names, after what leads to it."""
    versions = {pin.name: pin.version for pin in solution.pins} if solution is not None else {}
    chosen = [f"{name} {versions[name]}" for name in dict.fromkeys(names) if name in versions]
    return f"; that gives {', '.join(chosen)}" if chosen else ""


def _changes(problem: PyPIProblem, conflict: PyPIConflict, nearest: dict[str, str]) -> Iterator[Change]:
    """Changes, the smallest first: a name, a policy, a bound, a whole requirement."""
    named = set(conflict.roots)
    roots = [root for root in problem.roots if (str(root.requirement), root.origin) in named]
    limits = [root for root in problem.constraints if (str(root.requirement), root.origin) in named]
    for root in roots:
        if (meant := nearest.get(root.requirement.name)) is not None:
            other = msgspec.structs.replace(root.requirement, name=meant)
            yield _instead(problem, root, other), f"`{other}` instead of `{root.requirement}`", meant
    yield from _policies(problem, conflict)
    for limit in limits:
        kept = tuple(other for other in problem.constraints if other is not limit)
        text = f"leave out the constraint `{limit.requirement}`"
        yield msgspec.structs.replace(problem, constraints=kept), text, limit.requirement.name
    for override in problem.overrides:
        if (str(override.requirement), override.origin) in named:
            kept = tuple(other for other in problem.overrides if other is not override)
            text = f"leave out the override `{override.requirement}`"
            yield msgspec.structs.replace(problem, overrides=kept), text, override.requirement.name
    yield from _sources(problem, conflict)
    for loosened in (_without_upper_bounds, _without_bounds):
        for root in sorted(roots, key=_how_tight):
            specifier = loosened(root.requirement.specifier)
            if specifier != root.requirement.specifier:
                other = msgspec.structs.replace(root.requirement, specifier=specifier)
                yield (
                    _instead(problem, root, other),
                    f"`{other}` instead of `{root.requirement}`",
                    root.requirement.name,
                )
    yield from _elsewhere(problem, conflict, roots)
    if len(problem.roots) > 1:
        for root in reversed(roots):
            kept = tuple(other for other in problem.roots if other is not root)
            yield msgspec.structs.replace(problem, roots=kept), f"leave out `{root.requirement}`", ""


def _policies(problem: PyPIProblem, conflict: PyPIConflict) -> Iterator[Change]:
    """What the policy refuses, allowed for one project alone."""
    policy = problem.policy
    replace = msgspec.structs.replace
    for subject in conflict.subjects:
        name = subject.project
        if policy.prereleases == "never" and "a pre-release" in subject.text:
            changed = replace(policy, prereleases_for=policy.prereleases_for | {name})
            yield replace(problem, policy=changed), f"allow pre-releases of {name}", name
        if "uploaded after the cut-off" in subject.text or "no upload time" in subject.text:
            changed = replace(policy, exclude_newer_for={**policy.exclude_newer_for, name: None})
            yield replace(problem, policy=changed), f"lift the cut-off for {name}", name


def _sources(problem: PyPIProblem, conflict: PyPIConflict) -> Iterator[Change]:
    """What packages take from URLs, taken from the index instead."""
    for subject in conflict.subjects:
        for name in dict.fromkeys(_FROM_URL.findall(subject.text)):
            override = PyPIRoot(Requirement(name), "suggestion")
            changed = msgspec.structs.replace(problem, overrides=(*problem.overrides, override))
            yield changed, f"an override `{name}`, which takes it from the index", name


def _elsewhere(problem: PyPIProblem, conflict: PyPIConflict, roots: list[PyPIRoot]) -> Iterator[Change]:
    """What has files for other systems only, asked for there only."""
    system = problem.target.facts.sys_platform
    for subject in conflict.subjects:
        here = any(word in file for file in subject.files for word in ("target has", "Python", "ABI"))
        foreign = subject.reason == "no-file" and not here
        for root in roots:
            if foreign and root.requirement.name == subject.project and not root.requirement.marker:
                kept = tuple(other for other in problem.roots if other is not root)
                text = f"`{root.requirement}; sys_platform != '{system}'` instead of `{root.requirement}`"
                yield msgspec.structs.replace(problem, roots=kept), text, ""


def _instead(problem: PyPIProblem, root: PyPIRoot, requirement: Requirement) -> PyPIProblem:
    other = msgspec.structs.replace(root, requirement=requirement)
    roots = tuple(other if each is root else each for each in problem.roots)
    return msgspec.structs.replace(problem, roots=roots)


def _looser(requirement: Requirement) -> Iterator[Requirement]:
    for loosened in (_without_upper_bounds, _without_bounds):
        specifier = loosened(requirement.specifier)
        if specifier != requirement.specifier:
            yield msgspec.structs.replace(requirement, specifier=specifier)


def _how_tight(root: PyPIRoot) -> tuple[int, str]:
    """Exact versions before ranges with an end before all others."""
    specifier = root.requirement.specifier
    return (0 if "==" in specifier else 1 if "<" in specifier or "~=" in specifier else 2), root.requirement.name


def _without_upper_bounds(specifier: str) -> str:
    """The lower bounds of a specifier set: ``==1.2`` and ``~=1.2`` become ``>=1.2``, ``<2`` and ``!=1.3`` nothing."""
    kept = []
    for clause in filter(None, specifier.split(",")):
        if clause.startswith((">", ">=")):
            kept.append(clause)
        elif clause.startswith(("==", "~=")) and not clause.startswith("==="):
            kept.append(f">={clause[2:].removesuffix('.*').partition('+')[0]}")
    return ",".join(sorted(kept))


def _without_bounds(specifier: str) -> str:
    return ""
