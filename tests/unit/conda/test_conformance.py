"""Facts from the test suites of conda and rattler about versions and match specs. They are not in the repository."""

from __future__ import annotations

import json
from typing import Any

import pytest

from envc_solvers.conda.language.matchspec import InvalidMatchSpec, MatchSpec, parse_matchspec
from envc_solvers.conda.language.record import Record
from envc_solvers.conda.language.version import POST, InvalidVersion, Part, parse_version, prefix_bounds, split_version
from envc_solvers.conda.language.versionspec import InvalidVersionSpec, parse_version_spec
from tests.support.channels import SHARED

FACTS = SHARED / "conformance"

pytestmark = pytest.mark.skipif(not FACTS.is_dir(), reason="the conformance facts are not on this machine")

# Specs that match any package. envc refuses them: a manifest or a package must name the packages that it means.
NAMELESS = frozenset(
    ("mkl@", "* 2.7.4", "* >=1.3 2", "*>1.8,<2|==1.7", "* >1.8,<2|==1.7", "* 1 *", "* * openblas_0", "* * *", "* *")
)

# Specs that conda and rattler read differently, each with the reason. envc follows conda.
RATTLER_DIFFERS = {
    "numpy[version=1.10 build=py38_0]": "conda separates pairs by white space too",
    "numpy=": "conda reads an empty version as any version",
    "tensorflow[name=* version=* md5=253b922ecdb5a30884875948b8904983]": "conda prefers the name before the bracket",
    "tensorflow[name=pytorch]": "conda prefers the name before the bracket",
    "defaults::numpy=1.8=py27_0 [name=\"pytorch\" channel='anaconda',version=\">=1.8,<2|1.9\", build='3']": (
        "conda prefers the name before the bracket"
    ),
    "conda-forge::foo[build=3](target=blarg,optional)": "conda drops its own notes in parentheses",
    "foo   =    1.0    =    2": "rattler takes the second = into the build, which then matches nothing",
    "python ==2.7.*|>=3.4": "conda ignores .* after a relation: == stays exact",
    "python ==2.7.*|>=3.5": "conda ignores .* after a relation: == stays exact",
    "python ==2.7.*|>=3.6": "conda ignores .* after a relation: == stays exact",
    "python ==2.7.*|>=3.7": "conda ignores .* after a relation: == stays exact",
}


def facts(file: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FACTS / file).read_text(encoding="utf-8"))
    return loaded


def test_28_000_real_versions_are_ordered_as_by_conda() -> None:
    before = b""
    for group in facts("version_corpus.json")["groups"]:
        keys = {parse_version(text).key for text in group}
        assert len(keys) == 1, group
        key = keys.pop()
        assert key > before, group
        before = key


def test_versions_are_split_as_conda_splits_them() -> None:
    rows = facts("version_segments.json")["rows"] + facts("version_order.json")["sorted_with_segments"]
    for text, segments in rows:
        parts, local = split_version(text)
        # The facts of real versions omit the local part.
        assert segments in (shown(parts), shown(parts + local)), text


def shown(parts: list[Part]) -> list[list[object]]:
    return [["inf" if atom == POST else atom for atom in part] for part in parts]


def test_order_as_in_condas_tests() -> None:
    order = facts("version_order.json")
    with_segments = [text for text, _ in order["sorted_with_segments"]]
    for texts in (with_segments, order["sorted_openssl"], order["sorted_pep440_like"]):
        versions = [parse_version(text) for text in texts]
        assert versions == sorted(versions)
    assert len({parse_version(text) for text in order["sorted_pep440_like"]}) == len(order["sorted_pep440_like"])
    for left, relation, right in order["equality"]:
        assert (parse_version(left) == parse_version(right)) is (relation == "=="), (left, right)


def test_starts_with_as_in_condas_tests() -> None:
    for text, prefix, expected in facts("version_order.json")["starts_with"]:
        low, high = prefix_bounds(prefix)
        assert (low < parse_version(text).key < high) is expected, (text, prefix)


def test_invalid_versions_are_refused() -> None:
    for text in facts("version_order.json")["invalid"]:
        with pytest.raises(InvalidVersion):
            parse_version(text)


def test_version_specs_allow_what_conda_allows() -> None:
    stated = facts("version_spec.json")
    for spec, version, expected in stated["cases"]:
        assert parse_version_spec(spec).contains(parse_version(version)) is expected, (spec, version)
    for spec, version, conda, rattler in stated["rattler_differs"]:
        assert conda != rattler
        assert parse_version_spec(spec).contains(parse_version(version)) is conda, (spec, version)


def test_invalid_version_specs_are_refused() -> None:
    for text in facts("version_spec.json")["invalid"]:
        with pytest.raises(InvalidVersionSpec):
            parse_version_spec(text)


def test_canonical_match_specs() -> None:
    for text, canonical in facts("match_spec.json")["canonical"]:
        if text in NAMELESS:
            continue
        assert str(parse_matchspec(text)) == canonical, text
        assert str(parse_matchspec(canonical)) == canonical


def test_the_parts_of_match_specs() -> None:
    for text, fields in facts("match_spec.json")["parsed"]:
        if text in NAMELESS:
            continue
        spec = parse_matchspec(text)
        # "*" as channel, version or build is no condition.
        expected = {key: value for key, value in fields.items() if value != "*"}
        assert {key: value for key, value in parts(spec).items() if value not in (None, "*")} == expected, text


def parts(spec: MatchSpec) -> dict[str, str | None]:
    keys = ("name", "build", "build_number", "channel", "subdir", "md5")
    return {key: getattr(spec, key) for key in keys} | {"version": spec.version.text if spec.version else None}


def test_specs_on_any_package_are_refused_clearly() -> None:
    for text in sorted(NAMELESS):
        with pytest.raises(InvalidMatchSpec, match=r"needs the name of one package|features are not supported"):
            parse_matchspec(text)


def test_match_specs_accept_what_conda_accepts() -> None:
    for text, (name, version, build), expected in facts("match_spec.json")["matches"]:
        record = Record(name=name, version=version, build=build)
        assert parse_matchspec(text).matches(record) is expected, (text, version, build)


def test_match_specs_accept_what_rattler_accepts() -> None:
    rows = facts("match_spec_matches_rattler.json")["rows"]
    for text, (name, version, build, number), expected in rows:
        record = Record(name=name, version=version, build=build, build_number=number)
        assert parse_matchspec(text).matches(record) is expected, (text, version, build)
    assert len(rows) > 9_000


def test_match_specs_are_read_as_by_rattler_except_for_listed_differences() -> None:
    different = set()
    stated = facts("match_spec_rattler.json")
    for text, rattler in stated["hand"] + stated["real"]:
        try:
            spec = parse_matchspec(text)
        except InvalidMatchSpec:
            if rattler is not None:
                different.add(text)
            continue
        if rattler is None:
            different.add(text)
            continue
        version = parse_version_spec(rattler["version"]).term if rattler["version"] else None
        build = rattler["build"] if rattler["build"] != "*" else None
        ours = (spec.version.term if spec.version else None, spec.build, spec.subdir)
        if ours != (version, build, rattler["subdir"]):
            different.add(text)
    assert different == set(RATTLER_DIFFERS)
