"""Local projects: which files are included, what changes their digest, and which files a build sees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envc.locking.builds.errors import BadSource
from envc.locking.builds.origin import Tree
from envc.locking.worktree.local import NotThere, copy_project, local_digest, project_files
from envc.model.digest import sha256
from tests.support.projects import write_project

FILES = {
    "pyproject.toml": "[project]\n",
    "src/acme/__init__.py": "",
    "src/acme/data/.hidden": "counts",
    ".gitignore": "*.tmp\n/out/\n!keep.tmp\n",
    "keep.tmp": "counts",
    "build/lib/acme.py": "product",
    "src/build/__init__.py": "counts",
    "dist/acme-1.0.tar.gz": "product",
    "acme.egg-info/PKG-INFO": "product",
    "src/acme.egg-info/PKG-INFO": "product",
    "src/acme/__pycache__/x.pyc": "code",
    "notes.tmp": "ignored",
    "out/file": "ignored",
    ".github/workflows/ci.yml": "hidden",
    "env/pyvenv.cfg": "",
    "env/lib/six.py": "",
    "manifest.lock": "of this very project",
}
COUNTED = [
    ".gitignore",
    "keep.tmp",
    "pyproject.toml",
    "src/acme/__init__.py",
    "src/acme/data/.hidden",
    "src/build/__init__.py",
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project", FILES)


def digest(project: Path) -> str:
    return local_digest(project.parent, "project", project / "manifest.lock")


def test_which_files_are_included(project: Path) -> None:
    assert [name for name in project_files(project, project) if name != "manifest.lock"] == COUNTED


def test_a_package_called_build_at_the_top_is_included(project: Path) -> None:
    write_project(project, {"build/__init__.py": ""})
    assert "build/lib/acme.py" in project_files(project, project)


def test_a_project_below_an_ignored_folder_uses_only_its_own_ignore_files(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    write_project(tmp_path, {".gitignore": "scratch/\n", "scratch/acme/setup.py": ""})
    assert project_files(tmp_path / "scratch/acme", tmp_path) == ["setup.py"]


@pytest.mark.parametrize("path", [path for path in FILES if path not in COUNTED])
def test_excluded_files_do_not_change_the_digest(project: Path, path: str) -> None:
    before = digest(project)
    (project / path).write_text("something else")
    assert digest(project) == before


def test_times_and_modes_do_not_change_the_digest(project: Path) -> None:
    before = digest(project)
    os.utime(project / "pyproject.toml", (1, 1))
    (project / "pyproject.toml").chmod(0o755)
    assert digest(project) == before


@pytest.mark.parametrize("path", COUNTED)
def test_included_files_change_the_digest(project: Path, path: str) -> None:
    before = digest(project)
    content = (project / path).read_text()
    (project / path).write_text(content + "\n")
    changed = digest(project)
    assert changed != before
    (project / path).write_text(content)
    assert digest(project) == before
    (project / path).rename(project / f"{path}.other")
    assert digest(project) not in (before, changed)


def test_a_copy_has_the_included_files_with_usual_modes(project: Path, tmp_path: Path) -> None:
    write_project(project, {"run.sh": "#!/bin/sh\n"})
    (project / "run.sh").chmod(0o700)
    (project / "pyproject.toml").chmod(0o600)
    copy_project(project, tmp_path / "copy", project / "manifest.lock")
    found = {
        path.relative_to(tmp_path / "copy").as_posix() for path in (tmp_path / "copy").rglob("*") if path.is_file()
    }
    assert found == {*COUNTED, "run.sh"}
    if os.name == "posix":
        assert (tmp_path / "copy/run.sh").stat().st_mode & 0o777 == 0o755
        assert (tmp_path / "copy/pyproject.toml").stat().st_mode & 0o777 == 0o644


def test_files_that_change_during_the_copy_are_not_built(project: Path, tmp_path: Path) -> None:
    lock = tmp_path / "manifest.lock"
    before = local_digest(project.parent, project.name, lock)
    write_project(project, {"late.py": "x = 1\n"})
    tree = Tree(folder=project, path=project.name, digest=before, without=lock)
    with pytest.raises(BadSource, match="its files changed while they were copied"):
        tree.unpack(tmp_path / "copy")


def test_a_single_file_has_the_digest_of_its_content(tmp_path: Path) -> None:
    (tmp_path / "acme-1.0-py3-none-any.whl").write_bytes(b"wheel")
    assert local_digest(tmp_path, "acme-1.0-py3-none-any.whl", tmp_path / "manifest.lock") == sha256(b"wheel")


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotThere, match="libs/acme does not exist"):
        local_digest(tmp_path, "libs/acme", tmp_path / "manifest.lock")


def test_links_to_files_count_as_files_and_broken_links_are_ignored(project: Path) -> None:
    (project / "link.py").symlink_to(project / "pyproject.toml")
    (project / "broken.py").symlink_to("nowhere")
    (project / "folder").symlink_to(project / "src")
    assert {"link.py"} == set(project_files(project, project)) - {*COUNTED, "manifest.lock"}
