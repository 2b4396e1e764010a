"""Markers, tags, versions and requirements in their usual form are read without packaging, with the same result."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.markers import InvalidMarker, Marker
from packaging.requirements import Requirement as Parsed

from envc.locking.plan.pypi_coherence import allows_version, is_version, read_canonical
from envc_solvers.pypi.language.markers import Markers, evaluate_any, evaluate_plain, marker_environment
from envc_solvers.pypi.language.requirement import parse
from envc_solvers.pypi.language.specifier import allows, compile_specifier
from envc_solvers.pypi.language.tags import fits, wheel_tags
from envc_solvers.target import PLATFORMS, Python, Target, default_target
from tests.support.strategies import marker_texts, requirement_texts

TARGETS = [default_target(platform) for platform in PLATFORMS]
TARGETS += [Target(name="t", platform="osx-64", macos=macos) for macos in ("10.15", "11.0", "15.4")]
TARGETS += [Target(name="t", platform="linux-64", musl="1.2"), Target(name="t", platform="linux-64", glibc="2.17")]
PYTHONS = [Python(minor=(3, minor)) for minor in (8, 11, 13)]
PYTHONS += [Python(minor=(3, minor), free_threaded=True) for minor in (13, 15)]
PYTHONS += [Python(minor=(3, 10), implementation="pypy")]
ENVIRONMENTS = [marker_environment(target, python) for target in TARGETS[::3] for python in PYTHONS]

_COMPARISONS = st.one_of(
    st.tuples(
        st.sampled_from(["os_name", "platform_machine", "sys_platform", "implementation_name", "platform_release"]),
        st.sampled_from(["==", "!=", ">=", "<", "~=", "==="]),
        st.sampled_from(["linux", "Linux", "win32", "x86_64", "arm64", "cpython", "nt", "", "3", "v1", "1.0", "é"]),
    ),
    st.tuples(
        st.sampled_from(["python_version", "python_full_version", "implementation_version"]),
        st.sampled_from(["==", "!=", ">=", "<=", "<", ">", "~=", "==="]),
        st.sampled_from(["3", "3.9", "3.12", "3.12.7", "3.12.*", "3.*", "3.9.0", "3.12.7rc1", "2.7", "", "9" * 50]),
    ),
    st.tuples(st.just("extra"), st.sampled_from(["==", "!="]), st.sampled_from(["a", "B_c", "b-c", "", "x.y"])),
)
_MARKERS = st.recursive(
    _COMPARISONS.map(lambda parts: f'{parts[0]} {parts[1]} "{parts[2]}"'),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join), inner.map(lambda text: f"({text})")
    ),
    max_leaves=5,
)


@given(_MARKERS | marker_texts(), st.sampled_from(ENVIRONMENTS))
def test_a_plain_marker_has_the_result_of_packaging(text: str, environment: dict[str, str]) -> None:
    try:
        texts = {text, str(Marker(text))}
    except InvalidMarker:
        return
    for each in texts:
        plain = evaluate_plain(each, environment)
        assert plain is None or plain == evaluate_any(each, environment)


@pytest.mark.parametrize(
    "text", ["", "(", "()", 'a == "b"', 'extra == "a" extra == "b"', '== "a"', '"a" and', 'or "', '"']
)
def test_what_is_no_plain_marker_is_left_to_packaging(text: str) -> None:
    assert evaluate_plain(text, ENVIRONMENTS[0]) is None
    assert Markers(ENVIRONMENTS[0], {}).answer(text).default is (not text)


INTERPRETERS = [
    "py3",
    "py2.py3",
    "py2",
    "py311",
    "cp311",
    "cp313",
    "cp38",
    "cp32",
    "cp31",
    "pp310",
    "cp312.cp313",
    "py3.-",
]
ABIS = ["none", "abi3", "cp311", "cp313", "cp313t", "abi3t", "cp313.abi3", "cp38", "none.abi3", ""]
PLATFORM_TAGS = [
    *(
        "any",
        "any.win32",
        "linux_x86_64",
        "win_amd64",
        "win32",
        "win_arm64",
        "manylinux1_x86_64",
        "musllinux_1_2_x86_64",
    ),
    *("manylinux_2_17_x86_64", "manylinux2014_x86_64.manylinux_2_17_x86_64", "manylinux_2_34_x86_64"),
    *("manylinux_2_17_aarch64", "macosx_10_4_x86_64", "macosx_10_9_x86_64", "macosx_10_16_x86_64"),
    *(
        "macosx_10_9_universal2",
        "macosx_11_0_universal2",
        "macosx_11_0_arm64",
        "macosx_11_1_arm64",
        "macosx_14_0_arm64",
    ),
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: f"{target.platform} {target.text}")
def test_a_wheel_fits_if_its_tags_are_among_those_of_packaging(target: Target) -> None:
    for python in PYTHONS:
        tags = wheel_tags(target, python)
        for parts in itertools.product(INTERPRETERS, ABIS, PLATFORM_TAGS):
            text = "-".join(parts)
            assert fits(text, target, python) is (tags.rank(text) is not None), (text, python)


_VERSIONS = st.from_regex(r"[0-3](\.[0-3]){0,2}(a1|b2|rc1|\.post1|\.dev0|\+local)?", fullmatch=True)
_CLAUSES = st.tuples(st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "~=", "==="]), _VERSIONS).map("".join)


@given(st.lists(_CLAUSES, min_size=1, max_size=3).map(",".join), _VERSIONS)
def test_a_version_with_a_suffix_is_compared_as_by_the_solver(specifier: str, version: str) -> None:
    assert is_version(version)
    if compile_specifier(specifier) is not None:
        assert allows_version(specifier, version) is allows(specifier, version)


@pytest.mark.parametrize("text", ["", "x", "1..2", "9" * 5000, "1.0-", "1_0"])
def test_what_is_no_version_is_allowed_by_nothing(text: str) -> None:
    assert not is_version(text)
    assert not allows_version(">=0", text)


@given(requirement_texts())
def test_a_canonical_requirement_is_read_as_by_packaging(text: str) -> None:
    line = str(parse(text))
    read = read_canonical(line)
    if read is not None:
        edge, marker = read
        parsed = Parsed(line)
        assert (edge.name, set(edge.extras)) == (parsed.name, parsed.extras)
        assert edge.specifier == parse(line).specifier
        assert marker == parse(line).marker
