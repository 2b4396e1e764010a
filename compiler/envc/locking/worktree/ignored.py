"""The files below a folder that git does not ignore, found without running git."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


class Ignored:
    """The rules of gitignore(5) for one folder.

    Every ``.gitignore`` from the top of the repository down applies, if there is a repository. The last matching
    pattern decides; deeper files come later. An ignored folder is never entered, so no pattern can re-include a file
    below it.
    """

    def __init__(self, root: Path) -> None:
        self._specs: list[tuple[str, GitIgnoreSpec]] = []  # folder relative to the top, with a slash, and its patterns
        top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)
        self._prefix = "" if top == root else f"{root.relative_to(top).as_posix()}/"
        self._add(top / ".git/info/exclude", "")
        for folder in reversed(root.parents):
            if folder.is_relative_to(top):
                relative = folder.relative_to(top).as_posix()
                self._add(folder / ".gitignore", "" if relative == "." else f"{relative}/")
        if self._prefix and self.match(""):
            # The whole project is in an ignored folder, such as a scratch area, so only its own rules apply.
            self._specs.clear()

    def read(self, folder: Path, base: str) -> None:
        """Add the ``.gitignore`` of a folder below the root; `base` is its path there, with a slash at the end."""
        self._add(folder / ".gitignore", self._prefix + base)

    def match(self, path: str) -> bool:
        """Whether a path relative to the root, with a slash at the end of a folder, is ignored."""
        path = self._prefix + path
        for base, spec in reversed(self._specs):
            if path.startswith(base) and len(path) > len(base):
                decision = spec.check_file(path[len(base) :]).include
                if decision is not None:
                    return decision
        return False

    def _add(self, file: Path, base: str) -> None:
        # A link in a checkout may lead to a device or a pipe, which have no end.
        if not file.is_file():
            return
        try:
            text = file.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return
        from pathspec import GitIgnoreSpec

        from envc.locking.worktree.ignore_patterns import patterns

        self._specs.append((base, GitIgnoreSpec(patterns(text), backend="simple")))


def source_files(
    root: Path, is_included: Callable[[str], bool], is_entered: Callable[[str, str], bool]
) -> Iterator[str]:
    """The source files below `root`, as POSIX paths relative to it, in no order.

    A file counts if ``is_included(name)`` is true and git does not ignore it. A folder is entered if
    ``is_entered(base, name)`` is true; `base` is the path of its parent, empty or with a slash at the end. Folders of
    byte-code, virtual environments and folders that git ignores are never entered. Links to folders are not followed.
    """
    ignored = Ignored(root.resolve())
    for parent, folders, files in os.walk(root):
        relative = Path(parent).relative_to(root).as_posix()
        base = "" if relative == "." else f"{relative}/"
        if ".gitignore" in files:
            ignored.read(Path(parent), base)
        folders[:] = [
            name
            for name in folders
            if name != "__pycache__"
            and is_entered(base, name)
            and not os.path.lexists(f"{parent}/{name}/pyvenv.cfg")
            and not ignored.match(f"{base}{name}/")
        ]
        yield from (base + name for name in files if is_included(name) and not ignored.match(base + name))
