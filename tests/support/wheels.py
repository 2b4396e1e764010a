"""Builds small, valid wheels and source distributions, with the same bytes every time."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

_EPOCH = (2020, 2, 2, 0, 0, 0)  # times in zip files have no zone; any fixed date works


class Distribution(msgspec.Struct, frozen=True):
    """A file that an index can serve."""

    file: str  # "demo-1.0-py3-none-any.whl"
    name: str  # as given
    version: str
    data: bytes
    metadata: bytes  # core metadata, the content of a `.metadata` sibling
    requires_python: str = ""

    @property
    def project(self) -> str:
        """The normalised name (PEP 503)."""
        return re.sub(r"[-_.]+", "-", self.name).lower()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def size(self) -> int:
        return len(self.data)

    def write(self, folder: Path) -> Path:
        """Write the file to a folder and return its path."""
        path = folder / self.file
        path.write_bytes(self.data)
        return path


def build_wheel(
    name: str,
    version: str = "1.0",
    requires: Iterable[str] = (),
    files: Mapping[str, str | bytes] | None = None,
    *,
    tag: str = "py3-none-any",
    build: str = "",
    entry_points: Mapping[str, Mapping[str, str]] | None = None,
    executables: Iterable[str] = (),
    extras: Iterable[str] = (),
    requires_python: str = "",
    license: str = "MIT",
    metadata: str | bytes | None = None,
    extra_headers: Iterable[str] = (),
    extra_dist_info: Mapping[str, str | bytes] | None = None,
    compression: int = zipfile.ZIP_DEFLATED,
) -> Distribution:
    """Return a wheel (PEP 427).

    `files` are paths below the archive's root (``.data`` folders included), by default one module named as the project;
    `entry_points` is ``{"console_scripts": {"demo": "demo:main"}}``; `executables` are the files with mode 0o755;
    `metadata` replaces the whole METADATA; `extra_headers` are lines added to it. A tag may be compressed.
    """
    escaped = re.sub(r"[-_.]+", "_", name).lower()
    dist_info = f"{escaped}-{version}.dist-info"
    if files is None:
        files = {f"{escaped}.py": f'__version__ = "{version}"\n\n\ndef main() -> None:\n    print("{name}")\n'}
    if metadata is None:
        metadata = _metadata(name, version, requires, extras, requires_python, license, extra_headers)
    pythons, abis, platforms = tag.split("-")
    tags = [f"Tag: {p}-{a}-{m}\n" for p in pythons.split(".") for a in abis.split(".") for m in platforms.split(".")]
    pure = "true" if abis == "none" and platforms == "any" else "false"
    build_line = f"Build: {build}\n" if build else ""
    members: dict[str, bytes] = {path: _bytes(content) for path, content in files.items()}
    members[f"{dist_info}/METADATA"] = _bytes(metadata)
    members[f"{dist_info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: {pure}\n{build_line}{''.join(tags)}".encode()
    )
    if entry_points:
        sections = [
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
            for group, entries in entry_points.items()
        ]
        members[f"{dist_info}/entry_points.txt"] = "\n".join(sections).encode()
    for path, content in (extra_dist_info or {}).items():
        members[f"{dist_info}/{path}"] = _bytes(content)
    record = f"{dist_info}/RECORD"
    rows = [f"{path},sha256={_urlsafe(content)},{len(content)}\n" for path, content in members.items()]
    members[record] = "".join([*rows, f"{record},,\n"]).encode()
    return Distribution(
        file="-".join([escaped, version, *([build] if build else []), tag]) + ".whl",
        name=name,
        version=version,
        data=zip_bytes(members, executables=executables, compression=compression),
        metadata=_bytes(metadata),
        requires_python=requires_python,
    )


def build_sdist(name: str, version: str = "1.0", requires: Iterable[str] = ()) -> Distribution:
    """Return a source distribution with static metadata (PEP 643)."""
    escaped = re.sub(r"[-_.]+", "_", name).lower()
    metadata = _bytes(_metadata(name, version, requires, (), "", "MIT", ()))
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for path, content in {
            "PKG-INFO": metadata,
            "pyproject.toml": b'[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n',
        }.items():
            info = tarfile.TarInfo(f"{escaped}-{version}/{path}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return Distribution(
        file=f"{escaped}-{version}.tar.gz",
        name=name,
        version=version,
        data=gzip.compress(raw.getvalue(), mtime=0),
        metadata=metadata,
    )


def zip_bytes(
    members: Mapping[str, bytes], *, executables: Iterable[str] = (), compression: int = zipfile.ZIP_DEFLATED
) -> bytes:
    """Return a zip archive whose bytes depend only on its members and their order."""
    executable = set(executables)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in members.items():
            info = zipfile.ZipInfo(path, _EPOCH)
            info.compress_type = compression
            info.create_system = 3  # Unix: the external attributes contain a mode
            info.external_attr = (0o100755 if path in executable else 0o100644) << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def _metadata(
    name: str,
    version: str,
    requires: Iterable[str],
    extras: Iterable[str],
    requires_python: str,
    license: str,
    extra_headers: Iterable[str],
) -> str:
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", f"Summary: {name}, for tests"]
    lines += [f"License-Expression: {license}"] if license else []
    lines += [f"Requires-Python: {requires_python}"] if requires_python else []
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    lines += list(extra_headers)
    return "\n".join(lines) + f"\n\nThe description of {name}.\n"


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _urlsafe(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
