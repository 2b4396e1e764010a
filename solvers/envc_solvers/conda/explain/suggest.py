"""Changes that make a failed problem solvable, tried before they are suggested."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from envc_solvers.conda.explain.diagnose import nearest_package
from envc_solvers.conda.explain.failure import specs_at_fault
from envc_solvers.conda.explain.reasons import Hidden, Limiting, NoPackage, Reason, Virtual
from envc_solvers.conda.explain.trials import Trials
from envc_solvers.conda.language.matchspec import InvalidMatchSpec, MatchSpec, parse_matchspec
from envc_solvers.conda.language.record import Record
from envc_solvers.conda.language.version import InvalidVersion, version_key
from envc_solvers.conda.problem import CondaRoot
from envc_solvers.conda.search.attempt import Attempt
from envc_solvers.conda.search.tables import Tables
from envc_solvers.correction import correct, in_words, loosen

if TYPE_CHECKING:
    from envc_solvers.conda.language.index import Repodata
    from envc_solvers.conda.problem import CondaProblem
    from envc_solvers.solution import Solution

_CONFLICTS = 120  # in all trials of one change
_MOST_TRIALS = 12
_CONFLICTS_OF_SEVERAL = 60  # in all trials of several changes
_VERSIONS = re.compile(r"[<>=~!]*\s*([0-9][0-9a-z.]*)").findall

_NEW_PYTHON = "\0"  # stands for the Python of the solution in a description

Change = tuple["CondaProblem", str, str]  # the changed problem, its description, and the name of the pin to mention


def suggest(
    problem: CondaProblem, repodata: Repodata, tables: Tables, numbers: tuple[int, ...], reasons: Iterable[Reason]
) -> str:
    """A suggestion in words: one change if a single one helps, else several; "" only if none of the specs is at fault.

    `tables` are the problem's; `numbers` are those of specs that fail together.
    """
    trials = Trials(_CONFLICTS)
    for changed, words, name in islice(_changes(problem, repodata, numbers, list(reasons)), _MOST_TRIALS):
        solution = trials.solution(changed, repodata)
        if solution is not None:
            return words.replace(_NEW_PYTHON, python_setting(solution)) + _giving(solution, (name,))
    return _suggest_several(problem, repodata, tables, numbers) if numbers else ""


def _suggest_several(problem: CondaProblem, repodata: Repodata, tables: Tables, numbers: tuple[int, ...]) -> str:
    """Specs to leave out so that the rest can be met, and looser specs in place of some of them."""
    specs = problem.specs
    trials = Trials(_CONFLICTS_OF_SEVERAL, frugal=True)
    settings = {number for number, root in enumerate(specs) if root.setting}  # which always stay
    if settings.issuperset(numbers):
        return ""
    dedicated = any(root.spec.channel for root in specs)  # then a spec decides which records others may match

    def trial(others: tuple[int, ...]) -> tuple[int, ...] | None:
        kept = tuple(sorted({*others, *settings}))
        if trials.is_over:
            return None
        smaller = msgspec.structs.replace(problem, specs=tuple(specs[number] for number in kept))
        attempt = Attempt(smaller, Tables(smaller, repodata) if dedicated else tables)
        solves = trials.solves(attempt)
        if solves is None:
            return None
        if solves:
            return ()
        return tuple(number for number in specs_at_fault(attempt, kept) if number not in settings) or others

    correction = correct(len(specs), tuple(number for number in numbers if number not in settings), trial)
    solution: Solution | None = None

    def choices(number: int) -> Iterator[CondaRoot]:
        root = specs[number]
        similar = _similar(root, problem, repodata) if not tables.table(root.spec.name).records else None
        return filter(None, (similar, _bare(root)))

    def solves(replacements: dict[int, CondaRoot]) -> bool:
        nonlocal solution
        roots = tuple(
            replacements.get(number, root)
            for number, root in enumerate(specs)
            if number in replacements or number not in correction.left_out
        )
        found = trials.solution(msgspec.structs.replace(problem, specs=roots), repodata)
        solution = found or solution
        return found is not None

    # `suggest` has already tried to loosen single specs.
    instead = loosen(correction.left_out if len(correction.left_out) > 1 else (), choices, solves)
    texts = {number: root.text for number, root in instead.items()}
    words = in_words([root.words for root in specs], correction, texts, "conda")
    return words + _giving(solution, [root.spec.name for root in instead.values()])


def _giving(solution: Solution | None, names: Iterable[str]) -> str:
    """The pins that a solution has of these names, as the end of a suggestion."""
    pins = {pin.name: pin for pin in solution.pins} if solution is not None else {}
    chosen = [
        f"{pins[name].name} {pins[name].version} {pins[name].build}" for name in dict.fromkeys(names) if name in pins
    ]
    return f"; that gives {', '.join(chosen)}" if chosen else ""


def _changes(
    problem: CondaProblem, repodata: Repodata, numbers: tuple[int, ...], reasons: list[Reason]
) -> Iterator[Change]:
    """Changes, the smallest first."""
    replace = msgspec.structs.replace
    for number in numbers:
        root = problem.specs[number]
        if any(isinstance(reason, NoPackage) and reason.on == root.spec.name for reason in reasons):
            similar = _similar(root, problem, repodata)
            if similar is not None:
                yield _with(problem, number, similar), f"`{similar.text}` instead of `{root.text}`", similar.spec.name
    for reason in reasons:
        if isinstance(reason, Virtual):
            yield from _floors(problem, reason.on, reasons)
    if any(isinstance(reason, Hidden) for reason in reasons):
        if problem.priority == "strict" and len(problem.channels) > 1:
            yield replace(problem, priority="flexible"), 'channel priority "flexible"', ""
        for number, root in enumerate(problem.constraints):
            kept = problem.constraints[:number] + problem.constraints[number + 1 :]
            yield replace(problem, constraints=kept), f"leave out the constraint `{root.text}`", ""
    for number in reversed(numbers):
        root = problem.specs[number]
        bare = _bare(root)
        if bare is not None:
            new = _NEW_PYTHON if root.setting else bare.text
            yield _with(problem, number, bare), f"`{new}` instead of `{root.words}`", bare.spec.name
    for reason in reasons:
        if isinstance(reason, Hidden) and any(why.kind in ("too-new", "undated") for _, why in reason.records):
            lifted = {**problem.exclude_newer_for, reason.on: None}
            yield replace(problem, exclude_newer_for=lifted), f"lift the cut-off for {reason.on}", reason.on
    for number in reversed(numbers):
        specs = problem.specs[:number] + problem.specs[number + 1 :]
        if specs and not problem.specs[number].setting:
            yield replace(problem, specs=specs), f"leave out `{problem.specs[number].text}`", ""


def python_setting(solution: Solution) -> str:
    """The Python of a solution as a setting: ``python = "3.12"``."""
    version = next((pin.version for pin in solution.pins if pin.name == "python"), "")
    return f'python = "{".".join(version.split(".")[:2])}"'


def _similar(root: CondaRoot, problem: CondaProblem, repodata: Repodata) -> CondaRoot | None:
    """The same spec of a package that exists and has a similar name."""
    name = root.spec.name
    similar_name = nearest_package(name, problem, repodata)
    if similar_name is None:
        return None
    spec = msgspec.structs.replace(root.spec, name=similar_name)
    return msgspec.structs.replace(root, spec=spec, text=root.text.replace(name, similar_name))


def _bare(root: CondaRoot) -> CondaRoot | None:
    """The spec of any version of the package; None if the root already allows any."""
    bare = MatchSpec(name=root.spec.name)
    return msgspec.structs.replace(root, spec=bare, text=bare.name) if root.spec != bare else None


def _with(problem: CondaProblem, number: int, root: CondaRoot) -> CondaProblem:
    specs = (*problem.specs[:number], root, *problem.specs[number + 1 :])
    return msgspec.structs.replace(problem, specs=specs)


def _floors(problem: CondaProblem, name: str, reasons: list[Reason]) -> Iterator[Change]:
    """Targets with a virtual package in a version that a spec names, or in any version if no spec names one."""
    specs = [spec for reason in reasons if isinstance(reason, Limiting) and reason.on == name for spec in reason.specs]
    versions = {version for spec in specs for version in _versions_of(spec)}
    for version in sorted(versions, key=version_key) or [""]:
        others = tuple(record for record in problem.virtual if record.name != name)
        machine = (*others, Record(name=name, version=version or "999", build="0"))
        changed = msgspec.structs.replace(problem, virtual=machine)
        yield changed, f"a target with {f'{name} {version}'.strip()}, if your machines have it", ""


def _versions_of(spec: str) -> Iterator[str]:
    """The versions that a spec names: ``2.17`` and ``3.0.a0`` of ``__glibc >=2.17,<3.0.a0``."""
    try:
        version = parse_matchspec(spec).version
    except InvalidMatchSpec:
        return
    if version is not None:
        yield from filter(_is_version, _VERSIONS(version.text))


def _is_version(text: str) -> bool:
    try:
        version_key(text)
    except InvalidVersion:
        return False
    return True
