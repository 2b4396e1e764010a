"""Laws of conda's versions and specs: byte keys and their intervals must agree with the definitions."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from envc.fetch.conda.note import ARCHIVES
from envc.fetch.conda.slices import Slices, append_index
from envc.system.atomic_file import atomic_file
from envc_solvers.conda.language.matchspec import parse_matchspec
from envc_solvers.conda.language.record import name_of
from envc_solvers.conda.language.version import Atom, Part, parse_version, prefix_bounds, split_version
from envc_solvers.conda.language.versionspec import parse_version_spec
from tests.support.channels import cut_whole
from tests.support.strategies import conda_versions, repodata_documents


def compare_atoms(left: Atom, right: Atom) -> int:
    if isinstance(left, str) != isinstance(right, str):
        return -1 if isinstance(left, str) else 1
    return (left > right) - (left < right)  # type: ignore[operator]


def compare_parts(left: list[Part], right: list[Part]) -> int:
    """The documented order, implemented literally: missing parts count as zero."""
    for ours, theirs in zip_longest(left, right, fillvalue=()):
        for one, other in zip_longest(ours, theirs, fillvalue=0):
            if result := compare_atoms(one, other):
                return result
    return 0


def compare(left: str, right: str) -> int:
    (ours, our_local), (theirs, their_local) = split_version(left), split_version(right)
    return compare_parts(ours, theirs) or compare_parts(our_local, their_local)


def starts_with(text: str, prefix: str) -> bool:
    """The documented meaning of ``prefix.*``: equal parts, except that the last starts with the prefix's last part."""
    (parts, local), (prefix_parts, prefix_local) = split_version(text), split_version(prefix)
    if prefix_local:
        if compare_parts(parts, prefix_parts):
            return False
        parts, prefix_parts = local, prefix_local
    before = len(prefix_parts) - 1
    if compare_parts(parts[:before], prefix_parts[:before]):
        return False
    part = parts[before] if len(parts) > before else ()
    last = len(prefix_parts[before]) - 1
    if compare_parts([part[:last]], [prefix_parts[before][:last]]):
        return False
    atom: Atom = part[last] if len(part) > last else 0
    goal = prefix_parts[before][last]
    if isinstance(goal, str):
        return isinstance(atom, str) and atom.startswith(goal)
    return atom == goal


@given(conda_versions(), conda_versions())
def test_keys_order_as_the_definition_does(left: str, right: str) -> None:
    ours, theirs = parse_version(left), parse_version(right)
    assert (ours.key > theirs.key) - (ours.key < theirs.key) == compare(left, right)
    assert (ours == theirs) is (compare(left, right) == 0)


@given(conda_versions(), conda_versions())
def test_no_key_is_a_prefix_of_another(left: str, right: str) -> None:
    ours, theirs = parse_version(left).key, parse_version(right).key
    assert ours == theirs or not theirs.startswith(ours)


@given(conda_versions(), conda_versions(), st.integers(1, 4))
def test_prefixes_are_intervals(text: str, other: str, length: int) -> None:
    pieces = text.partition("+")[0].split(".")[:length]
    for prefix in (other, ".".join(pieces)):
        if prefix.endswith("!"):
            continue
        low, high = prefix_bounds(prefix)
        assert (low < parse_version(text).key < high) is starts_with(text, prefix), prefix


# A star at the end of a version means "starts with" in a spec.
plain_versions = conda_versions().filter(lambda text: not text.endswith("*"))


@given(plain_versions, plain_versions, conda_versions())
def test_specs_contain_exactly_what_their_comparisons_allow(first: str, second: str, text: str) -> None:
    order, other = compare(text, first), compare(text, second)
    version = parse_version(text)
    for operator, holds in {
        "==": order == 0,
        "!=": order != 0,
        ">=": order >= 0,
        "<=": order <= 0,
        ">": order > 0,
        "<": order < 0,
    }.items():
        assert parse_version_spec(operator + first).contains(version) is holds
        assert parse_version_spec(f"{operator}{first},<{second}").contains(version) is (holds and other < 0)
        assert parse_version_spec(f"{operator}{first}|<{second}").contains(version) is (holds or other < 0)
        assert parse_version_spec(f"(>{second}|{operator}{first}),!={second}").contains(version) is (
            (other > 0 or holds) and other != 0
        )


# Few versions, so that intervals touch, overlap and repeat each other.
_FEW = st.sampled_from(["1", "1.1", "1.1.3", "1.2", "2", "2.1.3", "3"])
_Judge = Callable[[str], bool]


@st.composite
def _comparisons(draw: st.DrawFn) -> tuple[str, _Judge]:
    """One comparison, and its meaning by definition."""
    operator = draw(st.sampled_from(["", "==", "!=", ">=", ">", "<=", "<", "=", "*", "!=*", "~=", "glob"]))
    version = draw(_FEW)
    match operator:
        case "glob":
            return "*.1.3", lambda text: text.endswith(".1.3")
        case "=":
            return f"={version}", lambda text: starts_with(text, version)
        case "*":
            return f"{version}.*", lambda text: starts_with(text, version)
        case "!=*":
            return f"!={version}.*", lambda text: not starts_with(text, version)
        case "~=":
            stem, two = version.rpartition(".")[0], "." in version
            text = f"~={version}" if two else f"~={version}.0"
            return text, lambda other: compare(other, version) >= 0 and starts_with(other, stem if two else version)
    orders = {"": (0,), "==": (0,), "!=": (-1, 1), ">=": (0, 1), ">": (1,), "<=": (-1, 0), "<": (-1,)}[operator]
    return operator + version, lambda text: compare(text, version) in orders


def _combined(parts: st.SearchStrategy[tuple[str, _Judge]]) -> st.SearchStrategy[tuple[str, _Judge]]:
    def combine(mark: str, chosen: list[tuple[str, _Judge]]) -> tuple[str, _Judge]:
        every = all if mark == "," else any
        return f"({mark.join(text for text, _ in chosen)})", lambda text: every(judge(text) for _, judge in chosen)

    return st.builds(combine, st.sampled_from([",", "|"]), st.lists(parts, min_size=1, max_size=3))


@given(st.recursive(_comparisons(), _combined, max_leaves=6))
@settings(max_examples=300)
def test_a_spec_allows_what_its_parts_allow_combined(drawn: tuple[str, _Judge]) -> None:
    text, judge = drawn
    spec = parse_version_spec(text)
    for version in ("0.9", "1", "1.0.1", "1.1", "1.1.3", "1.1.4", "1.2", "1.3", "2", "2.1.3", "2.2", "3", "3.1"):
        assert spec.contains(parse_version(version)) is judge(version), version


@given(st.recursive(_comparisons(), _combined, max_leaves=6))
def test_intervals_ascend_and_neither_touch_nor_are_empty(drawn: tuple[str, _Judge]) -> None:
    spans = parse_version_spec(drawn[0]).spans
    bounds = [bound for span in spans or () for bound in span]
    assert bounds == sorted(set(bounds))


@given(
    st.sampled_from(["", "forge::", "forge/linux-64::"]),
    st.lists(st.tuples(st.sampled_from([">=", "<", "!=", "=", "=="]), plain_versions), max_size=3),
    st.sampled_from(["", " py3*", " h_0"]),
)
def test_a_spec_keeps_its_meaning_when_written_and_read_again(
    place: str, comparisons: list[tuple[str, str]], build: str
) -> None:
    version = ",".join(operator + text for operator, text in comparisons)
    spec = parse_matchspec(f"{place}demo {version or '*'}{build}")
    again = parse_matchspec(str(spec))
    assert str(again) == str(spec)
    assert (again.name, again.channel, again.subdir, again.build) == (spec.name, spec.channel, spec.subdir, spec.build)
    every = parse_version_spec("*")
    assert (again.version or every).term == (spec.version or every).term


@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="\n", codec="utf-8"), min_size=1), st.lists(st.binary(max_size=50))
    )
)
def test_slices_return_what_was_written(named: dict[str, list[bytes]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.slices"
        spans = []
        with atomic_file(path) as file:
            for name, slices in named.items():
                for data in slices:
                    spans.append((name, file.tell(), file.tell() + len(data)))
                    file.write(data)
            append_index(file, spans, b"note")
        opened = Slices(path)
        assert {name: opened.get(name) for name in named} == named
        assert opened.names() == {name for name, slices in named.items() if slices}
        assert opened.get("no such name, surely") == []
        assert opened.note == b"note"


@given(
    repodata_documents(),
    st.sampled_from([{"separators": (",", ":")}, {}, {"indent": 2}, {"separators": (",", ": ")}]),
    st.booleans(),
    st.integers(1, 400),
)
def test_repodata_of_any_layout_is_cut_into_its_records(
    document: dict[str, Any], layout: dict[str, Any], escaped: bool, size: int
) -> None:
    data = json.dumps(document, ensure_ascii=escaped, **layout).encode()
    cut = cut_whole(data, size)
    text = cut.data if cut.data is not None else data
    found: dict[str, dict[str, Any]] = {}
    for name, start, stop in cut.spans:
        found.setdefault(name, {}).update(json.loads(b"{%b}" % text[start:stop]))
    expected: dict[str, dict[str, Any]] = {}
    for table in ("packages", "packages.conda"):
        for file, record in document[table].items():
            is_twin = table == "packages" and file.removesuffix(".tar.bz2") + ".conda" in document["packages.conda"]
            if file not in document.get("removed", ()) and name_of(file):
                key = name_of(file) + ARCHIVES if is_twin else name_of(file)
                expected.setdefault(key, {})[file] = record
    # No package name has characters that must be escaped, so it does not matter whether such files are kept.
    assert {name: files for name, files in found.items() if is_plain(name)} == {
        name: files for name, files in expected.items() if is_plain(name)
    }
    assert all(expected[name].items() >= files.items() for name, files in found.items())


def is_plain(name: str) -> bool:
    return name.isascii() and '"' not in name and "\\" not in name
