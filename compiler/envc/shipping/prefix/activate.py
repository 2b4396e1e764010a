"""Activation of a prefix of conda packages, as by `conda activate`: PATH, variables, and the scripts of packages.

Source: conda's `conda.activate` (`_Activator`, `PosixActivator`). Scripts run only when a step runs. On Windows, where
they are batch files, they are never run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from envc.errors import EnvcError
from envc_solvers.malformed import malformed, reason_of

_WINDOWS_FOLDERS = ("", "Library/mingw-w64/bin", "Library/usr/bin", "Library/bin", "Scripts", "bin")
_SCRIPTS = "etc/conda/activate.d"
_VARIABLES = "etc/conda/env_vars.d"
# The words after "--" are the command. Scripts are sourced in a function, so that they do not see these words as their
# arguments. Their output goes to stderr, because stdout belongs to the command.
_SOURCE = """\
__envc_source() { . "$1" >&2; }
while [ "$1" != -- ]; do __envc_source "$1"; shift; done
shift
unset -f __envc_source
exec "$@"
"""


def folders(prefix: Path, *, windows: bool = os.name == "nt") -> list[str]:
    """The folders to put first on PATH."""
    return [str(prefix / folder) for folder in (_WINDOWS_FOLDERS if windows else ("bin",))]


def variables(prefix: Path) -> dict[str, str]:
    """The variables that name the active environment, and those of packages. Raises EnvcError."""
    found = {"CONDA_PREFIX": str(prefix), "CONDA_DEFAULT_ENV": str(prefix), "CONDA_SHLVL": "1"}
    for path in _sorted(prefix / _VARIABLES, ""):
        try:
            values = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        except OSError as error:
            raise EnvcError(f"{path} cannot be read: {error.strerror or error}") from None
        except malformed() as error:
            raise EnvcError(f"{path} cannot be read: {reason_of(error)}") from None
        for key, value in values.items():
            if not key or "=" in key or "\0" in f"{key}{value}":
                raise EnvcError(f"{path} sets {key[:40]!r} with a name or value that no variable can have")
        found.update(values)
    return found


def through_scripts(prefix: Path, command: Sequence[str], env: Mapping[str, str], path: str) -> tuple[str, ...] | None:
    """A command that first sources the activation scripts of packages. None if there are no scripts.

    The variables in `env` take precedence over those that scripts set. The shell is bash if it is on `path`, as in
    `conda run`, since many scripts require it.
    """
    scripts = [str(script) for script in _sorted(prefix / _SCRIPTS, ".sh")] if os.name == "posix" else []
    if not scripts:
        return None
    shell = shutil.which("bash", path=path) or "/bin/sh"
    last = ("/usr/bin/env", *(f"{key}={value}" for key, value in env.items())) if env else ()
    return (shell, "-c", _SOURCE, shell, *scripts, "--", *last, *command)


def is_activation(path: str, suffix: str) -> bool:
    """Whether a member of a package is a script with that suffix that `conda activate` would run."""
    folder, _, name = path.rpartition("/")
    return folder == _SCRIPTS and name.endswith(suffix)


def _sorted(folder: Path, suffix: str) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith(suffix) and path.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []
