"""Where an environment can be: a step must find it first on PATH, and files must be able to hold its path."""

from __future__ import annotations

import os
from pathlib import Path

from envc.errors import EnvcError
from envc.model.kinds import InterpreterKind


class UnsuitablePlace(EnvcError):
    """A path at which an environment would not run, or at which another one would run instead."""

    hint = "choose another --prefix; the environments of `envc run` are below ENVC_CACHE_DIR"

    def __init__(self, prefix: Path, reason: str) -> None:
        super().__init__(prefix, reason)
        self.prefix = prefix
        self.reason = reason

    def __str__(self) -> str:
        return f"no environment can be at {self.prefix}: {self.reason}"

    def data(self) -> dict[str, object]:
        return {"prefix": str(self.prefix), "reason": self.reason}


def plain_place(prefix: Path) -> Path:
    """The absolute path. Files may contain it, and in `a/../b`, it must not depend on the folder `a`."""
    return prefix.resolve() if ".." in prefix.parts else prefix.absolute()


def check_place(prefix: Path, kind: InterpreterKind) -> None:
    """Raise UnsuitablePlace if no environment with that kind of interpreter can run at a path, or below it.

    PATH cannot hold a folder with its separator in the name, as `venv` says. No line of a script can hold a line end.
    The path is written into files of conda packages, so all of it must be printable Unicode. `hydrate` checks this; the
    verbs check it before they fetch or make anything.
    """
    text = str(plain_place(prefix))
    if os.pathsep in text:
        raise UnsuitablePlace(prefix, f"PATH cannot hold a path with {os.pathsep!r}, so another Python would run")
    if len(text.splitlines()) > 1 or text[-1:] in "\r\n":
        raise UnsuitablePlace(prefix, "the first line of a script cannot hold a path with a line end")
    if kind == "conda" and not text.isprintable():
        raise UnsuitablePlace(
            prefix, "files of conda packages cannot hold a path with control characters, or that is not Unicode"
        )
