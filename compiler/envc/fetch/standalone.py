"""Relocatable interpreters: the archive of a Python for a platform, and its URL.

The table is part of the ``pbs-installer`` package: the newest build of every CPython of the python-build-standalone
project, and the PyPy releases. ``[standalone]`` in a manifest may name another table in the same format, and another
location of the archives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, time
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, urlsplit

import msgspec

from envc.errors import SeveralLines, UsageError
from envc.fetch.net.settings import is_usable
from envc.fetch.net.urls import named_by
from envc.fetch.pypi.listing import ListedFile
from envc.model.digest import Sha256, parse_sha256
from envc.model.graph import Package
from envc.model.limits import TABLE_BYTES
from envc.model.manifest import Standalone
from envc_solvers.malformed import malformed, reason_of
from envc_solvers.pypi.language.index import File
from envc_solvers.solution import Pin
from envc_solvers.target import PLATFORMS, Implementation, Python, Target, implementation_of

BASE_VARIABLE = "PBS_INSTALLER_BASE_URL"  # pbs-installer's own variable for the location of the archives

# The table's names of systems and machines.
_SYSTEMS = {"linux": "linux", "macos": "macos", "windows": "windows"}
_MACHINES = {
    "x86_64": "x86_64",
    "amd64": "x86_64",
    "aarch64": "aarch64",
    "arm64": "aarch64",
    "i686": "x86",
    "win32": "x86",
}
_CPYTHON = re.compile(r"cpython-(?P<version>3\.[0-9]{1,3}\.[0-9]{1,3})\+(?P<build>[0-9]{8})-[\w.+-]+\.tar\.gz")
_PYPY = re.compile(r"pypy3\.[0-9]{1,3}-v(?P<build>[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9})-\w+\.(?:tar\.gz|tar\.bz2|zip)")


class _PythonVersion(msgspec.Struct, frozen=True):
    implementation: str
    major: int
    minor: int
    micro: int
    freethreaded: bool


class _File(msgspec.Struct, frozen=True):
    platform: str
    arch: str
    install_only: bool
    filename: str
    url: str
    sha256: str | None


class _Row(msgspec.Struct, frozen=True):
    python_version: _PythonVersion
    files: tuple[_File, ...]


Table = tuple[_Row, ...]


class StandalonePython(msgspec.Struct, frozen=True, kw_only=True):
    """One archive that holds an interpreter."""

    implementation: Implementation
    version: str  # "3.12.7", the version of the language
    build: str  # "20241016" of python-build-standalone, "7.3.17" of PyPy
    file: str
    sha256: Sha256
    uploaded: int | None  # seconds since the epoch of the day of the build, if the file name states it

    @property
    def patch(self) -> int:
        last = self.version.rpartition(".")[2]
        return int(last) if re.fullmatch(r"[0-9]{1,9}", last) else -1  # a lock may name any version

    @classmethod
    def of_locked(cls, package: Package, implementation: Implementation) -> StandalonePython:
        """The archive that a locked package consists of."""
        (artifact,) = package.artifacts
        uploaded = None
        if package.released is not None:
            uploaded = int(datetime.combine(package.released, time(), UTC).timestamp())
        return cls(
            implementation=implementation,
            version=package.version,
            build=package.build,
            file=artifact.file,
            sha256=artifact.sha256,
            uploaded=uploaded,
        )

    def as_pin(self, source: str) -> Pin:
        """The archive as part of a solution; `source` is the name of its source."""
        return Pin(
            kind="interpreter",
            name=self.implementation,
            version=self.version,
            build=self.build,
            source=source,
            file=self.file,
            sha256=self.sha256,
            size=0,
            uploaded=self.uploaded,
        )


class NoStandalone(SeveralLines):
    """The table has no archive of the interpreter that a step requires."""

    def __init__(self, requirement: str, reasons: tuple[str, ...], hint: str) -> None:
        super().__init__(requirement, reasons)
        self.requirement = requirement  # "CPython 3.12 for linux-64"
        self.reasons = reasons
        self.hint = hint

    def lines(self) -> tuple[str, ...]:
        return f"there is no standalone {self.requirement}", *(f"  {reason}" for reason in self.reasons)

    def data(self) -> dict[str, object]:
        return {"wanted": self.requirement, "reasons": list(self.reasons)}


def read_table(path: Path | None = None) -> Table:
    """The table in that file, else that of the installed ``pbs-installer``. Raises UsageError if it cannot be read."""
    try:
        data = path.read_bytes() if path is not None else _shipped()
        if len(data) > TABLE_BYTES:
            raise ValueError("it is too large")
        return msgspec.json.decode(data, type=Table)
    except malformed(OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else reason_of(error)
        name = path or "the table of pbs-installer"
        raise UsageError(f"{name} is not a table of standalone interpreters: {reason}") from None


def _shipped() -> bytes:
    from importlib.resources import files

    # Present since 2026.10.25; before that, the table was a module whose format changed.
    return (files("pbs_installer") / "versions.json").read_bytes()


def choose(
    table: Table,
    target: Target,
    python: Python,
    *,
    version: str | None = None,
    exclude_newer: int | None = None,
) -> StandalonePython:
    """The archive for a Python on a target, with the newest patch release.

    `version` is a required version. `exclude_newer` is in seconds since the epoch; builds whose file name states no day
    are excluded with it. Raises NoStandalone.
    """
    name = "PyPy" if python.implementation == "pypy" else "CPython"
    title = f"{name} {python.text.removeprefix('pypy')} for {target.name}"
    if target.musl is not None:
        raise NoStandalone(title, ("the archives are for glibc",), 'use `interpreter = "host"` on this target')
    facts = PLATFORMS[target.platform]
    system, machine = _SYSTEMS[facts.family], _MACHINES.get(facts.arch)
    found = {
        each.version: each
        for each in _pythons(table)
        if (each.file_platform, each.file_arch) == (system, machine) and each.serves(python)
    }
    if not found:
        has = {(each.file_platform, each.file_arch) for each in _pythons(table) if each.serves(python)}
        others = [
            platform.name
            for platform in PLATFORMS.values()
            if (_SYSTEMS[platform.family], _MACHINES.get(platform.arch)) in has
        ]
        reasons = (f"the table has it for {', '.join(others)}",) if others else ("the table has no such version",)
        raise NoStandalone(title, reasons, 'name another `python`, or use `interpreter = "host"`')
    allowed = {v: each for v, each in found.items() if exclude_newer is None or _is_older(each.python, exclude_newer)}
    if not allowed:
        newest = max(found.values(), key=_newest).python
        raise NoStandalone(
            title,
            (f"exclude-newer excludes {newest.file}, and the table has only the newest build of each version",),
            "change exclude-newer, or name an older `python`",
        )
    if version is not None and version not in allowed:
        versions = ", ".join(sorted(allowed, key=lambda each: _newest(allowed[each])))
        raise NoStandalone(f"{title} in version {version}", (f"the table has {versions}",), "name one of these")
    return (allowed[version] if version is not None else max(allowed.values(), key=_newest)).python


class _Offer(msgspec.Struct, frozen=True):
    """An archive of the table, with its target."""

    python: StandalonePython
    minor: tuple[int, int]
    free_threaded: bool
    file_platform: str
    file_arch: str

    @property
    def version(self) -> str:
        return self.python.version

    def serves(self, python: Python) -> bool:
        return (
            self.python.implementation == python.implementation
            and self.minor == python.minor
            and self.free_threaded == python.free_threaded
            and python.serves_on(self.python.patch)
            # The wheels chosen for a minor version are for one ABI.
            and (python.implementation == "cpython" or self._as_python.pypy_abi == python.pypy_abi)
        )

    @property
    def _as_python(self) -> Python:
        return Python(implementation=self.python.implementation, minor=self.minor, patch=self.python.patch)


def _newest(offer: _Offer) -> tuple[int, str]:
    return offer.python.patch, offer.python.build


def _is_older(python: StandalonePython, moment: int) -> bool:
    return python.uploaded is not None and python.uploaded < moment


@lru_cache(maxsize=4)
def _pythons(table: Table) -> tuple[_Offer, ...]:
    """Every archive that envc can unpack: complete interpreters without build folder and with a digest."""
    return tuple(_offers(table))


def _offers(table: Iterable[_Row]) -> Iterator[_Offer]:
    for row in table:
        version = row.python_version
        for file in row.files:
            match = (_PYPY if version.implementation == "pypy" else _CPYTHON).fullmatch(file.filename)
            if match is None or not file.install_only or not file.sha256:
                continue
            text = f"{version.major}.{version.minor}.{version.micro}"
            if version.implementation == "cpython" and match["version"] != text:
                continue  # a pre-release, which only the file name shows
            try:
                day = _day(match["build"]) if version.implementation == "cpython" else None
                digest = parse_sha256(file.sha256)
            except ValueError:
                continue  # no archive has such a build or digest
            yield _Offer(
                python=StandalonePython(
                    implementation=implementation_of(version.implementation),
                    version=text,
                    build=match["build"],
                    file=file.filename,
                    sha256=digest,
                    uploaded=day,
                ),
                minor=(version.major, version.minor),
                free_threaded=version.freethreaded,
                file_platform=file.platform,
                file_arch=file.arch,
            )


def _day(text: str) -> int:
    """The seconds since the epoch of a day such as 20241016. Raises ValueError."""
    return int(datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).timestamp())


def archive_files(
    file: str, sha256: Sha256, settings: Standalone, environ: Mapping[str, str], root: Path
) -> tuple[ListedFile, ...]:
    """The possible URLs of an archive as listed files, best first. Raises UsageError as `archive_urls` does."""
    return tuple(ListedFile(File(name=file, sha256=sha256), url) for url in archive_urls(file, settings, environ, root))


def archive_urls(file: str, settings: Standalone, environ: Mapping[str, str], root: Path) -> tuple[str, ...]:
    """The possible URLs of an archive, best first: at most two, which may hold credentials.

    A location that is declared, or set in pbs-installer's own variable, has all archives in one folder, or one folder
    per build, as upstream does. Otherwise the result is the table's URL of the file, or a URL next to that of another
    file: the table has only the newest build of a version, and a lock may name an older one. Raises UsageError for a
    name that is not that of an archive.
    """
    match = _CPYTHON.fullmatch(file)
    if match is None and _PYPY.fullmatch(file) is None:
        raise UsageError(f"{file[:100]!r} is not the name of a standalone interpreter", "lock again")
    base = settings.url or environ.get(BASE_VARIABLE)
    if base:
        if urlsplit(base).username is not None:
            raise UsageError("the URL of standalone interpreters holds a login", "put it into a netrc file")
        if "://" not in base:
            base = Path(root, base).absolute().as_uri()
        if not is_usable(base):
            raise UsageError(
                "the URL of standalone interpreters cannot be used", "write https://…, file:///… or a path"
            )
        base = base.rstrip("/")
        return (f"{base}/{quote(file)}", *((f"{base}/{match['build']}/{quote(file)}",) if match else ()))
    table = read_table(table_path(settings, root))
    neighbour = ""
    for row in table:
        for each in row.files:
            if each.filename == file:
                return _reachable(each.url)
            if (match is None) == (_CPYTHON.fullmatch(each.filename) is None):
                neighbour = neighbour or each.url
    if not neighbour:
        return ()
    if match is None:
        return _reachable(f"{neighbour.rpartition('/')[0]}/{quote(file)}")
    return _reachable(f"{neighbour.rsplit('/', 2)[0]}/{match['build']}/{quote(file)}")


def _reachable(url: str) -> tuple[str, ...]:
    """The URL, if a table, which is a file of this machine, may name it."""
    return (url,) if named_by("file:///", url) is not None else ()


def stated_digest(file: str, settings: Standalone, root: Path) -> str | None:
    """The sha256 of an archive in the table; None if the table does not have this build. Raises UsageError."""
    rows = read_table(table_path(settings, root))
    return next((each.sha256 for row in rows for each in row.files if each.filename == file), None)


def table_path(settings: Standalone, root: Path) -> Path | None:
    """The table that a manifest names, relative to the manifest; None for that of pbs-installer."""
    return Path(root, settings.table) if settings.table is not None else None
