"""edit: a manifest changed as its author would have done it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envc.errors import UsageError
from envc.locking.manifest import edit, parse_manifest

TEXT = """\
# The pipeline.
[project]
name = "demo"   # short
targets = ["linux-64"]
python = "3.12"

[groups.base]
pypi = [
    "alpha>=1",   # we need this
    { name = "Beta", version = ">=2" },
]

[steps.one]
groups = ["base"]
pypi = ["gamma"]
"""


def test_a_new_entry_stands_as_the_others_do() -> None:
    changed = edit.add(TEXT, ("groups", "base"), "pypi", ["delta<3"])
    assert changed == TEXT.replace(" },\n]", ' },\n    "delta<3",\n]')
    assert edit.add(TEXT, ("steps", "one"), "pypi", ["delta"]) == TEXT.replace('["gamma"]', '["gamma", "delta"]')


def test_mixed_line_ends_stay_as_they_are() -> None:
    mixed = b"a = 1\r\nb = 2\n"
    assert edit.change_bytes(mixed, lambda text: text + "c = 3\n") == mixed + b"c = 3\n"


def test_a_requirement_on_the_same_project_takes_the_place_of_the_old_one() -> None:
    changed = edit.add(TEXT, ("groups", "base"), "pypi", ["Alpha>=2", "beta[x]"])
    assert '    "Alpha>=2",   # we need this\n    "beta[x]",\n' in changed


def test_tables_are_made_where_they_are_missing() -> None:
    changed = edit.add(TEXT, ("steps", "one", "on", "linux-64"), "pypi", ["delta"])
    step = parse_manifest(changed, Path("manifest.toml")).steps["one"]
    assert [str(dependency.requirement) for dependency in step.on["linux-64"].pypi] == ["delta"]
    assert changed.startswith(TEXT.rstrip("\n"))
    conda = edit.add(TEXT, ("steps", "one"), "conda", ["numpy >=2"])
    assert 'conda = ["numpy >=2"]' in conda


def test_what_is_removed_leaves_the_rest_as_it_was() -> None:
    assert edit.remove(TEXT, ("steps", "one"), "pypi", ["GAMMA"]) == TEXT.replace('["gamma"]', "[]")
    assert "Beta" not in edit.remove(TEXT, ("groups", "base"), "pypi", ["beta"])


def test_what_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(UsageError, match=r"steps\.one\.pypi has no alpha") as caught:
        edit.remove(TEXT, ("steps", "one"), "pypi", ["alpha"])
    assert caught.value.hint == "it has gamma"


def test_what_is_no_requirement_is_refused() -> None:
    with pytest.raises(UsageError, match="is not a requirement"):
        edit.add(TEXT, ("steps", "one"), "pypi", ["a >> 1"])


@given(st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon"]), unique=True, min_size=1))
def test_adding_and_removing_gives_back_the_same_requirements(names: list[str]) -> None:
    new = [name for name in names if name not in ("alpha", "beta")]
    added = edit.add(TEXT, ("groups", "base"), "pypi", new)
    parsed = parse_manifest(added, Path("manifest.toml")).groups["base"].pypi
    assert [dependency.requirement.name for dependency in parsed] == ["alpha", "beta", *new]
    assert (
        parse_manifest(edit.remove(added, ("groups", "base"), "pypi", new), Path("manifest.toml")).groups["base"].pypi
        == parse_manifest(TEXT, Path("manifest.toml")).groups["base"].pypi
    )


def test_a_first_manifest_is_a_manifest() -> None:
    text = edit.new_manifest("demo", ["linux-64", "osx-arm64"], "3.12")
    assert list(parse_manifest(text, Path("manifest.toml")).steps) == ["main"]
