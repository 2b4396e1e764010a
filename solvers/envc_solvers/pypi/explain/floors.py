"""The cost of a declared floor: newer versions whose files need a higher one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from envc_solvers.pypi.language.index import Index
from envc_solvers.pypi.language.specifier import parsed
from envc_solvers.pypi.language.tags import explain_file, rank_files, wheel_tags
from envc_solvers.pypi.problem import PyPIProblem, PyPIRoot
from envc_solvers.pypi.search.candidate import Candidate
from envc_solvers.pypi.search.project import Project, Rules
from envc_solvers.solution import Pin, Solution
from envc_solvers.target import Target

# Higher than any that wheels state; only the C library and macOS are stated in wheel tags (PEP 600, 656, 425).
_ANY = {"glibc": "2.99", "musl": "1.99", "macos": "99.0"}


def excluded_by_floors(problem: PyPIProblem, solution: Solution, index: Index) -> tuple[str, ...]:
    """One line for each project with a newer version that only a declared floor excludes:
    ``numpy 2.2.6 is locked: 2.3.5 needs glibc 2.28, target has 2.17``.

    Nothing for targets with the default floors; their pages are not read again. All requirements on the project in this
    solution allow the newer version. Its own requirements are not checked. Projects that the solution reports as passed
    over are left out.
    """
    floors = {name: high for name, high in _ANY.items() if name in problem.target.declared}
    if not floors or problem.policy.strategy != "highest":
        return ()
    unrestricted = msgspec.structs.replace(problem.target, **floors)
    rules = Rules(problem.policy, problem.python.full_version, {}, frozenset())
    specifiers = _specifiers(problem, solution.pins)
    lines = []
    said = {one.name for one in solution.passed_over}
    for pin in solution.pins:
        if (
            pin.kind == "pypi"
            and pin.name not in said
            and (best := _best(pin, problem, unrestricted, rules, specifiers, index)) is not None
        ):
            reason = explain_file(best.file.name, wheel_tags(problem.target, problem.python))
            lines.append(f"{pin.name} {pin.version} is locked: {best.version} {reason}")
    return tuple(lines)


def _best(
    pin: Pin,
    problem: PyPIProblem,
    unrestricted: Target,
    rules: Rules,
    specifiers: dict[str, frozenset[str]],
    index: Index,
) -> Candidate | None:
    """The version that a higher floor would allow, if it is newer and has no file for this target."""
    files = index.files(pin.name)
    view = rank_files(pin.name, pin.source, files, wheel_tags(unrestricted, problem.python))
    candidates = Project(view, rules, "highest").candidates(specifiers.get(pin.name, frozenset()))
    best = next(iter(candidates), None)
    if best is None or parsed(best.version) <= parsed(pin.version):
        return None
    usable = {parsed(release.version) for release in index.view(pin.name).releases}
    return best if parsed(best.version) not in usable else None


def _specifiers(problem: PyPIProblem, pins: Iterable[Pin]) -> dict[str, frozenset[str]]:
    """By project, all specifiers of requirements on it, as if every marker held."""
    found: dict[str, set[str]] = {}
    for name, specifier in _stated(problem, pins):
        if specifier:
            found.setdefault(name, set()).add(specifier)
    return {name: frozenset(specifiers) for name, specifiers in found.items()}


def _stated(problem: PyPIProblem, pins: Iterable[Pin]) -> Iterator[tuple[str, str]]:
    roots: tuple[PyPIRoot, ...] = (*problem.roots, *problem.constraints, *problem.overrides)
    overridden = {root.requirement.name for root in problem.overrides}
    for root in roots:
        yield root.requirement.name, root.requirement.specifier
    for pin in pins:
        for requirement in pin.requires:
            if requirement.name not in overridden:
                yield requirement.name, requirement.specifier
