"""Finding the manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from envc.errors import UsageError
from envc.locking.manifest.find import find_manifest

TABLE = "[tool.envc.project]\n"


def _write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_argument_comes_first(tmp_path: Path) -> None:
    named = _write(tmp_path / "other" / "envs.toml")
    _write(tmp_path / "manifest.toml")
    environ = {"ENVC_MANIFEST": str(tmp_path / "manifest.toml")}
    assert find_manifest("other/envs.toml", environ, tmp_path) == named


def test_then_the_environment(tmp_path: Path) -> None:
    named = _write(tmp_path / "envs.toml")
    _write(tmp_path / "here" / "manifest.toml")
    assert find_manifest(None, {"ENVC_MANIFEST": str(named)}, tmp_path / "here") == named
    assert find_manifest(None, {"ENVC_MANIFEST": ""}, tmp_path / "here") == tmp_path / "here" / "manifest.toml"


def test_then_upwards(tmp_path: Path) -> None:
    manifest = _write(tmp_path / "manifest.toml")
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert find_manifest(None, {}, deep) == manifest


def test_a_pyproject_counts_only_with_a_table_of_envc(tmp_path: Path) -> None:
    manifest = _write(tmp_path / "manifest.toml")
    inner = _write(tmp_path / "a" / "pyproject.toml", '[project]\nname = "envc"\n')
    assert find_manifest(None, {}, tmp_path / "a") == manifest
    inner.write_text(TABLE)
    assert find_manifest(None, {}, tmp_path / "a") == inner


def test_a_broken_pyproject_with_a_table_of_envc_is_found(tmp_path: Path) -> None:
    broken = _write(tmp_path / "pyproject.toml", TABLE + "x = [\n")
    assert find_manifest(None, {}, tmp_path) == broken


def test_a_manifest_is_preferred_to_a_pyproject(tmp_path: Path) -> None:
    _write(tmp_path / "pyproject.toml", TABLE)
    manifest = _write(tmp_path / "manifest.toml")
    assert find_manifest(None, {}, tmp_path) == manifest
    assert find_manifest(".", {}, tmp_path) == manifest


def test_the_message_without_a_manifest_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="does not exist"):
        find_manifest("nowhere.toml", {}, tmp_path)
    with pytest.raises(UsageError, match=r"ENVC_MANIFEST: .* does not exist"):
        find_manifest(None, {"ENVC_MANIFEST": "nowhere.toml"}, tmp_path)
    with pytest.raises(UsageError, match="holds neither") as caught:
        find_manifest("empty", {}, tmp_path)
    assert "envc init" in (caught.value.hint or "")
    with pytest.raises(UsageError, match=r"ENVC_MANIFEST: .* holds neither"):
        find_manifest(None, {"ENVC_MANIFEST": "empty"}, tmp_path)
