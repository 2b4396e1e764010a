"""Finds the interpreters of this machine, for environments that do not contain their own."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from envc.context import home_folder, user_path
from envc.errors import SeveralLines
from envc.model.digest import sha256
from envc.model.kinds import InterpreterKind, OwnInterpreterKind
from envc.shipping.machine import probe
from envc_solvers.malformed import malformed
from envc_solvers.target import PLATFORMS, Platform, Python

HOST: Final = "host"  # the kind of an interpreter that is not part of the environment
_TIMEOUT = 20  # seconds for an interpreter to start; network file systems are slow
_SYSTEMS = {"linux": "linux", "darwin": "macos", "win32": "windows"}
_NARROW = {"x86_64": "i686", "amd64": "win32", "aarch64": "armv7l"}  # the 32-bit platform on that CPU
# The variables that determine where interpreters are searched for.
_PLACES = (
    "PATH", "HOME", "USERPROFILE", "XDG_DATA_HOME", "LOCALAPPDATA", "APPDATA", "UV_PYTHON_INSTALL_DIR", "PYENV_ROOT",
)  # fmt: skip
# The version that macOS reports to programs built for 10.15 and older. SYSTEM_VERSION_COMPAT=0 prevents that.
_COMPATIBILITY_VERSION = "10.16"


class HostPython(msgspec.Struct, frozen=True, kw_only=True):
    """An interpreter of this machine, as it describes itself. It is never in a virtual environment."""

    executable: str  # the base executable, absolute
    implementation: str  # "cpython", "pypy"
    version: str  # "3.12.7"
    free_threaded: bool
    system: str  # sys.platform
    machine: str  # of the operating system or, on Windows, of the interpreter
    bits: int
    glibc: str = ""  # "2.36"; "" for another C library
    macos: str = ""  # "14.5"; "" elsewhere

    @property
    def platform(self) -> str:
        """The conda name of the interpreter's platform. For an unknown platform, the name that the interpreter
        states.
        """
        arch = {"x64": "x86_64"}.get(self.machine.lower(), self.machine.lower())
        if self.bits == 32:
            arch = _NARROW.get(arch, arch)
        for platform in PLATFORMS.values():
            if (platform.family, platform.arch) == (_SYSTEMS.get(self.system), arch):
                return platform.name
        return f"{self.system}-{self.machine}"

    @property
    def digest(self) -> str:
        """The name of the interpreter in the cache. Another path, version or kind gives another name."""
        return sha256(msgspec.json.encode(self, order="sorted"))

    @property
    def text(self) -> str:
        """Such as ``CPython 3.13.1 (free-threaded)``."""
        name = {"cpython": "CPython", "pypy": "PyPy"}.get(self.implementation, self.implementation)
        return f"{name} {self.version}{' (free-threaded)' if self.free_threaded else ''}"

    def serves(self, python: Python) -> bool:
        """Whether environments that were solved for `python` run on this interpreter."""
        patch = int(self.version.rpartition(".")[2])
        if not self.is_of_minor(python) or not python.serves_on(patch):
            return False
        own = Python(implementation=python.implementation, minor=python.minor, patch=patch)
        return python.implementation == "cpython" or own.pypy_abi == python.pypy_abi

    def is_of_minor(self, python: Python) -> bool:
        """Whether this is the same implementation, with the same minor version and the same kind of threads."""
        minor = tuple(int(part) for part in self.version.split(".")[:2])
        kind = self.implementation, self.free_threaded
        return minor == python.minor and kind == (python.implementation, python.free_threaded)


class OwnPython(msgspec.Struct, frozen=True, kw_only=True):
    """The interpreter that an environment contains: a conda package, or a standalone archive."""

    kind: OwnInterpreterKind
    executable: str  # relative to the prefix

    @property
    def digest(self) -> str:
        """The name of the interpreter in the cache. The kind suffices, since the environment identifies the rest."""
        return self.kind

    @property
    def names_prefix(self) -> bool:
        """Whether files of the environment contain the path of its prefix, which then cannot be moved."""
        return self.kind == "conda"


Interpreter = HostPython | OwnPython


def own_python(kind: OwnInterpreterKind, platform: Platform) -> OwnPython:
    """The interpreter of that kind in an environment for that platform."""
    return OwnPython(kind=kind, executable="python.exe" if platform.family == "windows" else "bin/python")


def find_interpreter(
    kind: InterpreterKind, python: Python, platform: str, environ: Mapping[str, str], cache: Path | None = None
) -> Interpreter:
    """The interpreter of an environment on this machine: its own, or one of the machine. Raises NoInterpreter."""
    if kind == HOST:
        # For another system any interpreter will do: hydrate names the two systems.
        is_here = PLATFORMS[platform].sys_platform == sys.platform
        return find_host_python(python, environ, cache, platform if is_here else None)
    return own_python(kind, PLATFORMS[platform])


class NoInterpreter(SeveralLines):
    """This machine has no interpreter for the Python that an environment was locked for."""

    def __init__(self, required: str, found: tuple[str, ...], versions: tuple[str, ...] = ()) -> None:
        super().__init__(required, found)
        self.required = required
        self.versions = versions  # of the CPythons without free threading that were found for the platform
        self.found = found  # "CPython 3.11.7 in /usr/bin/python3"
        self.hint = f"install {required}, or name its executable in ENVC_PYTHON"

    def lines(self) -> tuple[str, ...]:
        return f"this machine has no {self.required} that envc can find", *(f"  found {what}" for what in self.found)

    def data(self) -> dict[str, object]:
        return {"wanted": self.required, "found": list(self.found)}


def find_host_python(
    python: Python, environ: Mapping[str, str], cache: Path | None = None, platform: str | None = None
) -> HostPython:
    """The first interpreter of this machine that serves `python`. Raises NoInterpreter with the others that were found.

    With a `platform`, it must be one for this platform: a machine may have interpreters for 32 bits, or for another CPU
    that it emulates. Only ``ENVC_PYTHON`` is considered if set; otherwise the running interpreter, ``PATH``, and the
    folders of common installers. With a `cache` folder, the descriptions of interpreters are kept there until the
    executable changes. The choice is kept as well, while the interpreter serves and the variables that determine the
    search are the same.
    """

    def serves(host: HostPython) -> bool:
        return host.serves(python) and platform in (None, host.platform)

    def refusal(others: Collection[tuple[str, HostPython | None]]) -> NoInterpreter:
        found = sorted(f"{_found_text(host, platform)} in {place}" for place, host in others)
        # The platform matters only if another one was found.
        is_elsewhere = any(host is not None and host.serves(python) for _, host in others)
        plain = [host for _, host in others if host is not None and host.text == f"CPython {host.version}"]
        versions = tuple(host.version for host in plain if platform in (None, host.platform))
        return NoInterpreter(python_text(python) + (f" for {platform}" if is_elsewhere else ""), tuple(found), versions)

    chosen = environ.get("ENVC_PYTHON")
    if chosen:
        host = describe(user_path(chosen, "the interpreter"), cache)
        if host is None or not serves(host):
            raise refusal([(f"ENVC_PYTHON, {chosen}", host)])
        return host
    running = this_python()
    if serves(running):
        return running
    choice = _choice_note(python, platform, environ, cache) if cache else None
    kept = _kept_choice(choice, cache)
    if kept is not None and serves(kept):
        return kept
    others: dict[str, HostPython] = {running.executable: running}
    for candidate in _candidates(python, environ):
        host = describe(candidate, cache)
        if host is None:
            continue
        if serves(host):
            if choice is not None:
                _write_note(choice, os.fsencode(host.executable))
            return host
        others.setdefault(host.executable, host)
    raise refusal(list(others.items()))


def _found_text(host: HostPython | None, platform: str | None) -> str:
    if host is None:
        return "nothing"
    return host.text + (f" for {host.platform}" if platform not in (None, host.platform) else "")


@functools.cache
def this_python() -> HostPython:
    """The interpreter that envc runs in, or the base interpreter of its virtual environment."""
    host = msgspec.convert(probe.facts(), HostPython)
    if host.macos == _COMPATIBILITY_VERSION:
        return describe(Path(host.executable)) or host
    return host


def describe(executable: Path, cache: Path | None = None) -> HostPython | None:
    """The description of an executable, which is run for it. None if it is not a Python that can describe itself."""
    try:
        status = executable.stat()
    except OSError:
        return None
    identity = [
        str(executable.absolute()),
        str(executable.resolve()),
        status.st_mtime_ns,
        status.st_size,
        status.st_ino,
    ]
    note = cache / "interpreters" / f"{sha256(msgspec.json.encode(identity))}.json" if cache else None
    if note is not None:
        try:
            return msgspec.json.decode(note.read_bytes(), type=HostPython)
        except malformed(OSError):
            pass
    import subprocess

    environ = {key: value for key, value in os.environ.items() if key != "__PYVENV_LAUNCHER__"}
    environ["SYSTEM_VERSION_COMPAT"] = "0"
    try:
        answer = subprocess.run(
            [executable, "-I", probe.__file__], capture_output=True, timeout=_TIMEOUT, check=True, env=environ
        ).stdout
        host = msgspec.json.decode(answer, type=HostPython)
    except malformed(OSError, subprocess.SubprocessError):
        return None
    if not re.fullmatch(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}", host.version):
        return None
    # A shim may start another interpreter tomorrow without changing itself, so only real executables are cached.
    if note is not None and Path(host.executable).resolve() == executable.resolve():
        _write_note(note, msgspec.json.encode(host))
    return host


def _write_note(note: Path, text: bytes) -> None:
    from envc.system.atomic_file import write_file

    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_file(note, text)
    except OSError:
        pass  # a cache that cannot be written costs only time


def _choice_note(python: Python, platform: str | None, environ: Mapping[str, str], cache: Path) -> Path:
    """The file with the choice for a Python. It is kept because running shims is slower than the rest of start-up."""
    places = [python.text, str(python.release), platform or "", *(environ.get(name, "") for name in _PLACES)]
    return cache / "interpreters" / f"{sha256(msgspec.json.encode(places))}.choice"


def _kept_choice(choice: Path | None, cache: Path | None) -> HostPython | None:
    try:
        return describe(Path(os.fsdecode(choice.read_bytes())), cache) if choice else None
    except (OSError, ValueError):
        return None


def _candidates(python: Python, environ: Mapping[str, str]) -> Iterator[Path]:
    """Executables that may be that Python by their names and folders, the likeliest first. Each path occurs once."""
    names = _names(python)
    seen: set[Path] = set()
    for folder in _folders(python, environ):
        for name in names:
            path = folder / name
            if path not in seen and os.access(path, os.X_OK) and path.is_file():
                seen.add(path)
                yield path


def _names(python: Python) -> tuple[str, ...]:
    minor = f"{python.minor[0]}.{python.minor[1]}"
    if sys.platform == "win32":
        return (f"python{minor}t.exe", "python.exe") if python.free_threaded else ("python.exe",)
    if python.implementation == "pypy":
        return (f"pypy{minor}", "pypy3")
    return (f"python{minor}{'t' if python.free_threaded else ''}", "python3")


def _folders(python: Python, environ: Mapping[str, str]) -> Iterator[Path]:
    yield from (Path(folder) for folder in environ.get("PATH", "").split(os.pathsep) if folder)
    home = home_folder(environ)
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local/share")
    minor = f"{python.minor[0]}.{python.minor[1]}"
    roots = [
        Path(environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv/python"),
        Path(environ.get("PYENV_ROOT") or home / ".pyenv") / "versions",
        data / "mise/installs/python",
        home / ".asdf/installs/python",
    ]
    if sys.platform == "win32":
        local = Path(environ.get("LOCALAPPDATA") or home / "AppData/Local")
        roots += [Path(environ.get("APPDATA") or home / "AppData/Roaming") / "uv/python", local / "Programs/Python"]
    for root in roots:
        try:
            entries = [entry for entry in root.iterdir() if minor.replace(".", "") in entry.name.replace(".", "")]
        except OSError:
            continue
        # Newest first. Sorting by name is good enough for that, and any patch release serves.
        for folder in sorted(entries, reverse=True):
            yield from (folder / "bin", folder)
    if sys.platform == "darwin":
        yield Path(f"/Library/Frameworks/Python.framework/Versions/{minor}/bin")
        yield Path("/opt/homebrew/bin")
    if sys.platform != "win32":
        yield from (Path("/usr/local/bin"), Path("/usr/bin"))


def python_text(python: Python) -> str:
    """Such as ``CPython 3.12``, ``CPython 3.12.3 or a newer 3.12``, ``PyPy 3.10``."""
    name = "PyPy" if python.implementation == "pypy" else "CPython"
    minor = f"{python.minor[0]}.{python.minor[1]}"
    patch = f".{python.answered_for}" if python.patch is not None or python.release else ""
    text = f"{name} {minor}{patch}{' (free-threaded)' if python.free_threaded else ''}"
    return text if python.patch is not None or not python.release else f"{text} or a newer {minor}"
