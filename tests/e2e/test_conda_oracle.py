"""The conda solver and the oracle, which uses another solver, have the same verdicts and solutions on real records."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import msgspec
import pytest

from envc_solvers.conda.explain.conflict import CondaUnsolvable
from envc_solvers.conda.language.matchspec import parse_matchspec
from envc_solvers.conda.language.record import Record
from envc_solvers.conda.solve import solve_conda
from envc_solvers.solution import Solution
from tests.support.channels import SHARED, MemoryRepodata, read_channels
from tests.support.conda_judge import chosen, complaints, rank
from tests.support.conda_queries import Query, ask_oracle, files_of, generate, shared_queries, show
from tests.support.suggestions import followed

pytestmark = [
    pytest.mark.engines,
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.exists(), reason="the shared data with the channels is missing"),
]

_GENERATED = [
    ("linux-64", ("conda-forge",)),
    ("osx-arm64", ("conda-forge",)),
    ("win-64", ("conda-forge",)),
    ("linux-64", ("robostack-jazzy", "conda-forge")),
]
_SEED = 20261122
_EACH = 150
_MOST_OTHER = 0.03  # of the solvable queries may have another solution


class Library:
    """The shared channels. Each is read once."""

    def __init__(self) -> None:
        self._read: dict[tuple[tuple[str, ...], str], list[Record]] = {}

    def records(self, channels: tuple[str, ...], platform: str) -> list[Record]:
        key = channels, platform
        if key not in self._read:
            self._read[key] = read_channels(channels, platform)
        return self._read[key]


@pytest.fixture(scope="module")
def library() -> Library:
    return Library()


def solve(query: Query, records: list[Record]) -> Solution | None:
    """Return the checked solution of a query, or None after checking the message."""
    try:
        solution = solve_conda(query.problem, MemoryRepodata(records, query.platform))
    except CondaUnsolvable as error:
        assert str(error).count("\n") < 40
        return None
    assert complaints(chosen(solution, records), query.specs, query.problem.virtual) == [], show(query)
    return solution


def test_shared_queries_have_the_same_solutions(library: Library, tmp_path: Path) -> None:
    queries = shared_queries()
    verdicts = ask_oracle(queries, tmp_path)
    for query in queries:
        records = library.records(query.channels, query.platform)
        solution = solve(query, records)
        assert (solution is not None) == verdicts[query.id].solvable, show(query)
        if solution is not None:
            assert files_of(solution, records) == verdicts[query.id].files, show(query)


def test_suggestions_for_shared_queries_give_solutions(library: Library, tmp_path: Path) -> None:
    """Our solver solves every changed query, and the oracle every changed query that still has specs."""
    changed: list[Query] = []
    refused: list[str] = []
    for query in shared_queries():
        records = library.records(query.channels, query.platform)
        try:
            solve_conda(query.problem, MemoryRepodata(records, query.platform))
        except CondaUnsolvable as error:
            refused.append(query.id)
            assert error.conflict.suggestion, show(query)
            changed.append(follow(query, error.conflict.suggestion))
    assert len(refused) == 10
    verdicts = ask_oracle([query for query in changed if query.specs], tmp_path)
    for query in changed:
        assert solve(query, library.records(query.channels, query.platform)) is not None, show(query)
        assert not query.specs or verdicts[query.id].solvable, show(query)
    # No spec of these two queries can be met.
    assert {query.id for query in changed if not query.specs} == {"d27-unsat-name", "d40-sudoku"}


def follow(query: Query, suggestion: str) -> Query:
    """Return the query after following a suggestion: with other specs, or with more virtual packages."""
    machine = re.match(r"a target with (__\w+)(?: ([0-9.]+))?, if", suggestion)
    if machine is not None:
        others = tuple(each for each in query.virtual_packages if each.partition("=")[0] != machine[1])
        return msgspec.structs.replace(query, virtual_packages=(*others, f"{machine[1]}={machine[2] or '999'}"))
    specs = followed(query.specs, suggestion)
    assert specs is not None, suggestion
    return msgspec.structs.replace(query, specs=tuple(specs))


def test_no_spec_of_the_sudoku_can_be_met_alone(tmp_path: Path) -> None:
    """The suggestion leaves out all specs because the boxes of that channel have ten cells for nine digits."""
    sudoku = next(query for query in shared_queries() if query.id == "d40-sudoku")
    alone = [msgspec.structs.replace(sudoku, id=spec, specs=(spec,)) for spec in sudoku.specs]
    assert not any(verdict.solvable for verdict in ask_oracle(alone, tmp_path).values())


def test_generated_queries_have_the_same_verdicts_and_nearly_always_the_same_solutions(
    library: Library, tmp_path: Path
) -> None:
    solvable, other = 0, []
    for platform, channels in _GENERATED:
        records = library.records(channels, platform)
        queries = list(itertools.islice(generate(records, platform, channels, _SEED), _EACH))
        verdicts = ask_oracle(queries, tmp_path)
        for query in queries:
            verdict, solution = verdicts[query.id], solve(query, records)
            assert (solution is not None) == verdict.solvable, show(query)
            if solution is None:
                continue
            solvable += 1
            ours = chosen(solution, records)
            files = files_of(solution, records)
            if files != verdict.files:
                other.append(show(query))
                theirs = {record.name: record for record in records if _path(record) in verdict.files}
                assert _ranks(query, ours, records) <= _ranks(query, theirs, records), show(query)
    assert len(other) <= _MOST_OTHER * solvable, "\n".join([f"{len(other)} of {solvable}", *other])


def _path(record: Record) -> str:
    return f"{record.channel}/{record.subdir}/{record.file}"


def _ranks(query: Query, choice: dict[str, Record], records: list[Record]) -> list[int]:
    """Return how far the named specs are from their best records, in the order of the specs."""
    names = [parse_matchspec(spec).name for spec in query.specs]
    return [rank(choice[name], records) for name in names]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_records_makes_no_difference(library: Library, seed: int) -> None:
    import random

    for query in shared_queries()[:8]:
        records = library.records(query.channels, query.platform)
        names = sorted({record.name for record in records})
        random.Random(seed).shuffle(names)
        order = {name: number for number, name in enumerate(names)}
        shuffled = sorted(records, key=lambda record: order[record.name])
        one, other = (solve_conda(query.problem, MemoryRepodata(each, query.platform)) for each in (records, shuffled))
        assert msgspec.json.encode(one) == msgspec.json.encode(other)
