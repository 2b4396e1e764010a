"""Edits of a manifest keep its layout, as if its author had made them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envc.errors import UsageError
from envc.locking.manifest import edit
from envc.locking.manifest.load import parse_manifest

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


def test_a_new_entry_is_formatted_like_the_others() -> None:
    changed = edit.add(TEXT, ("groups", "base"), "pypi", ["delta<3"])
    assert changed == TEXT.replace(" },\n]", ' },\n    "delta<3",\n]')
    assert edit.add(TEXT, ("steps", "one"), "pypi", ["delta"]) == TEXT.replace('["gamma"]', '["gamma", "delta"]')


def test_mixed_line_ends_are_kept() -> None:
    mixed = b"a = 1\r\nb = 2\n"
    assert edit.change_bytes(mixed, lambda text: text + "c = 3\n") == mixed + b"c = 3\n"


def test_a_requirement_on_the_same_project_replaces_the_old_one() -> None:
    changed = edit.add(TEXT, ("groups", "base"), "pypi", ["Alpha>=2", "beta[x]"])
    assert '    "Alpha>=2",   # we need this\n    "beta[x]",\n' in changed


def test_only_the_requirement_with_the_same_marker_is_replaced() -> None:
    text = TEXT.replace(
        '["gamma"]', """["gamma<2; sys_platform=='win32'", { name = "Delta", marker = "os_name == 'nt'" }]"""
    )
    table = ("steps", "one")
    both = edit.add(text, table, "pypi", ["gamma>=2; sys_platform != 'win32'", "delta"])
    assert """"gamma<2; sys_platform=='win32'", {""" in both
    assert """}, "gamma>=2; sys_platform != 'win32'", "delta"]""" in both
    replaced = edit.add(
        both, table, "pypi", ['gamma<3 ;sys_platform == "win32"', "delta>=1 ; os_name=='nt'", "delta>=2"]
    )
    entries = parse_manifest(replaced, Path("manifest.toml")).steps["one"].dependencies.pypi
    assert [str(each.requirement) for each in entries] == [
        'gamma<3; sys_platform == "win32"',
        'delta>=1; os_name == "nt"',
        'gamma>=2; sys_platform != "win32"',
        "delta>=2",
    ]
    assert "gamma" not in edit.remove(replaced, table, "pypi", ["gamma"])
    one = edit.remove(replaced, table, "pypi", ["gamma; sys_platform == 'win32'"])
    assert "gamma>=2" in one
    assert "gamma<3" not in one
    with pytest.raises(UsageError, match="has no gamma; os_name") as caught:
        edit.remove(replaced, table, "pypi", ["gamma; os_name == 'nt'"])
    assert 'gamma; sys_platform != "win32"' in str(caught.value.hint)


def test_a_requirement_replaces_every_other_with_its_name_and_marker() -> None:
    text = TEXT.replace('["gamma"]', '["gamma>=1", "delta", "gamma<3", { path = "libs/acme" }]')
    changed = edit.add(text, ("steps", "one"), "pypi", ["gamma>=4", "acme>=1"])
    assert 'pypi = ["gamma>=4", "delta", "acme>=1"]' in changed


def test_missing_tables_are_made() -> None:
    changed = edit.add(TEXT, ("steps", "one", "on", "linux-64"), "pypi", ["delta"])
    step = parse_manifest(changed, Path("manifest.toml")).steps["one"]
    assert [str(dependency.requirement) for dependency in step.on["linux-64"].pypi] == ["delta"]
    assert changed.startswith(TEXT.rstrip("\n"))
    conda = edit.add(TEXT, ("steps", "one"), "conda", ["numpy >=2"])
    assert 'conda = ["numpy >=2"]' in conda


def test_removing_leaves_the_rest_unchanged() -> None:
    assert edit.remove(TEXT, ("steps", "one"), "pypi", ["GAMMA"]) == TEXT.replace('["gamma"]', "[]")
    assert "Beta" not in edit.remove(TEXT, ("groups", "base"), "pypi", ["beta"])


def test_a_missing_requirement_cannot_be_removed() -> None:
    with pytest.raises(UsageError, match=r"steps\.one\.pypi has no alpha") as caught:
        edit.remove(TEXT, ("steps", "one"), "pypi", ["alpha"])
    assert caught.value.hint == "it has gamma"


def test_an_invalid_requirement_is_refused() -> None:
    with pytest.raises(UsageError, match="is not a requirement"):
        edit.add(TEXT, ("steps", "one"), "pypi", ["a >> 1"])


@given(st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon"]), unique=True, min_size=1))
def test_removing_undoes_adding(names: list[str]) -> None:
    new = [name for name in names if name not in ("alpha", "beta")]
    added = edit.add(TEXT, ("groups", "base"), "pypi", new)
    parsed = parse_manifest(added, Path("manifest.toml")).groups["base"].pypi
    assert [dependency.requirement.name for dependency in parsed] == ["alpha", "beta", *new]
    assert (
        parse_manifest(edit.remove(added, ("groups", "base"), "pypi", new), Path("manifest.toml")).groups["base"].pypi
        == parse_manifest(TEXT, Path("manifest.toml")).groups["base"].pypi
    )


def test_the_initial_manifest_is_valid() -> None:
    text = edit.new_manifest("demo", ["linux-64", "osx-arm64"], "3.12")
    assert list(parse_manifest(text, Path("manifest.toml")).steps) == ["main"]
