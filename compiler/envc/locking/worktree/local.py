"""Local projects: which of a folder's files count, what digest they make together, and a copy to build from.

The names and contents of files count; their modes and times do not, since they differ between checkouts of one commit.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec

from envc.errors import EnvcError
from envc.locking.worktree.ignored import source_files
from envc.model.digest import Sha256, sha256, sha256_file

_PRODUCTS = ("build", "dist")  # what builds leave at the top of a project, unless it is a package of that name


class NotThere(EnvcError):
    """A path of the manifest that leads to nothing, or to nothing that can be read."""

    hint = "correct the path, which is relative to the manifest"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} {self.reason}"


def local_digest(root: Path, path: str, without: Path) -> Sha256:
    """The digest of what a path of the manifest leads to: of a file its sha256, of a folder that of its files.

    `root` is the folder of the manifest; the lock, `without`, does not count, for it would change itself. Raises
    NotThere.
    """
    place = root / path
    try:
        if place.is_file():
            return sha256_file(place)
        if not place.is_dir():
            raise NotThere(path, "does not exist")
        rows = [(name, sha256_file(place / name)) for name in project_files(place) if place / name != without]
    except OSError as error:
        raise NotThere(path, f"cannot be read: {error.strerror}") from None
    return sha256(msgspec.json.encode(rows))


def copy_project(folder: Path, into: Path, without: Path) -> None:
    """Write the files that count below a new folder, plain and with the usual modes. Raises OSError."""
    into.mkdir()
    for name in project_files(folder):
        source, target = folder / name, into / name
        if source == without:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)


def project_files(folder: Path) -> list[str]:
    """The files of a local project that count, as sorted POSIX paths below it.

    All but what git would ignore, byte-code, hidden folders at the top, virtual environments and what builds leave
    behind. A link to a file counts as the file, links to folders are not followed. Raises OSError.
    """
    found = source_files(
        folder,
        wanted=lambda name: not name.endswith((".pyc", ".pyo")),
        entered=lambda base, name: (
            not name.endswith(".egg-info") and bool(base or not (name.startswith(".") or _is_product(folder / name)))
        ),
    )
    return sorted(path for path in found if Path(folder, path).is_file())


def _is_product(folder: Path) -> bool:
    return folder.name in _PRODUCTS and not (folder / "__init__.py").exists()
