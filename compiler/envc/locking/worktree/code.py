"""Code files: the files of a project that belong to a step, as entries of an object."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePath

from envc.errors import Unusable
from envc.locking.worktree.ignored import source_files
from envc.shipping.format.encode import Entry
from envc.shipping.format.errors import UnsafePath
from envc.shipping.format.paths import check_path
from envc_solvers.malformed import FOREIGN, malformed, reason_of


class CodeError(Unusable):
    """Code files that cannot be bundled."""

    def __str__(self) -> str:
        return f"{self.what} {self.reason}"


def code_entries(root: Path, globs: tuple[str, ...] | None) -> tuple[Entry, ...]:
    """The code files of a step, sorted by path relative to `root`, the folder of the manifest.

    With `globs`, these are the files that match one of them, and the files below folders that match one, even if git
    ignores them. Without `globs`, they are the ``*.py`` files below the manifest, except in hidden folders, in virtual
    environments, and those that git ignores. A link is bundled as the file that it points to. Raises CodeError for a
    glob without a file, for a file that is not below `root`, and for names that are not valid on every system.
    """
    paths = sorted(set(_matching(root, globs) if globs is not None else _default(root)))
    base = root.resolve()
    entries = []
    for path in paths:
        file = root / path
        try:
            if not file.resolve().is_relative_to(base):
                raise CodeError(path, "is outside the folder of the manifest", "bundle a copy of the file instead")
            check_path(path)
            mode = file.stat().st_mode
            if not stat.S_ISREG(mode):
                raise CodeError(path, "is not a regular file", "leave it out with `code`")
            entries.append(Entry(path=path, content=file, executable=bool(mode & 0o111) and os.name != "nt"))
        except UnsafePath as error:
            raise CodeError(path, error.reason, "rename the file, or leave it out with `code`") from None
        except OSError as error:
            raise CodeError(path, f"cannot be read: {error.strerror}") from None
    return tuple(entries)


def absent_pattern(root: Path, globs: tuple[str, ...] | None) -> str | None:
    """The first glob of a step's code that matches nothing below `root`."""
    return next((pattern for pattern in globs or () if not any(_sorted_matches(root, pattern))), None)


def _matching(root: Path, globs: tuple[str, ...]) -> Iterator[str]:
    for pattern in globs:
        found = False
        for match in _sorted_matches(root, pattern):
            for file in _files_below(match) if match.is_dir() else (match,):
                found = True
                yield file.relative_to(root).as_posix()
        if not found:
            raise CodeError(f"the code pattern {pattern!r}", "matches no file", "correct it in the step's `code`")


def _sorted_matches(root: Path, pattern: str) -> list[Path]:
    try:
        parts = PurePath(pattern).parts
        return sorted(root.glob(pattern) if parts.count("**") < 2 else _recursive_matches(root, parts))
    except malformed(*FOREIGN) as error:  # pathlib's errors differ from Python to Python
        reason = f"is not a pattern ({reason_of(error)})"
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    raise CodeError(f"the code pattern {pattern[:80]!r}", reason, "correct it in the step's `code`")


def _recursive_matches(root: Path, parts: tuple[str, ...]) -> set[Path]:
    """What a pattern with several ``**`` matches. Each part is looked up once in each folder.

    pathlib follows every way to distribute the folders of a path over the ``**``, of which there may be millions.
    """
    if PurePath(*parts).anchor:
        raise ValueError("it is absolute")
    if ".." in parts:
        raise ValueError("it has '..' beside several '**'")  # the name of no file could be used
    matches = {root}
    for part in parts:
        folders = [path for path in matches if path.is_dir()]
        matches = _folders_from(folders) if part == "**" else {path for each in folders for path in each.glob(part)}
    return matches


def _folders_from(folders: list[Path]) -> set[Path]:
    """Those folders and all below them. Links are not followed."""
    found: set[Path] = set()
    for folder in folders:
        for parent, names, _ in os.walk(folder):
            if Path(parent) in found:
                names.clear()
            found.add(Path(parent))
            names[:] = [name for name in names if not Path(parent, name).is_symlink()]
    return found


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (Path(parent, name) for name in files)


def _default(root: Path) -> Iterator[str]:
    """The ``*.py`` files below `root`, except in folders that are ignored, hidden or virtual environments."""
    return source_files(root, lambda name: name.endswith(".py"), lambda _, name: not name.startswith("."))
