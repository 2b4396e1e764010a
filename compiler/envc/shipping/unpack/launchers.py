"""Launchers: the small programs in ``bin`` or ``Scripts`` that start a function or a script of a package.

They contain no path of a prefix. On POSIX, a launcher is a file that is both a shell script and a Python script: the
shell runs the ``python`` in the folder of the launcher's real path with the same file, and Python reads the lines of
the shell as a string. No program is looked up on PATH, where a package may put a script called ``dirname``, whose
launcher would then start itself. On Windows, a launcher is a small program from the ``installer`` package, followed by
a line in which the program replaces ``<launcher_dir>`` by its own folder (the format of distlib), and by a zip archive
with the Python part.
"""

from __future__ import annotations

import io
import keyword
import re
import tokenize
import zipfile
from configparser import ConfigParser
from typing import Literal

import msgspec

from envc.shipping.format.errors import UnsafePath
from envc.shipping.format.paths import check_path
from envc.shipping.unpack.layout import Machine
from envc_solvers.malformed import FOREIGN, malformed, reason_of

# Prints the folder of the file that is run, or nothing. Only links need a program, which `command -p` finds where the
# system keeps its own. An old bash needs both parentheses around a pattern. Python reads this as part of a string.
OWN_FOLDER = b"""\
file=$0
[ "${0%/*}" != "$0" ] || file=./$0
while [ -h "$file" ]; do
    link=$(command -p readlink "$file") && [ "$link" ] || exit
    case $link in
        (/*) file=$link ;;
        (*) file=${file%/*}/$link ;;
    esac
done
[ -f "$file" ] && CDPATH= cd -P -- "${file%/*}/" && pwd -P
"""
_ONE_LINE = re.sub(rb"(?<=\bdo|\bin|;;)\n *", b" ", OWN_FOLDER.strip())
_ONE_LINE = re.sub(rb"\n *", b"; ", _ONE_LINE)
# If the folder cannot be found, this runs /python, which does not exist, and not ./python.
_EXEC = b"""'''exec' "$(\n""" + OWN_FOLDER + b""")"/python "$0" "$@"\n' '''"""
# The same in a line that is a comment for Python, which takes a form feed for white space. Shells take it for a part of
# a word, so they run the command `\f#/`. No file can have this name, since a path that ends in a slash is a folder. The
# failure is expected, also by a shell that should end at failures, since callers may export such options.
_COMMENT = b'\f#/ 2>/dev/null || exec "$(' + _ONE_LINE + b')"/python "$0" "$@"'
_SHEBANG = b"#!/bin/sh\n"

_REFERENCE = re.compile(r"(?P<module>[\w.]+)\s*:\s*(?P<attribute>[\w.]+)\s*(?:\[(?P<extras>[^\[\]]*)\])?")
_INTERPRETER = re.compile(r"pythonw?[\d.]*t?(?:\.exe)?", re.IGNORECASE)
_COOKIE = re.compile(rb"[ \t\f]*#.*?coding[:=][ \t]*[-\w.]+")  # PEP 263

EntryPointKind = Literal["console", "gui"]

_PROGRAMS: dict[tuple[EntryPointKind, Machine], tuple[str, str]] = {
    ("console", "x64"): ("t64.exe", "81a618f21cb87db9076134e70388b6e9cb7c2106739011b6a51772d22cae06b7"),
    ("console", "x86"): ("t32.exe", "6b4195e640a85ac32eb6f9628822a622057df1e459df7c17a12f97aeabc9415b"),
    ("console", "arm64"): ("t64-arm.exe", "ebc4c06b7d95e74e315419ee7e88e1d0f71e9e9477538c00a93a9ff8c66a6cfc"),
    ("gui", "x64"): ("w64.exe", "7a319ffaba23a017d7b1e18ba726ba6c54c53d6446db55f92af53c279894f8ad"),
    ("gui", "x86"): ("w32.exe", "47872cc77f8e18cf642f868f23340a468e537e64521d9a3a416c8b84384d064b"),
    ("gui", "arm64"): ("w64-arm.exe", "c5dc9884a8f458371550e09bd396e5418bf375820a31b9899f6499bf391c7b2e"),
}


class EntryPoint(msgspec.Struct, frozen=True, order=True):
    """A function of a package that a launcher calls. Module and attribute are dotted identifiers."""

    name: str
    module: str
    attribute: str
    kind: EntryPointKind = "console"


def parse_entry_points(text: str) -> tuple[tuple[EntryPoint, ...], tuple[str, ...]]:
    """The entry points in ``entry_points.txt`` that need launchers, sorted by name (PyPA specification "Entry points"),
    and the reasons why others get none.

    Extras after a reference have no effect. Of two entries of one name, the last one counts, and one for a window
    before one for a console, as in pip and uv. Raises ValueError for a file that cannot be read, a name that would
    replace the interpreter, and a reference that is not ``module:attribute``.
    """
    reader = ConfigParser(delimiters=("=",), comment_prefixes=("#", ";"), interpolation=None, strict=False)
    reader.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    try:
        reader.read_string(text)
    except malformed(*FOREIGN) as error:
        raise ValueError(f"entry_points.txt cannot be read: {reason_of(error)}") from None
    found: dict[str, EntryPoint] = {}
    left_out: list[str] = []
    kinds: tuple[Literal["console", "gui"], ...] = ("console", "gui")
    for kind in kinds:
        section = f"{kind}_scripts"
        for name, reference in reader.items(section) if reader.has_section(section) else ():
            if not is_file_name(name):
                left_out.append(no_script(name))
                continue
            if name in found:
                left_out.append(f"its script {name} in console_scripts is not made, because gui_scripts has one, too")
            found[name] = parse_entry_point(name, reference.strip(), kind)
    return tuple(sorted(found.values())), tuple(left_out)


def parse_entry_point(name: str, reference: str, kind: Literal["console", "gui"]) -> EntryPoint:
    """One entry point. Raises ValueError unless the name is a plain file name and the reference
    ``module:attribute``.
    """
    check_script_name(name)
    match = _REFERENCE.fullmatch(reference)
    if match is None or not (_is_dotted(match["module"]) and _is_dotted(match["attribute"])):
        raise ValueError(f"the entry point {name} refers to {reference[:80]!r}, which is not module:attribute")
    return EntryPoint(name, match["module"], match["attribute"], kind)


def no_script(name: str) -> str:
    """Why a script is left out whose name no file can have."""
    return f"its script {name[:80]!r} is not made, because no file can have this name"


def is_file_name(name: str, *, windows: bool = False) -> bool:
    """Whether a file in the folder of the scripts can have this name."""
    try:
        check_path(name, windows=windows)
    except UnsafePath:
        return False
    return "/" not in name


def check_script_name(name: str) -> None:
    """Raise ValueError for a name that no file can have, and for one that would replace the interpreter."""
    if not is_file_name(name):
        raise ValueError(f"the script name {name[:80]!r} is not a plain file name")
    if is_interpreter(name):
        raise ValueError(f"a script must not be called {name}: it would replace the interpreter")


def is_interpreter(name: str) -> bool:
    """Whether a file of that name in the folder of the launchers would be run as the environment's Python."""
    return _INTERPRETER.fullmatch(name) is not None


def posix_launcher(entry_point: EntryPoint) -> bytes:
    """A file for ``bin`` that calls the entry point."""
    return _SHEBANG + _EXEC + b"\n" + _call(entry_point)


def windows_launcher(entry_point: EntryPoint, machine: Machine, to_python: str = "") -> bytes:
    """An ``.exe`` for ``Scripts`` that calls the entry point. Its bytes are always the same.

    `to_python` is the relative path from there to the folder of the interpreter: "" or ``../``.
    """
    python = "pythonw.exe" if entry_point.kind == "gui" else "python.exe"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        member = zipfile.ZipInfo("__main__.py")  # dated 1980-01-01
        member.create_system = 0
        writer.writestr(member, _call(entry_point))
    folder = to_python.replace("/", "\\")
    return _program(entry_point.kind, machine) + f"#!<launcher_dir>\\{folder}{python}\n".encode() + archive.getvalue()


def posix_script(start: bytes) -> tuple[bytes, int] | None:
    """What a script that begins with ``#!python`` has to begin with to find its interpreter, and how many of its first
    bytes that replaces. None for anything else (PEP 427).

    `start` is the beginning of the script, with its docstring. A coding cookie stays on one of the first two lines
    (PEP 263). The docstring stays the first statement of the module, and ``from __future__`` may follow.
    """
    if not start.startswith(b"#!python"):
        return None
    lines = io.BytesIO(start)
    lines.readline()
    replaced = lines.tell()
    cookie = lines.readline()
    head = _SHEBANG
    if _COOKIE.match(cookie):
        head, replaced = head + cookie.rstrip(b"\r\n") + b"\n", lines.tell()
    # Objects of scripts that cannot see the difference keep their contents, because locks record them.
    command = _COMMENT if _has_docstring(head + start[replaced:]) or b"__doc__" in start else _EXEC
    return head + command + b"\n", replaced


def _has_docstring(source: bytes) -> bool:
    try:
        for token in tokenize.tokenize(io.BytesIO(source).readline):
            if token.type not in (tokenize.ENCODING, tokenize.COMMENT, tokenize.NL):
                return token.type == tokenize.STRING and re.match(r"[rRuU]?['\"]", token.string) is not None
    except malformed(*FOREIGN, tokenize.TokenError):
        pass  # invalid for this version of Python; the script may be for another one
    return False


def _call(entry_point: EntryPoint) -> bytes:
    first = entry_point.attribute.partition(".")[0]
    return (
        "import sys\n"
        f"from {entry_point.module} import {first}\n"
        'if __name__ == "__main__":\n'
        '    sys.argv[0] = sys.argv[0].removesuffix(".exe")\n'
        f"    sys.exit({entry_point.attribute}())\n"
    ).encode()


def _is_dotted(text: str) -> bool:
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in text.split("."))


def _program(kind: EntryPointKind, machine: Machine) -> bytes:
    """A launcher program of the ``installer`` package. Objects contain it, so its bytes must be the expected ones."""
    from importlib.resources import files

    from envc.model.digest import sha256

    name, expected = _PROGRAMS[kind, machine]
    data = (files("installer._scripts") / name).read_bytes()
    actual = sha256(data)
    if actual != expected:
        from envc.errors import DigestMismatch

        raise DigestMismatch(
            f"the launcher {name} of the installed `installer` package",
            expected,
            actual,
            "objects must be the same on every machine: install a release of `installer` from 1.0 to 1.1",
        )
    return data
