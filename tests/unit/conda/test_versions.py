"""Versions and version specs of conda, by the situations that are easy to get wrong."""

from __future__ import annotations

import time

import pytest

from envc_solvers.conda.language.version import InvalidVersion, parse_version, version_key
from envc_solvers.conda.language.versionspec import EVERY, InvalidVersionSpec, parse_version_spec


@pytest.mark.parametrize(
    "ascending",
    [
        ("1.0a1", "1.0.dev1", "1.0", "1.0.post1"),
        ("1.1dev1", "1.1_", "1.1a1", "1.1.dev1", "1.1.a1", "1.1"),  # a letter after a dot stands in a part of its own
        ("0.9.999", "0.10", "1", "1.0.0.0.1"),
        ("5", "1!0.1", "2!0"),
        ("1.2", "1.2+1", "1.2+1.1", "1.2.1"),
        ("255", "256", "65535", "65536", "99999999999999999999"),
        ("1.0.0a", "1.0.0.0.0a", "1", "1.0.0.0.0.1", "1.0.0.1", "1.0.1"),  # how many zeros stand between counts
    ],
)
def test_order(ascending: tuple[str, ...]) -> None:
    versions = [parse_version(text) for text in ascending]
    assert versions == sorted(versions)
    assert len(set(versions)) == len(versions)


def test_trailing_zeros_change_nothing() -> None:
    assert parse_version("1.0") == parse_version("1") == parse_version("1.0.0+0") == parse_version("0!1.00")
    assert hash(parse_version("1.0")) == hash(parse_version("1"))


def test_comparisons_of_versions_and_with_other_things() -> None:
    low, high = parse_version("1.9"), parse_version("1.10")
    assert low < high and low <= high and high > low and high >= low and low != high
    assert low != "1.9"


@pytest.mark.parametrize("text", ["", " ", "1..2", "1.", "1+", "1+2+3", "x!1", "!1", "1:2", "1-2_3", "a b", "é"])
def test_no_versions(text: str) -> None:
    with pytest.raises(InvalidVersion, match="is not a version"):
        parse_version(text)


def test_a_version_of_any_size_is_refused_rather_than_computed() -> None:
    with pytest.raises(InvalidVersion, match="more than 512 characters"):
        version_key("1" * 513)
    with pytest.raises(InvalidVersion, match="too large"):
        version_key("9" * 400)


def allowed(spec: str, *versions: str) -> list[str]:
    parsed = parse_version_spec(spec)
    return [version for version in versions if parsed.contains(parse_version(version))]


def test_an_equals_sign_alone_means_starts_with() -> None:
    assert allowed("=1.2", "1.1", "1.2", "1.2.9", "1.2a", "1.20", "1.3") == ["1.2", "1.2.9", "1.2a"]
    assert allowed("1.2", "1.2", "1.2.0", "1.2.9") == ["1.2", "1.2.0"]
    assert allowed("1.2*", "1.2", "1.2.9", "1.20") == ["1.2", "1.2.9"]


def test_zeros_in_prefixes() -> None:
    assert allowed("1.0.*", "1", "1.0", "1.0.1", "1.0.0.5", "1.0a", "1.1", "0.9") == [
        "1",
        "1.0",
        "1.0.1",
        "1.0.0.5",
        "1.0a",
    ]
    assert allowed("=0", "0.1", "0a", "1", "0+local") == ["0.1", "0a", "0+local"]


def test_and_binds_tighter_than_or() -> None:
    assert allowed(">=1,<2|>=3", "1.5", "2.5", "3") == ["1.5", "3"]
    assert allowed(">=1,(<2|>=3)", "0.5", "1.5", "2.5", "3") == ["1.5", "3"]


def test_specs_are_intervals_whose_union_is_merged() -> None:
    assert parse_version_spec(">=1|<2").spans == EVERY
    assert parse_version_spec(">=2,<1").spans == ()
    assert len(parse_version_spec("!=3.0.*,!=3.1.*").spans or ()) == 3
    assert parse_version_spec("1.*.3").spans is None
    assert parse_version_spec("*").is_any


def test_globs_and_expressions_look_at_the_text() -> None:
    assert allowed("1.*.3", "1.2.3", "1.3", "1.2.3.0") == ["1.2.3"]
    assert allowed("^1\\.[0-9]+$|>=4", "1.2", "1.2.3", "4") == ["1.2", "4"]
    assert allowed(">=1,1.*.3", "0.2.3", "1.2.3") == ["1.2.3"]


@pytest.mark.parametrize(
    "text", ["^(a+)+$", "^(a|a)*$", "^.*.*.*.*.*.*.*x$", "^(.)\\1$", "^(?=a)$", "^[$", "^" + "a" * 300 + "$"]
)
def test_expressions_that_could_run_for_ever_are_refused(text: str) -> None:
    with pytest.raises(InvalidVersionSpec, match="regular expression"):
        parse_version_spec(text)


def test_a_glob_takes_no_time_on_hostile_texts() -> None:
    spec = parse_version_spec("*a" * 200 + "b*c")
    start = time.perf_counter()
    assert not spec.contains(parse_version("1." + "a" * 500))
    assert time.perf_counter() - start < 5  # a search that goes back would take for ever


@pytest.mark.parametrize(
    "text", ["", "1,", "|1", ">=", "=>1", "~=1", "~=1.2.*", "(1", "1)", "()", "^1", "1$", "(" * 99 + "1" + ")" * 99]
)
def test_no_version_specs(text: str) -> None:
    with pytest.raises(InvalidVersionSpec, match="is not a version spec"):
        parse_version_spec(text)


def test_long_specs_are_refused() -> None:
    with pytest.raises(InvalidVersionSpec, match="more than 4096 characters"):
        parse_version_spec("|".join(["1.2.3"] * 1000))
    halves = "(" + "|".join(f"{n}.*" for n in range(60)) + ")"
    assert parse_version_spec(f"{halves},{halves}").spans
