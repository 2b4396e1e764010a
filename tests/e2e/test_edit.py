"""`envc init`, `add` and `remove` through the installed command."""

from __future__ import annotations

import codecs

import pytest

from tests.e2e.command import HOST_PYTHON, Workplace
from tests.e2e.conftest import MANIFEST


def test_from_an_empty_folder_to_a_running_step(workplace: Workplace) -> None:
    workplace.manifest.unlink()
    workplace.ok("init", "--python", HOST_PYTHON)
    assert "already exists" in workplace.fails(2, "init").err
    assert "+ alpha 1.1" in workplace.ok("add", "alpha").err
    assert workplace.ok("run", "main", "--", "python", "-c", "import alpha; print(alpha.__version__)").out == "1.1\n"
    assert "~ alpha 1.1 -> 1.0" in workplace.ok("add", "alpha<1.1").err
    assert "- alpha 1.0" in workplace.ok("remove", "alpha").err


def test_a_requirement_that_cannot_be_locked_is_taken_back(workplace: Workplace) -> None:
    done = workplace.fails(1, "add", "--group", "base", "gamma>=9")
    assert "groups.base.pypi[1], line 7" in done.err
    assert "manifest.toml was restored" in done.err
    assert workplace.manifest.read_text() == MANIFEST


def test_requirements_for_different_platforms_stay_side_by_side(workplace: Workplace) -> None:
    workplace.ok("add", "--step", "report", "gamma<2; sys_platform == 'win32'")
    workplace.ok("add", "--step", "report", "gamma>=2; sys_platform != 'win32'")
    assert '"gamma<2; sys_platform == \'win32\'", "gamma>=2;' in workplace.manifest.read_text()
    assert 'id = "pypi:gamma@1.0"' in workplace.lock.read_text()
    workplace.ok("add", "--step", "report", 'gamma==1.0; sys_platform=="win32"')
    assert "gamma<2" not in workplace.manifest.read_text()
    assert "gamma>=2" in workplace.manifest.read_text()


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_a_manifest_with_windows_line_ends_keeps_them(workplace: Workplace, end: str) -> None:
    def on_disk(text: str) -> bytes:
        return codecs.BOM_UTF8 + text.replace("\n", end).encode()

    workplace.manifest.write_bytes(on_disk(MANIFEST))
    assert "groups.base.pypi[1], line 7" in workplace.fails(1, "add", "--group", "base", "gamma>=9").err
    assert workplace.manifest.read_bytes() == on_disk(MANIFEST)
    workplace.ok("add", "--group", "base", "delta")
    workplace.ok("add", "--step", "report", "gamma")
    changed = MANIFEST.replace('["alpha>=1"]', '["alpha>=1", "delta"]') + 'pypi = ["gamma"]\n'
    assert workplace.manifest.read_bytes() == on_disk(changed)
    workplace.ok("lock", "--check")


def test_the_step_must_be_clear(workplace: Workplace) -> None:
    assert "name one with --step: prepare, train, report" in workplace.fails(2, "add", "delta").err
    workplace.ok("add", "--step", "report", "--no-lock", "delta")
    assert not workplace.lock.exists()
