"""Hostile text ends in the declared error of its reader, for every reader of `readers.READERS`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envc_solvers.malformed import malformed
from tests.fuzz.groups import BY_KEY, GROUPS
from tests.hostile.hostile_values import ALONE, WORDS, inputs_for
from tests.hostile.readers import READERS, Reader

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "compiler" / "SECURITY.md"
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
THINNED = 8  # the default tests try one of so many inputs of the matrix

each_reader = pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.key)


def row(reader: Reader) -> str:
    errors = " or ".join(f"`{error.__name__}`" for error in reader.errors) or "none: it is ignored"
    return f"| {reader.name} | `{reader.place}` | {errors} |"


def test_the_security_page_lists_every_reader_with_its_errors() -> None:
    _, _, rest = PAGE.read_text(encoding="utf-8").partition("## Readers and their errors")
    table = [line for line in rest.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    assert table[1:] == [row(reader) for reader in READERS]


@each_reader
def test_the_function_of_a_reader_exists(reader: Reader) -> None:
    file, _, names = reader.place.partition(": ")
    path = ROOT / file if file.startswith("solvers/") else ROOT / "compiler" / "envc" / file
    text = path.read_text(encoding="utf-8")
    for name in names.split(", "):
        assert re.search(rf"^(?:def|class) {name}\b", text, re.MULTILINE), name


def test_a_module_that_another_thread_is_importing_has_raised_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in `sys.modules` from the start of its import, without the exceptions that it will define."""
    monkeypatch.setitem(sys.modules, "zstandard", ModuleType("zstandard"))
    monkeypatch.setitem(sys.modules, "netrc", None)  # an import that is made to fail
    assert ValueError in malformed()


@each_reader
def test_valid_samples_are_read(reader: Reader) -> None:
    for sample in reader.samples():
        assert reader.check(sample) is None or reader.key == "lock-with-conflict-markers"


@each_reader
def test_values_that_break_parsers_end_in_the_declared_error(reader: Reader) -> None:
    for number, data in enumerate(inputs_for(reader)):
        if number < len(ALONE) or number % THINNED == 0:
            reader.check(data)


@pytest.mark.slow
@each_reader
def test_all_values_that_break_parsers_end_in_the_declared_error(reader: Reader) -> None:
    for data in inputs_for(reader):
        reader.check(data)


@each_reader
def test_inputs_that_were_once_unexpected_errors_end_in_the_declared_error(reader: Reader) -> None:
    for path in sorted((CORPUS / reader.key).glob("*")):
        reader.check(path.read_bytes())


_PIECES = st.one_of(
    st.sampled_from([word.encode("utf-8", "surrogatepass") for word in WORDS if len(word) < 10_000]),
    st.sampled_from([data for data in ALONE if len(data) < 200]),
    st.binary(max_size=8),
    st.integers(0, 255).map(lambda number: bytes([number])),
)
_EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), _PIECES), min_size=1, max_size=4)


def edited(data: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """Replace bytes at each place, a share of the length, by a piece."""
    for share, length, piece in edits:
        at = int(share * len(data))
        data = data[:at] + piece + data[at + length :]
    return data


@each_reader
def test_mutated_samples_end_in_the_declared_error(reader: Reader) -> None:
    samples = reader.samples()

    @settings(max_examples=200)
    @given(st.sampled_from(samples), _EDITS)
    def check(sample: bytes, edits: list[tuple[float, int, bytes]]) -> None:
        reader.check(edited(sample, edits))

    check()


def test_every_reader_is_fuzzed_in_one_group() -> None:
    grouped = [name for group in GROUPS for name in group]
    assert sorted(grouped) == sorted(BY_KEY)
    assert {path.name for path in CORPUS.iterdir()} <= set(grouped)


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.rglob("*")) < 300 << 10
