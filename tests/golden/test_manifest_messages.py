"""Messages for wrong manifests: every file of ``manifests/`` is one situation, described in its first line."""

from __future__ import annotations

from pathlib import Path

import pytest

from envc.errors import ManifestError
from envc.locking.manifest.load import parse_manifest
from tests.golden.regenerate import FOLDER, check_golden

SITUATIONS = sorted(FOLDER.glob("manifests/*.toml"))


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda path: path.stem)
def test_report(situation: Path) -> None:
    name = "pyproject.toml" if situation.stem.startswith("pyproject") else "manifest.toml"
    with pytest.raises(ManifestError) as caught:
        parse_manifest(situation.read_text(encoding="utf-8"), Path(name))
    report = str(caught.value)
    assert "hunter2" not in report
    check_golden(situation.with_suffix(".txt"), report + "\n")


def test_every_text_has_a_situation() -> None:
    assert len(SITUATIONS) >= 25
    assert sorted(FOLDER.glob("manifests/*.txt")) == [path.with_suffix(".txt") for path in SITUATIONS]
