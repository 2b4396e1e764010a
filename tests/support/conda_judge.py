"""Reference implementations for the conda solver that share none of its code: a checker and a brute-force solver."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from envc_solvers.conda.language.matchspec import parse_matchspec
from envc_solvers.conda.language.record import Record
from envc_solvers.conda.language.version import parse_version
from envc_solvers.solution import Solution

Choice = Mapping[str, Record]  # name: the record chosen


def complaints(choice: Choice, specs: Iterable[str], virtual: Iterable[Record]) -> list[str]:
    """Return everything wrong with a choice: unmet dependencies and constraints, and records that nothing requires."""
    machine = {record.name: record for record in virtual}
    present = {**choice, **machine}
    found: list[str] = []
    reached: set[str] = set()
    queue = [("the problem", spec) for spec in specs]
    while queue:
        asker, text = queue.pop()
        spec = parse_matchspec(text)
        record = present.get(spec.name)
        if record is None or not spec.matches(record):
            found.append(f"{asker} needs {text}, which {record} is not")
        elif record.name not in reached:
            reached.add(record.name)
            queue += [(record.file, needed) for needed in record.depends]
    for record in choice.values():
        for text in record.constrains:
            limited = present.get(parse_matchspec(text).name)
            if limited is not None and not parse_matchspec(text).matches(limited):
                found.append(f"{record.file} constrains {text}, which {limited.file or limited.name} is not")
    return found + [f"{name} is not required" for name in choice if name not in reached]


def chosen(solution: Solution, records: Iterable[Record]) -> dict[str, Record]:
    """Return the records of a solution by name, and assert that it has one pin for each name."""
    files = {(record.channel, record.file): record for record in records}
    choice = {pin.name: files[pin.source, pin.file] for pin in solution.pins}
    assert len(choice) == len(solution.pins), "one record for each name"
    return choice


def choices(records: Sequence[Record]) -> Iterator[dict[str, Record]]:
    """Yield every way to choose at most one record of each name."""
    names: dict[str, list[Record | None]] = {}
    for record in records:
        names.setdefault(record.name, [None]).append(record)
    for combination in itertools.product(*names.values()):
        yield {record.name: record for record in combination if record is not None}


def solutions(records: Sequence[Record], specs: Sequence[str], virtual: Sequence[Record]) -> list[dict[str, Record]]:
    """Return every choice without complaints."""
    return [choice for choice in choices(records) if not complaints(choice, specs, virtual)]


def rank(record: Record, records: Iterable[Record]) -> int:
    """Return how many records of the name are better by track_features, version and build number. Ties share a rank."""

    def key(each: Record) -> tuple[bool, object, int]:
        return not each.track_features, parse_version(each.version), each.build_number

    return sum(key(other) > key(record) for other in records if other.name == record.name)
