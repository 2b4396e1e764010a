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
# arguments. Their output goes to stderr, because stdout belongs to the command. A script may leave the folder, in which
# the next one and the command start all the same.
_SOURCE = """\
__envc_folder=$PWD
__envc_source() { . "$1" >&2; [ "${PWD-}" = "$__envc_folder" ] || command cd -- "$__envc_folder" || exit; }
while [ "$1" != -- ]; do __envc_source "$1"; shift; done
shift
unset -f __envc_source
unset __envc_folder
exec "$@"
"""
# Variables that change how a shell itself works: which files it reads first, its options, where it looks for folders
# and files, and what it prints. Sources: "Bash Variables" and "POSIX Mode" in the manual of bash; sh(1) of POSIX.
_OF_SHELLS = frozenset(
    {
        "BASHOPTS", "BASH_ARGV0", "BASH_COMPAT", "BASH_ENV", "BASH_LOADABLES_PATH", "BASH_XTRACEFD", "CDPATH", "ENV",
        "EXECIGNORE", "FUNCNEST", "GLOBIGNORE", "GLOBSORT", "IFS", "POSIXLY_CORRECT", "POSIX_PEDANTIC", "PS4",
        "SHELLOPTS",
    }
)  # fmt: skip
_FUNCTION = "BASH_FUNC_"  # how the names of variables with exported functions of bash begin


def folders(prefix: Path, *, windows: bool = os.name == "nt") -> list[str]:
    """The folders to put first on PATH."""
    return [str(prefix / folder) for folder in (_WINDOWS_FOLDERS if windows else ("bin",))]


def variables(prefix: Path) -> dict[str, str]:
    """The variables that name the active environment, and those of packages. Raises EnvcError."""
    found = {"CONDA_PREFIX": str(prefix), "CONDA_DEFAULT_ENV": str(prefix), "CONDA_SHLVL": "1"}
    for path in _sorted(prefix / _VARIABLES, ""):
        try:
            values = msgspec.json.decode(path.read_bytes(), type=dict[str, str | bool | int | float])
        except OSError as error:
            raise EnvcError(f"{path} cannot be read: {error.strerror or error}") from None
        except malformed() as error:
            raise EnvcError(f"{path} cannot be read: {reason_of(error)}") from None
        for key, value in values.items():
            text = str(value)  # numbers and truth values as conda writes them: 1, 2.5, True
            if not key or "=" in key or "\0" in f"{key}{text}":
                raise EnvcError(f"{path} sets {key[:40]!r} with a name or value that no variable can have")
            found[key] = text
    return found


def through_scripts(
    prefix: Path, command: Sequence[str], env: Mapping[str, str], variables: Mapping[str, str]
) -> tuple[tuple[str, ...], dict[str, str]] | None:
    """A command that first sources the activation scripts of packages, and its variables. None without scripts.

    `variables` are those of the step. The ones among them that change how shells work are hidden from this shell, so
    that scripts run alike for every caller; the step gets them back. The variables in `env` take precedence over those
    that scripts set. The shell is bash if it is on PATH, as in `conda run`, since many scripts require it.
    """
    scripts = [str(script) for script in _sorted(prefix / _SCRIPTS, ".sh")] if os.name == "posix" else []
    if not scripts:
        return None
    shell = shutil.which("bash", path=variables["PATH"]) or "/bin/sh"
    hidden = {key: value for key, value in variables.items() if key in _OF_SHELLS or key.startswith(_FUNCTION)}
    last = [f"{key}={value}" for key, value in (hidden | dict(env)).items()]
    if last:
        # A program whose name contains "=" would be taken for a variable.
        last = ["/usr/bin/env", *last, *(["/bin/sh", "-c", 'exec "$@"', "sh"] if "=" in command[0] else [])]
    seen = {key: value for key, value in variables.items() if key not in hidden}
    return (shell, "-c", _SOURCE, shell, *scripts, "--", *last, *command), seen


def is_activation(path: str, suffix: str) -> bool:
    """Whether a member of a package is a script with that suffix that `conda activate` would run."""
    folder, _, name = path.rpartition("/")
    return folder == _SCRIPTS and name.endswith(suffix)


def _sorted(folder: Path, suffix: str) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith(suffix) and path.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []
