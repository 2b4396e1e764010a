"""What a declared floor costs: newer files that exist for machines a little newer than the target."""

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


def kept_out(problem: PyPIProblem, solution: Solution, index: Index) -> tuple[str, ...]:
    """One line for each project of which a newer version would do but for the floor that somebody declared:
    ``numpy 2.2.6 is locked: 2.3.5 needs glibc 2.28, target has 2.17``.

    Nothing for targets with the default floors, whose pages are not read again. The newer version is one that what is
    required of the project here allows; whether its own requirements could be met is not asked.
    """
    floors = {name: high for name, high in _ANY.items() if name in problem.target.declared}
    if not floors or problem.policy.strategy != "highest":
        return ()
    generous = msgspec.structs.replace(problem.target, **floors)
    rules = Rules(problem.policy, problem.python.full_version, {}, frozenset())
    wanted = _wanted(problem, solution.pins)
    lines = []
    for pin in solution.pins:
        if pin.kind == "pypi" and (best := _best(pin, problem, generous, rules, wanted, index)) is not None:
            reason = explain_file(best.file.name, wheel_tags(problem.target, problem.python))
            lines.append(f"{pin.name} {pin.version} is locked: {best.version} {reason}")
    return tuple(lines)


def _best(
    pin: Pin, problem: PyPIProblem, generous: Target, rules: Rules, wanted: dict[str, frozenset[str]], index: Index
) -> Candidate | None:
    """The version that would be chosen on a newer machine, if it is newer and this target has no file of it."""
    files = index.files(pin.name)
    view = rank_files(pin.name, pin.source, files, wheel_tags(generous, problem.python))
    candidates = Project(view, rules, "highest").candidates(wanted.get(pin.name, frozenset()))
    best = next(iter(candidates), None)
    if best is None or parsed(best.version) <= parsed(pin.version):
        return None
    usable = {parsed(release.version) for release in index.view(pin.name).releases}
    return best if parsed(best.version) not in usable else None


def _wanted(problem: PyPIProblem, pins: Iterable[Pin]) -> dict[str, frozenset[str]]:
    """Per project every specifier that somebody states of it, as if each marker held."""
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
