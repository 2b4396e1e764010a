"""The METADATA of a wheel, read from as little of the archive as possible, whether local or remote.

The archive is not trusted. It is read as strictly as for unpacking (`system.zip_reader`), except that only one member's
header is compared with the directory. Deviations from the wheel format (PEP 427) raise ValueError with a reason, too.
"""

from __future__ import annotations

from pathlib import Path

from envc.model.limits import ARCHIVE_ENTRIES, METADATA_BYTES
from envc.system.zip_directory import Read, ZipMember, read_directory
from envc.system.zip_reader import read_member
from envc_solvers.pypi.language.requirement import canonicalize_name

TAIL = 1 << 16  # bytes of the first read; they hold directory and METADATA of 9 wheels in 10
_METADATA = ".dist-info/METADATA"


def read_metadata(file: str, size: int, read: Read) -> bytes:
    """The bytes of ``<name>-<version>.dist-info/METADATA`` in the wheel of that file name and size in bytes.

    `read` is called for two or three spans within the file, from the end towards the start. Raises ValueError, and what
    `read` raises.
    """
    members = read_directory(size, read, most=ARCHIVE_ENTRIES)
    return read_member(_metadata_entry(file, members), read)


def read_metadata_file(path: Path) -> bytes:
    """As `read_metadata`, for a local wheel. Raises ValueError and OSError."""
    with path.open("rb") as stream:

        def read(offset: int, length: int) -> bytes:
            stream.seek(offset)
            data = stream.read(length)
            if len(data) != length:
                raise ValueError("the archive is truncated")
            return data

        return read_metadata(path.name, path.stat().st_size, read)


def name_and_version(file: str) -> tuple[str, str]:
    """The normalised name, and the version as spelt, in the file name of a wheel. Raises ValueError."""
    parts = file.removesuffix(".whl").split("-")
    if not file.endswith(".whl") or len(parts) not in (5, 6):
        raise ValueError("its name is not that of a wheel")
    return canonicalize_name(parts[0]), parts[1]


def same_version(one: str, other: str) -> bool:
    """Whether two spellings are the same version (PEP 440)."""
    if one == other:
        return True
    from packaging.version import Version

    try:
        return Version(one) == Version(other)
    except ValueError:
        return False


def _metadata_entry(file: str, members: tuple[ZipMember, ...]) -> ZipMember:
    """The single entry of this wheel's METADATA."""
    name, version = name_and_version(file)
    found = [member for member in members if member.name.endswith(_METADATA) and member.name.count("/") == 1]
    if len(found) != 1:
        raise ValueError(f"it holds {len(found)} METADATA files where one is expected")
    folder_name, _, folder_version = found[0].name.removesuffix(_METADATA).partition("-")
    if canonicalize_name(folder_name) != name or not same_version(folder_version, version):
        raise ValueError(f"its METADATA is in {found[0].name[:200]!r}, which is the folder of another package")
    if found[0].size > METADATA_BYTES or found[0].packed > METADATA_BYTES:
        raise ValueError("its METADATA is too large")
    return found[0]
