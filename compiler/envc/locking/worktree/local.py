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


class OutsideLink(EnvcError):
    """A link in a local project to a file outside, which a build would copy into a wheel."""

    hint = "copy the file into the project, or let git ignore the link"

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder, name)
        self.folder = folder
        self.name = name

    def __str__(self) -> str:
        return f"{self.folder.name}: {self.name!r} is a link to a file outside of the project and its repository"

    def data(self) -> dict[str, object]:
        return {"folder": str(self.folder), "file": self.name}


def local_digest(root: Path, path: str, without: Path) -> Sha256:
    """The digest of a path in the manifest: the sha256 of a file, or the common digest of the files of a folder.

    `root` is the folder of the manifest. `without` is the lock, which is left out: otherwise writing it would change
    the digest. Raises NotThere and OutsideLink.
    """
    full_path = root / path
    try:
        if full_path.is_file():
            return sha256_file(full_path)
        if not full_path.is_dir():
            raise NotThere(path, "does not exist")
        rows = [
            (name, sha256_file(full_path / name))
            for name in project_files(full_path, root)
            if full_path / name != without
        ]
    except OSError as error:
        raise NotThere(path, f"cannot be read: {error.strerror}") from None
    return sha256(msgspec.json.encode(rows))


def copy_project(folder: Path, into: Path, without: Path) -> None:
    """Copy the files of a project below a new folder, links as files, with the usual modes.

    `without` is the lock beside the manifest, which is left out. Raises OutsideLink and OSError.
    """
    into.mkdir()
    for name in project_files(folder, without.parent):
        source, target = folder / name, into / name
        if source == without:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)


def project_files(folder: Path, root: Path) -> list[str]:
    """The files of a local project, as sorted POSIX paths below it. `root` is the folder of the manifest.

    Left out are files that git ignores, byte-code, hidden folders at the top, virtual environments and the products of
    builds. A link to a file counts as the file, if that is in the project, below `root` or in the repository of the
    project. Links to folders are not followed. Raises OutsideLink and OSError.
    """
    found = source_files(
        folder,
        is_included=lambda name: not name.endswith((".pyc", ".pyo")),
        is_entered=lambda base, name: (
            not name.endswith(".egg-info") and bool(base or not (name.startswith(".") or _is_product(folder / name)))
        ),
    )
    names = sorted(path for path in found if Path(folder, path).is_file())
    _refuse_outside_links(folder, root, names)
    return names


def _refuse_outside_links(folder: Path, root: Path, names: list[str]) -> None:
    """Raise OutsideLink for a link to a file that does not belong to the checkout, such as a key of the user."""
    links = [name for name in names if (folder / name).is_symlink()]
    if not links:
        return
    own = folder.resolve()
    allowed = [own, root.resolve(), *(parent for parent in own.parents if (parent / ".git").exists())][:3]
    for name in links:
        real = (folder / name).resolve()
        if not any(real.is_relative_to(place) for place in allowed):
            raise OutsideLink(folder, name)


def _is_product(folder: Path) -> bool:
    return folder.name in _PRODUCTS and not (folder / "__init__.py").exists()
