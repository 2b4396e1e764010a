"""Local projects: the files of a folder that belong to it, their common digest, and a copy to build from.

The digest covers the names and contents of the files. Modes and times differ between checkouts of one commit, so they
are ignored.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec

from envc.errors import EnvcError
from envc.locking.worktree.ignored import source_files
from envc.model.digest import Sha256, sha256, sha256_file

_PRODUCTS = ("build", "dist")  # folders that builds leave in a project, unless they are packages of that name


class NotThere(EnvcError):
    """A path in the manifest that does not exist or cannot be read."""

    hint = "correct the path, which is relative to the manifest"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} {self.reason}"


def local_digest(root: Path, path: str, without: Path) -> Sha256:
    """The digest of a path in the manifest: the sha256 of a file, or the common digest of the files of a folder.

    `root` is the folder of the manifest. `without` is the lock, which is left out: otherwise writing it would change
    the digest. Raises NotThere.
    """
    full_path = root / path
    try:
        if full_path.is_file():
            return sha256_file(full_path)
        if not full_path.is_dir():
            raise NotThere(path, "does not exist")
        rows = [
            (name, sha256_file(full_path / name)) for name in project_files(full_path) if full_path / name != without
        ]
    except OSError as error:
        raise NotThere(path, f"cannot be read: {error.strerror}") from None
    return sha256(msgspec.json.encode(rows))


def copy_project(folder: Path, into: Path, without: Path) -> None:
    """Copy the files of a project below a new folder, links as files, with the usual modes. Raises OSError."""
    into.mkdir()
    for name in project_files(folder):
        source, target = folder / name, into / name
        if source == without:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)


def project_files(folder: Path) -> list[str]:
    """The files of a local project, as sorted POSIX paths below it.

    Left out are files that git ignores, byte-code, hidden folders at the top, virtual environments and the products of
    builds. A link to a file counts as the file. Links to folders are not followed. Raises OSError.
    """
    found = source_files(
        folder,
        is_included=lambda name: not name.endswith((".pyc", ".pyo")),
        is_entered=lambda base, name: (
            not name.endswith(".egg-info") and bool(base or not (name.startswith(".") or _is_product(folder / name)))
        ),
    )
    return sorted(path for path in found if Path(folder, path).is_file())


def _is_product(folder: Path) -> bool:
    return folder.name in _PRODUCTS and not (folder / "__init__.py").exists()
