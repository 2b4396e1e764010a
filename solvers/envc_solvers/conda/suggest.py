"""One change that makes a failed problem solvable, tried before it is said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from envc_solvers.conda.conflict import Reason
from envc_solvers.conda.matchspec import MatchSpec
from envc_solvers.conda.record import Record
from envc_solvers.conda.run import Attempt, Shelf
from envc_solvers.conda.solve import Root
from envc_solvers.conda.tell import nearest_name
from envc_solvers.conda.trials import Trials
from envc_solvers.conda.version import InvalidVersion, version_key

if TYPE_CHECKING:
    from envc_solvers.conda.index import Repodata
    from envc_solvers.conda.solve import CondaProblem

_CONFLICTS = 120  # in all trial searches
_MOST_TRIALS = 12
_VERSIONS = re.compile(r"[<>=~!]*\s*([0-9][0-9a-z.]*)").findall

Change = tuple["CondaProblem", str, str]  # the changed problem, what to say, and the name whose choice is of interest


def suggest(problem: CondaProblem, repodata: Repodata, numbers: tuple[int, ...], reasons: Iterable[Reason]) -> str:
    """What helps, in words; "" when none of the changes tried does. `numbers` are the specs that fail together."""
    reasons = list(reasons)
    trials = Trials(_CONFLICTS)
    for number, (changed, words, name) in enumerate(_changes(problem, repodata, numbers, reasons)):
        if number == _MOST_TRIALS:
            break
        solution = trials.solution(changed, repodata)
        if solution is not None:
            chosen = next((f"{pin.name} {pin.version} {pin.build}" for pin in solution.pins if pin.name == name), "")
            return f"{words}; that gives {chosen}" if chosen else words
    return _leave_out(problem, repodata, trials)


def _leave_out(problem: CondaProblem, repodata: Repodata, trials: Trials) -> str:
    """Where several conflicts are independent: specs without which the rest can be met. Earlier ones are kept."""
    shelf = Shelf(problem, repodata)
    kept: tuple[int, ...] = ()
    for number in range(len(problem.specs)):
        if trials.solves(Attempt(problem, shelf, (*kept, number))):
            kept = *kept, number
    dropped = [root.text for number, root in enumerate(problem.specs) if number not in kept]
    return f"leave out {' and '.join(f'`{text}`' for text in dropped)}" if kept and not trials.is_over else ""


def _changes(
    problem: CondaProblem, repodata: Repodata, numbers: tuple[int, ...], reasons: list[Reason]
) -> Iterator[Change]:
    """Changes, the smallest first."""
    replace = msgspec.structs.replace
    for number in numbers:
        root = problem.specs[number]
        if any(reason.kind == "no-package" and reason.on == root.spec.name for reason in reasons):
            close = nearest_name(root.spec.name, problem, repodata)
            if close is not None:
                text = root.text.replace(root.spec.name, close)
                meant = replace(root, spec=replace(root.spec, name=close), text=text)
                yield _with(problem, number, meant), f"`{text}` instead of `{root.text}`", close
    for reason in reasons:
        if reason.kind == "virtual":
            yield from _floors(problem, reason.on, reasons)
    if any(reason.kind == "hidden" for reason in reasons):
        if problem.priority == "strict" and len(problem.channels) > 1:
            yield replace(problem, priority="flexible"), 'channel priority "flexible"', ""
        for number, root in enumerate(problem.constraints):
            kept = problem.constraints[:number] + problem.constraints[number + 1 :]
            yield replace(problem, constraints=kept), f"leave out the constraint `{root.text}`", ""
    for number in reversed(numbers):
        root = problem.specs[number]
        bare = MatchSpec(name=root.spec.name)
        if root.spec != bare:
            loose = replace(root, spec=bare, text=bare.name)
            yield _with(problem, number, loose), f"`{bare.name}` instead of `{root.text}`", bare.name
    for number in reversed(numbers):
        specs = problem.specs[:number] + problem.specs[number + 1 :]
        if not specs:
            continue
        yield replace(problem, specs=specs), f"leave out `{problem.specs[number].text}`", ""


def _with(problem: CondaProblem, number: int, root: Root) -> CondaProblem:
    specs = (*problem.specs[:number], root, *problem.specs[number + 1 :])
    return msgspec.structs.replace(problem, specs=specs)


def _floors(problem: CondaProblem, name: str, reasons: list[Reason]) -> Iterator[Change]:
    """Machines that have a virtual package in a version that a spec names, or in any where no spec names one."""
    specs = [
        reason.text.partition(name)[2]
        for reason in reasons
        if reason.on == name and reason.kind in ("needs", "constrains")
    ]
    asked = {version for spec in specs for version in _VERSIONS(spec) if _is_version(version)}
    for version in sorted(asked, key=version_key) or [""]:
        others = tuple(record for record in problem.virtual if record.name != name)
        machine = (*others, Record(name=name, version=version or "999", build="0"))
        changed = msgspec.structs.replace(problem, virtual=machine)
        yield changed, f"a target with {f'{name} {version}'.strip()}, if your machines have it", ""


def _is_version(text: str) -> bool:
    try:
        version_key(text)
    except InvalidVersion:
        return False
    return True
