"""A change that makes a failed problem solvable, tried before it is suggested."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec
from resolvelib.resolvers import ResolutionImpossible

from envc_solvers.errors import ProjectNotFound, Unanswered
from envc_solvers.pypi.explain.conflict import PyPIConflict
from envc_solvers.pypi.explain.corrections import Trials, suggest_several
from envc_solvers.pypi.explain.subjects import NoFile, Refused
from envc_solvers.pypi.language.requirement import Requirement
from envc_solvers.pypi.problem import Budget, PyPIProblem, PyPIRoot
from envc_solvers.pypi.search.journal import Journal
from envc_solvers.pypi.search.run import SearchContext, search
from envc_solvers.pypi.search.search import SearchLimit
from envc_solvers.solution import Solution

_MOST_TRIALS = 10
_CANDIDATES = 1_500  # in all trials of one change; real sets need a few hundred if there is no conflict

Change = tuple[PyPIProblem, str, str]  # the changed problem, its description, and the project whose version to mention


def suggest(problem: PyPIProblem, context: SearchContext, conflict: PyPIConflict, nearest: dict[str, str]) -> str:
    """A suggestion in words: one change if a single one helps, else several; "" if there was no time to find one.

    `problem` is the whole problem, so that the suggestion yields a solution and not the next conflict. `nearest`
    maps names that do not exist to names that do. The trials may ask the index for more than the failed search did; an
    index that does not answer ends them.
    """
    left = _CANDIDATES
    try:
        for changed, words, name in islice(_changes(problem, conflict, nearest), _MOST_TRIALS):
            journal = Journal()
            budget = Budget(max_tries=left, out_of_time=context.budget.out_of_time)
            try:
                solution = search(changed, msgspec.structs.replace(context, budget=budget), journal)
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
        trials = Trials(problem, context, nearest)
        words, names = suggest_several(problem, conflict, trials, _looser)
    except (SearchLimit, Unanswered):
        return ""
    return words + _giving(trials.solution, names)


def _giving(solution: Solution | None, names: Iterable[str]) -> str:
    """The versions that a solution has of these projects, as the end of a suggestion."""
    versions = {pin.name: pin.version for pin in solution.pins} if solution is not None else {}
    chosen = [f"{name} {versions[name]}" for name in dict.fromkeys(names) if name in versions]
    return f"; that gives {', '.join(chosen)}" if chosen else ""


def _changes(problem: PyPIProblem, conflict: PyPIConflict, nearest: dict[str, str]) -> Iterator[Change]:
    """Changes, the smallest first: a name, a policy, a constraint, a bound, a whole requirement."""
    named = set(conflict.roots)
    roots = [root for root in problem.roots if (str(root.requirement), root.origin) in named]
    constraints = [root for root in problem.constraints if (str(root.requirement), root.origin) in named]
    for root in roots:
        if (similar := nearest.get(root.requirement.name)) is not None:
            other = msgspec.structs.replace(root.requirement, name=similar)
            yield _instead(problem, root, other), f"`{other}` instead of `{root.requirement}`", similar
    yield from _policies(problem, conflict)
    for constraint in constraints:
        kept = tuple(other for other in problem.constraints if other is not constraint)
        text = f"leave out the constraint `{constraint.requirement}`"
        yield msgspec.structs.replace(problem, constraints=kept), text, constraint.requirement.name
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
    """Exceptions to the policy, each for one project."""
    policy = problem.policy
    replace = msgspec.structs.replace
    for subject in conflict.subjects:
        if not isinstance(subject, Refused):
            continue
        name, kinds = subject.project, {why.kind for _, why in subject.rejected}
        if policy.prereleases == "never" and "prerelease" in kinds:
            changed = replace(policy, prereleases_for=policy.prereleases_for | {name})
            yield replace(problem, policy=changed), f"allow pre-releases of {name}", name
        if kinds & {"too-new", "no-upload-time"}:
            changed = replace(policy, exclude_newer_for={**policy.exclude_newer_for, name: None})
            yield replace(problem, policy=changed), f"lift the cut-off for {name}", name


def _sources(problem: PyPIProblem, conflict: PyPIConflict) -> Iterator[Change]:
    """Projects that packages require from URLs, taken from the index instead."""
    for subject in conflict.subjects:
        rejected = subject.rejected if isinstance(subject, Refused) else ()
        for name in dict.fromkeys(why.detail for _, why in rejected if why.kind == "url"):
            changed = msgspec.structs.replace(problem, overrides=(*problem.overrides, PyPIRoot(Requirement(name))))
            yield changed, f"an override `{name}`, which takes it from the index", name


def _elsewhere(problem: PyPIProblem, conflict: PyPIConflict, roots: list[PyPIRoot]) -> Iterator[Change]:
    """A project that has files for other systems only, required only there."""
    system = problem.target.facts.sys_platform
    for subject in conflict.subjects:
        if not isinstance(subject, NoFile) or any(file.above_floor or file.other_python for file in subject.nearest):
            continue
        for root in roots:
            if root.requirement.name == subject.project and not root.requirement.marker:
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
    """A sort key: exact versions first, then ranges with an upper bound, then all others."""
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
