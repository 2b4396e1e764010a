"""Conda's versions and version specs: the cases that are easy to get wrong."""

from __future__ import annotations

import time

import pytest

from envc_solvers.conda.language.version import InvalidVersion, parse_version, version_key
from envc_solvers.conda.language.versionspec import EVERY, InvalidVersionSpec, parse_version_spec


@pytest.mark.parametrize(
    "ascending",
    [
        ("1.0a1", "1.0.dev1", "1.0", "1.0.post1"),
        ("1.1dev1", "1.1_", "1.1a1", "1.1.dev1", "1.1.a1", "1.1"),  # a letter after a dot starts a new part
        ("0.9.999", "0.10", "1", "1.0.0.0.1"),
        ("5", "1!0.1", "2!0"),
        ("1.2", "1.2+1", "1.2+1.1", "1.2.1"),
        ("255", "256", "65535", "65536", "99999999999999999999"),
        ("1.0.0a", "1.0.0.0.0a", "1", "1.0.0.0.0.1", "1.0.0.1", "1.0.1"),  # the number of zeros in between matters
    ],
)
def test_order(ascending: tuple[str, ...]) -> None:
    versions = [parse_version(text) for text in ascending]
    assert versions == sorted(versions)
    assert len(set(versions)) == len(versions)


def test_trailing_zeros_are_ignored() -> None:
    assert parse_version("1.0") == parse_version("1") == parse_version("1.0.0+0") == parse_version("0!1.00")
    assert hash(parse_version("1.0")) == hash(parse_version("1"))


def test_comparisons_with_versions_and_other_types() -> None:
    low, high = parse_version("1.9"), parse_version("1.10")
    assert low < high and low <= high and high > low and high >= low and low != high
    assert low != "1.9"


@pytest.mark.parametrize("text", ["", " ", "1..2", "1.", "1+", "1+2+3", "x!1", "!1", "1:2", "1-2_3", "a b", "é"])
def test_invalid_versions(text: str) -> None:
    with pytest.raises(InvalidVersion, match="is not a version"):
        parse_version(text)


def test_an_enormous_version_is_refused_quickly() -> None:
    with pytest.raises(InvalidVersion, match="more than 512 characters"):
        version_key("1" * 513)
    with pytest.raises(InvalidVersion, match="too large"):
        version_key("9" * 400)


def allowed(spec: str, *versions: str) -> list[str]:
    parsed = parse_version_spec(spec)
    return [version for version in versions if parsed.contains(parse_version(version))]


def test_a_single_equals_sign_means_starts_with() -> None:
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
    assert not parse_version_spec(">=0").is_any


def test_globs_and_regular_expressions_match_the_text() -> None:
    assert allowed("1.*.3", "1.2.3", "1.3", "1.2.3.0") == ["1.2.3"]
    assert allowed("^1\\.[0-9]+$|>=4", "1.2", "1.2.3", "4") == ["1.2", "4"]
    assert allowed(">=1,1.*.3", "0.2.3", "1.2.3") == ["1.2.3"]


@pytest.mark.parametrize(
    "text", ["^(a+)+$", "^(a|a)*$", "^.*.*.*.*.*.*.*x$", "^(.)\\1$", "^(?=a)$", "^[$", "^" + "a" * 300 + "$"]
)
def test_regular_expressions_with_exponential_time_are_refused(text: str) -> None:
    with pytest.raises(InvalidVersionSpec, match="regular expression"):
        parse_version_spec(text)


def test_a_glob_is_fast_on_hostile_texts() -> None:
    spec = parse_version_spec("*a" * 200 + "b*c")
    start = time.perf_counter()
    assert not spec.contains(parse_version("1." + "a" * 500))
    assert time.perf_counter() - start < 5  # backtracking would take forever


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("1,", "comparison is missing"),
        ("|1", "comparison is missing"),
        ("1,|2", "comparison is missing"),
        ("()", "comparison is missing"),
        ("1|  ", "comparison is missing"),
        (">=", "one operator and a version"),
        ("=>1", "one operator and a version"),
        ("~=1", "at least two parts"),
        ("~=1.2.*", r"~= cannot be combined with \.\*"),
        ("!=*", "is empty"),
        ("(1", "not closed"),
        ("(1,2", "not closed"),
        ("1)", r"'\)' is not expected"),
        ("1^2$", r"'\^2\$' is not expected"),
        ("^1", "regular expression"),
        ("1$", "regular expression"),
        ("1 2", "'1 2' is not a version"),
    ],
)
def test_invalid_version_specs(text: str, reason: str) -> None:
    with pytest.raises(InvalidVersionSpec, match=f"is not a version spec: .*{reason}"):
        parse_version_spec(text)


def test_a_message_shows_the_beginning_of_a_long_spec() -> None:
    with pytest.raises(InvalidVersionSpec) as refused:
        parse_version_spec("1" * 100 + ")")
    assert str(refused.value).startswith(f"'{'1' * 80}' is not")


def test_white_space_in_a_spec_is_ignored() -> None:
    spec = parse_version_spec("  >= 1.2 , ( < 2 | ^3\\.[0-9]+$ )  ")
    assert spec.text == ">=1.2,(<2|^3\\.[0-9]+$)"
    assert spec == parse_version_spec(spec.text)
    assert parse_version_spec(" ^1$ ") == parse_version_spec("^1$")
    assert parse_version_spec("\t1.2 ").term == parse_version_spec("1.2").term


def test_a_compatible_release_may_differ_in_its_last_part() -> None:
    assert allowed("~=1.4.2", "1.4.1", "1.4.2", "1.4.9", "1.5", "2.4.2") == ["1.4.2", "1.4.9"]
    assert allowed("~=1.4", "1.3", "1.4", "1.9", "2.0") == ["1.4", "1.9"]


def test_a_star_after_an_operator() -> None:
    assert allowed("!=1.2.*", "1.1", "1.2", "1.2.9", "1.3") == ["1.1", "1.3"]
    assert allowed("!=1.2*", "1.1", "1.2", "1.2.9", "1.3") == ["1.1", "1.3"]
    assert allowed("=1.2*", "1.1", "1.2", "1.2.9", "1.3") == ["1.2", "1.2.9"]
    assert allowed("=1.2.*", "1.1", "1.2", "1.2.9", "1.3") == ["1.2", "1.2.9"]
    # conda ignores the star after other operators.
    assert allowed("==1.2.*", "1.1", "1.2", "1.2.9", "1.3") == ["1.2"]
    assert allowed(">=1.2.*", "1.1", "1.2", "1.2.9", "1.3") == ["1.2", "1.2.9", "1.3"]
    assert allowed("<1.2.*", "1.1", "1.2", "1.2.9", "1.3") == ["1.1"]
    for text in ("=*", "==*", ">=*"):
        assert parse_version_spec(text).is_any
    assert not parse_version_spec("<*").is_any


def test_parentheses_around_one_comparison_are_ignored() -> None:
    for text in ("1.2", "1.*.3", ">=1", "^1$", "*"):
        assert parse_version_spec(f"(({text}))").term == parse_version_spec(text).term


def test_touching_and_empty_intervals() -> None:
    assert parse_version_spec(">=1,<2|>=2,<3").spans == parse_version_spec(">=1,<3").spans
    assert parse_version_spec("<2,>=2").spans == ()
    assert len(parse_version_spec("1.*|3.*|>=2").spans or ()) == 2


def test_every_value_of_a_spec_can_be_hashed() -> None:
    assert len({parse_version_spec(text) for text in ("1", ">=1,1.*.3", "1|1.*.3", "1", "1 ")}) == 3


def test_long_or_deeply_nested_specs_are_refused() -> None:
    assert parse_version_spec("1" + " " * 4095).spans == parse_version_spec("1").spans
    with pytest.raises(InvalidVersionSpec, match="more than 4096 characters"):
        parse_version_spec("1" + " " * 4096)
    assert parse_version_spec("(" * 32 + "1" + ")" * 32).spans == parse_version_spec("1").spans
    with pytest.raises(InvalidVersionSpec, match="more than 32 levels"):
        parse_version_spec("(" * 33 + "1" + ")" * 33)


def test_specs_with_too_many_alternatives_are_refused() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    versions = [first + second for first in letters for second in letters + "123456789"]
    versions += [f"{number}{letter}" for number in range(1, 10) for letter in letters]
    assert len(parse_version_spec(f"({'|'.join(versions[:1024])})").spans or ()) == 1024
    with pytest.raises(InvalidVersionSpec, match="too many alternatives"):
        parse_version_spec(f"({'|'.join(versions[:1025])})")
    halves = "(" + "|".join(f"{n}.*" for n in range(60)) + ")"
    assert parse_version_spec(f"{halves},{halves}").spans
