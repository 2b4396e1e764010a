"""Laws of tags, views, markers and specifiers, compared with packaging."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Parsed
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import parse_tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from envc_solvers.pypi.language import requirement as requirements
from envc_solvers.pypi.language.index import File, Release, View
from envc_solvers.pypi.language.markers import Markers, environment_key, marker_environment
from envc_solvers.pypi.language.specifier import allows, place_of
from envc_solvers.pypi.language.tags import explain_file, rank_files, tag_key, wheel_tags
from envc_solvers.pypi.problem import Policy
from envc_solvers.pypi.search.project import Order, Project, Rules, is_prerelease
from envc_solvers.target import Python, Target, default_target, parse_python_key
from tests.support.strategies import (
    marker_texts,
    near_pairs,
    pythons,
    specifier_texts,
    targets,
    version_texts,
    wheel_names,
)

TAGS = wheel_tags(default_target("linux-64"), Python(minor=(3, 11)))


@given(st.lists(wheel_names("demo"), max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_a_view_matches_packaging(names: list[str], random: object) -> None:
    expected: dict[Version, set[str]] = {}
    for name in names:
        try:
            project, version, _, tags = parse_wheel_filename(name)
        except InvalidWheelFilename:
            continue
        if project == "demo" and any(str(tag) in TAGS.ranks for tag in tags):
            expected.setdefault(version, set()).add(name)
    view = rank_files("demo", "pypi", [File(name) for name in names], TAGS)
    found = [(Version(release.version), [file.name for file in release.files]) for release in view.releases]
    assert [version for version, _ in found] == sorted(expected, reverse=True)
    for version, files in found:
        assert set(files) == expected[version]
        ranks = [
            min(TAGS.ranks[str(tag)] for tag in parse_wheel_filename(file)[3] if str(tag) in TAGS.ranks)
            for file in files
        ]
        assert ranks == sorted(ranks)
        for one, other, one_rank, other_rank in zip(files, files[1:], ranks, ranks[1:], strict=False):
            if one_rank == other_rank:
                assert parse_wheel_filename(one)[2] >= parse_wheel_filename(other)[2]


@given(st.lists(wheel_names("demo"), max_size=8, unique=True), st.data())
def test_a_view_does_not_depend_on_the_order_of_the_page(names: list[str], data: st.DataObject) -> None:
    files = [File(name) for name in names]
    view = rank_files("demo", "pypi", files, TAGS)
    assert rank_files("demo", "pypi", data.draw(st.permutations(files)), TAGS) == view


@given(wheel_names("demo"), targets(), pythons())
def test_a_file_is_usable_or_has_a_reason(name: str, target: Target, python: Python) -> None:
    tags = wheel_tags(target, python)
    fits = name.endswith(".whl") and any(str(tag) in tags.ranks for tag in _parsed(name))
    assert (explain_file(name, tags) is None) == fits


@given(near_pairs())
@settings(max_examples=500)
def test_equal_keys_mean_equal_tags(pair: tuple[tuple[Target, Python], tuple[Target, Python]]) -> None:
    one, other = pair
    if tag_key(*one) == tag_key(*other):
        assert wheel_tags(*one).order == wheel_tags(*other).order
    if environment_key(*one) == environment_key(*other):
        assert marker_environment(*one) == marker_environment(*other)


@pytest.mark.parametrize("key", [tag_key, environment_key])
@pytest.mark.parametrize("python_differs", [True, False])
def test_the_pairs_of_that_law_differ_and_yet_share_a_key(
    key: Callable[[Target, Python], str], python_differs: bool
) -> None:
    """No error is raised: hypothesis finds such a pair, so the law above compares more than equal inputs."""
    find(
        near_pairs(),
        lambda pair: key(*pair[0]) == key(*pair[1]) and pair[0][python_differs] != pair[1][python_differs],
    )


def test_two_keys_may_have_the_same_tags() -> None:
    """No error is raised: no platform tag is as old as either floor, so both have the same tags."""
    find(
        near_pairs(),
        lambda pair: (
            tag_key(*pair[0]) != tag_key(*pair[1]) and wheel_tags(*pair[0]).order == wheel_tags(*pair[1]).order
        ),
    )


@given(targets(), pythons(), marker_texts(), st.sampled_from(("", "x", "fast-path")))
@settings(max_examples=300, deadline=None)
def test_markers_are_evaluated_as_by_packaging(target: Target, python: Python, text: str, extra: str) -> None:
    environment = marker_environment(target, python)
    judge = Marker(text).evaluate({**environment, "extra": extra})
    answer = Markers(environment, {}).answer(text)
    assert (answer.default != (extra in answer.exceptions)) == judge
    # The stored answer suffices for the second evaluation.
    assert Markers({}, {text: answer}).answer(text) == answer


@given(st.lists(specifier_texts(), max_size=3).map(",".join), version_texts())
@settings(max_examples=1000, deadline=None)
def test_specifiers_allow_the_same_as_in_packaging(specifier: str, version: str) -> None:
    assert allows(specifier, version) == SpecifierSet(specifier).contains(version, prereleases=True)


@given(st.lists(version_texts(), min_size=2, max_size=6))
def test_a_smaller_sort_key_is_an_older_version(versions: list[str]) -> None:
    for one, other in itertools.combinations(versions, 2):
        if place_of(one) < place_of(other):
            assert Version(one) < Version(other)


@given(
    st.lists(version_texts(), max_size=8, unique_by=Version),
    st.lists(st.lists(specifier_texts(), max_size=2).map(",".join), max_size=3).map(frozenset),
    st.sampled_from(("highest", "lowest")),
)
@settings(max_examples=1000, deadline=None)
def test_bisection_skips_no_allowed_version(versions: list[str], specifiers: frozenset[str], order: Order) -> None:
    newest_first = sorted(versions, key=Version, reverse=True)
    view = View("demo", "pypi", tuple(Release.of(version, [File("")]) for version in newest_first))
    rules = Rules(Policy(prereleases="allow"), "3.11.0", {}, frozenset())
    found = [candidate.version for candidate in Project(view, rules, order).candidates(specifiers)]
    allowed = [version for version in newest_first if all(allows(one, version) for one in specifiers)]
    assert found == (allowed if order == "highest" else allowed[::-1])


@given(version_texts())
def test_prereleases_are_those_of_packaging(version: str) -> None:
    assert is_prerelease(version) == Version(version).is_prerelease


@given(st.text("aZ09-_.", min_size=1, max_size=12))
def test_names_are_normalised_as_by_packaging(name: str) -> None:
    assert requirements.canonicalize_name(name) == canonicalize_name(name)


_SPACES = st.sampled_from((*6 * ("",), *3 * (" ",), "\t", "\n", "\xa0"))
_NAMES = st.sampled_from((*2 * ("a", "Ab", "a_b", "a.B-c", "x1", "a1-2", "9"), "a-", "a_", "-a", "", "é"))
_EXTRAS = st.one_of(st.just(""), st.lists(_NAMES, max_size=3).map(lambda names: f"[{','.join(names)}]"))
_CLAUSES = st.one_of(
    st.builds(
        "{}{}{}".format,
        st.sampled_from(("==", "!=", ">=", "<=", ">", "<", "~=", "=", "===")),
        _SPACES,
        st.sampled_from(("1", "1.0", "2.10.3", "01", "2024.1", "1.2.3.4", "1rc1", "1.*", "1.", "1_0")),
    ),
    specifier_texts(),
)
_CONDITIONS = st.one_of(
    st.just(""),
    marker_texts().map("; {}".format),
    st.builds(
        "{};{}{}{}{}".format,
        _SPACES,
        _SPACES,
        st.sampled_from(("os_name", "os.name", "sys_platform", "python_version", "python_full_version", "extra", "x")),
        st.sampled_from(("==", " != ", ">=", "<", "~=", "===", " in ")),
        st.sampled_from(("'3.9'", '"3.12.1"', "''", '"linux"', "'a b'", "3.9", "'x\"'", "os_name")),
    ),
)


_REQUIREMENTS = st.one_of(
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(("a", "A.b", "a_b ", "x-1\t")),
        st.sampled_from(("", "[x]", "[ B_c ,x,x] ")),
        st.sampled_from(("", ">=1", "<2,>=1.0", "!= 1.5 , ~=1.4", ">=01.0,==1.0", ">=1,>=2", "~=1", "==1,==1.0")),
        st.sampled_from(("", ";os_name=='nt'", ' ; python_version < "3.10" ', "; sys_platform != ''", ";x == '1'")),
    ),
    st.builds(
        "{}{}{}{}{}{}".format,
        _NAMES,
        _SPACES,
        _EXTRAS,
        _SPACES,
        st.builds(str.join, st.sampled_from((",", " , ")), st.lists(_CLAUSES, max_size=3)),
        _CONDITIONS,
    ),
)


@given(_REQUIREMENTS)
@settings(max_examples=1000, deadline=None)
def test_requirements_are_read_as_by_packaging(text: str) -> None:
    try:
        parsed = Parsed(text)
    except InvalidRequirement as error:
        with pytest.raises(InvalidRequirement) as raised:
            requirements.parse(text)
        assert str(raised.value) == str(error)
    else:
        assert requirements.parse(text) == requirements.Requirement(
            name=canonicalize_name(parsed.name),
            specifier=str(parsed.specifier),
            extras=tuple(sorted({canonicalize_name(extra) for extra in parsed.extras})),
            marker=str(parsed.marker or ""),
        )


@given(st.lists(_CLAUSES, max_size=3), st.sampled_from((",", " , ")), st.sampled_from(("", " ", "\n")))
@settings(max_examples=500, deadline=None)
def test_specifiers_are_read_as_by_packaging(clauses: list[str], comma: str, edge: str) -> None:
    text = edge + comma.join(clauses) + edge
    try:
        expected = str(SpecifierSet(text))
    except InvalidSpecifier:
        with pytest.raises(InvalidSpecifier):
            requirements.canonical_specifier(text)
    else:
        assert requirements.canonical_specifier(text) == expected


@given(_CONDITIONS.map(lambda text: text.partition(";")[2]))
@settings(max_examples=500, deadline=None)
def test_markers_are_read_as_by_packaging(text: str) -> None:
    try:
        expected = str(Marker(text))
    except InvalidMarker:
        with pytest.raises(InvalidMarker):
            requirements.canonical_marker(text)
    else:
        assert requirements.canonical_marker(text) == expected


def _parsed(name: str) -> list[object]:
    try:
        return list(parse_tag("-".join(name.removesuffix(".whl").split("-")[-3:])))
    except ValueError:
        return []


@given(pythons())
def test_a_written_python_key_is_read_back(python: Python) -> None:
    assert parse_python_key(python.key) == msgspec.structs.replace(python, patch=None)


@given(st.from_regex(r"(cp|pp|py|c)?[0-9]{0,5}t{0,2}", fullmatch=True) | st.text(max_size=6))
def test_any_text_is_a_python_key_or_refused(text: str) -> None:
    try:
        python = parse_python_key(text)
    except ValueError:
        assert re.fullmatch(r"(cp|pp)[0-9](0|[1-9][0-9]{0,2})t?", text) is None
    else:
        assert python.key == text
