"""`envc init`, `add` and `remove` through the installed command."""

from __future__ import annotations

import codecs

import pytest

from tests.e2e.command import HOST_PYTHON, Workplace
from tests.e2e.conftest import MANIFEST


def test_from_an_empty_folder_to_a_running_step(workplace: Workplace) -> None:
    workplace.manifest.unlink()
    assert workplace.ok("init", "--python", HOST_PYTHON, "--json").json == {"manifest": "manifest.toml"}
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
    workplace.ok("add", "--group", "base", "--raw", "delta")
    workplace.ok("add", "--step", "report", "--raw", "gamma")
    changed = MANIFEST.replace('["alpha>=1"]', '["alpha>=1", "delta"]') + 'pypi = ["gamma"]\n'
    assert workplace.manifest.read_bytes() == on_disk(changed)
    workplace.ok("lock", "--check")


def test_the_step_must_be_clear(workplace: Workplace) -> None:
    assert "name one with --step: prepare, train, report" in workplace.fails(2, "add", "delta").err
    workplace.ok("add", "--step", "report", "--no-lock", "delta")
    assert not workplace.lock.exists()


def test_a_requirement_without_versions_gets_the_locked_one_as_its_lower_bound(workplace: Workplace) -> None:
    workplace.ok("add", "--step", "report", "beta[fast]", "gamma; sys_platform != 'win32'", "delta<1")
    text = workplace.manifest.read_text()
    assert """pypi = ["beta[fast]>=1.0", "gamma>=2.0; sys_platform != 'win32'", "delta<1"]""" in text
    workplace.ok("lock", "--check")
    workplace.ok("add", "--step", "prepare", "--raw", "gamma")
    assert 'pypi = ["gamma"]' in workplace.manifest.read_text()
    workplace.ok("add", "--step", "prepare", "--no-lock", "delta")
    assert 'pypi = ["gamma", "delta"]' in workplace.manifest.read_text()


def test_the_bound_is_the_lowest_version_of_all_targets(workplace: Workplace) -> None:
    workplace.write(f"{MANIFEST}\n[steps.report.on.win-64]\npypi = ['gamma<2']\n")
    workplace.ok("add", "--step", "report", "gamma")
    assert 'pypi = ["gamma>=1.0"]' in workplace.manifest.read_text()


def test_a_group_that_no_step_uses_is_told(workplace: Workplace) -> None:
    done = workplace.ok("add", "--group", "bsae", "delta")
    assert "no step uses the group bsae, so nothing is locked for it" in done.err
    assert "did you mean base?" in done.err
    done = workplace.ok("add", "--group", "extra", "delta")
    assert 'add groups = ["extra"] to a step' in done.err
    assert "no step uses" not in workplace.ok("add", "--group", "base", "delta").err


def test_a_step_that_does_not_exist_is_made_and_told(workplace: Workplace) -> None:
    done = workplace.ok("add", "--step", "trian", "gamma")
    assert "trian is a new step; did you mean train?" in done.err
    assert "+ gamma 2.0" in done.err
    assert '[steps.trian]\npypi = ["gamma>=2.0"]' in workplace.manifest.read_text()
    assert "did you mean report?" in workplace.fails(2, "remove", "--step", "rport", "gamma").err


def test_a_dry_run_writes_nothing(workplace: Workplace) -> None:
    done = workplace.ok("add", "--step", "report", "delta", "--dry-run")
    assert "+ delta 0.5" in done.err
    assert "would write manifest.lock" in done.err
    assert workplace.manifest.read_text() == MANIFEST
    assert not workplace.lock.exists()
    failed = workplace.fails(1, "add", "--group", "base", "gamma>=9", "--dry-run")
    assert "groups.base.pypi[1], line 7" in failed.err
    assert workplace.manifest.read_text() == MANIFEST


def test_edits_are_reported_as_json(workplace: Workplace) -> None:
    added = workplace.ok("add", "--step", "report", "delta", "--json").json
    assert added["table"] == "steps.report"
    assert added["entries"] == ["delta>=0.5"]
    assert added["written"] is True
    assert [change["name"] for change in added["locked"]["changes"]] == ["alpha", "beta", "delta", "gamma", "native"]
    removed = workplace.ok("remove", "--step", "report", "delta", "--no-lock", "--json").json
    assert (removed["entries"], removed["locked"]) == (["delta"], None)


def test_a_file_of_requirements_is_added(workplace: Workplace) -> None:
    project = workplace.checkout / "libs" / "own"
    project.mkdir(parents=True)
    (project / "pyproject.toml").write_text('[project]\nname = "own-lib"\nversion = "1.0"\n')
    (project / "own_lib.py").write_text("")
    (workplace.checkout / "requirements.txt").write_text(
        "# what we need\nbeta[fast] >= 1  # fast\n"
        "delta==0.5 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n-r libs/more.txt\n"
    )
    (workplace.checkout / "libs" / "more.txt").write_text("gamma\n-e own\n-r ../requirements.txt\n")
    workplace.ok("add", "--step", "report", "--no-lock", "-r", "requirements.txt")
    entries = '"beta[fast] >= 1", "delta==0.5", "gamma", {name = "own-lib", path = "libs/own"}'
    assert f"pypi = [{entries}]" in workplace.manifest.read_text()
    (workplace.checkout / "odd.txt").write_text("gamma\n--index-url https://example.org/simple\n")
    done = workplace.fails(2, "add", "--step", "report", "-r", "odd.txt")
    assert "odd.txt:2: --index-url is an option of pip, not a requirement" in done.err
    assert "cannot read" in workplace.fails(2, "add", "--step", "report", "-r", "no.txt").err
    assert "nothing is named" in workplace.fails(2, "add", "--step", "report").err


def test_a_path_is_added_as_a_local_project(workplace: Workplace) -> None:
    project = workplace.folder / "own"
    project.mkdir()
    (project / "pyproject.toml").write_text('[project]\nname = "own-lib"\nversion = "1.0"\n')
    workplace.ok("add", "--step", "report", "--no-lock", "../own")
    assert '{name = "own-lib", path = "../own"}' in workplace.manifest.read_text()
    assert "there is no such file or folder" in workplace.fails(2, "add", "--step", "report", "./nowhere").err
