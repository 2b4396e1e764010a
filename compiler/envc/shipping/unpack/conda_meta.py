"""Prefix records: ``conda-meta/<name>-<version>-<build>.json``, which describe installed packages to conda tools.

The object of a conda package contains a prefix record with everything that follows from the package alone. So the
content digest of the object covers which files have to be rewritten in a prefix. Hydrate completes the record
(`prefix.conda_prefix`). The fields are those of ``conda.models.records.PrefixRecord``, which rattler also reads and
writes.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec

from envc.shipping.format.paths import fold
from envc_solvers.malformed import malformed, reason_of

FOLDER = "conda-meta"
HISTORY = f"{FOLDER}/history"  # conda recognises an environment by this file

PathType = Literal[
    "hardlink",
    "softlink",
    "directory",
    "pyc_file",
    "unix_python_entry_point",
    "windows_python_entry_point_exe",
]
FileMode = Literal["", "text", "binary"]


class InstalledPath(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One path of a package in a prefix. Empty fields are omitted, except the digest and size of a file."""

    path: str = msgspec.field(name="_path")  # relative to the prefix
    path_type: PathType
    sha256: str | None = None  # of the content in the package; None for links and folders
    size_in_bytes: int | None = None
    sha256_in_prefix: str | None = None  # None while it depends on the prefix
    prefix_placeholder: str = ""  # the text that the file contains in place of the prefix; "" if there is none
    file_mode: FileMode = ""
    no_link: bool = False  # the file must not share its content with another prefix
    original_path: str = ""  # path in the package, if it differs in a noarch package


class _PathSummary(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    path_type: PathType
    prefix_placeholder: str = ""
    no_link: bool = False


class _PathSummaries(msgspec.Struct, frozen=True):
    paths: tuple[_PathSummary, ...]


class PrefixRecordSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a prefix record that identify the package, and that show whether the rest is needed. Decoding only
    these takes half the time.
    """

    name: str
    version: str
    build: str
    subdir: str
    fn: str
    sha256: str
    paths_data: _PathSummaries
    url: str = ""
    channel: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether a prefix needs no change for the package: no file is rewritten or copied, and no folder is
        created.
        """
        return not (self.url or self.channel) and not any(
            entry.prefix_placeholder or entry.no_link or entry.path_type == "directory"
            for entry in self.paths_data.paths
        )


class PathsData(msgspec.Struct, frozen=True, kw_only=True):
    paths: tuple[InstalledPath, ...]
    paths_version: int = 1


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Where the files of a package were linked from. envc has no folder of packages, so conda tools read the prefix."""

    source: str = ""
    type: int = 1  # conda's number for hard links


class PrefixRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A package in a prefix. The first fields are those of ``index.json``."""

    name: str
    version: str
    build: str
    build_number: int
    subdir: str
    noarch: str = ""
    depends: tuple[str, ...]
    constrains: tuple[str, ...] = ()
    track_features: str = ""
    features: str = ""
    license: str = ""
    license_family: str = ""
    timestamp: int = 0
    python_site_packages_path: str = ""
    arch: str | None = None
    platform: str | None = None
    fn: str
    sha256: str
    size: int
    files: tuple[str, ...]
    paths_data: PathsData
    url: str = ""  # set by hydrate
    channel: str = ""  # set by hydrate
    link: Link | None = None  # set by hydrate
    requested_spec: str = ""


LINKED = Link()


def meta_path(file: str) -> str:
    """The path of a package's prefix record in a prefix."""
    return f"{FOLDER}/{stem_of(file)}.json"


def stem_of(file: str) -> str:
    """``name-version-build``: the name of a package file without its suffix."""
    return file.removesuffix(".conda").removesuffix(".tar.bz2")


def is_meta(path: str) -> bool:
    """Whether a path describes what is installed. Only envc itself may write such paths."""
    folder, _, name = fold(path).rpartition("/")
    return folder == FOLDER and (name.endswith(".json") or name == "history")


def encode_record(record: PrefixRecord) -> bytes:
    return msgspec.json.encode(record, order="deterministic") + b"\n"


_RECORD = msgspec.json.Decoder(PrefixRecord)
_SUMMARY = msgspec.json.Decoder(PrefixRecordSummary)


def decode_record(data: bytes) -> PrefixRecord:
    """Raises ValueError if the text is not a prefix record."""
    return _decode(_RECORD, data)


def decode_summary(data: bytes) -> PrefixRecordSummary:
    """Raises ValueError if the text is not a prefix record."""
    return _decode(_SUMMARY, data)


def with_origin(data: bytes, url: str, channel: str) -> bytes:
    """The text of a prefix record, with the fields that hydrate sets added as `encode_record` would write them."""
    return b"".join((memoryview(data)[: data.rindex(b"}")], origin_text(url, channel)))


def origin_text(url: str, channel: str, link: Link | None = LINKED) -> bytes:
    """The end of the text of a prefix record in a prefix."""
    fields = b',"url":%s,"channel":%s' % (msgspec.json.encode(url), msgspec.json.encode(channel))
    return fields + (b',"link":%s' % msgspec.json.encode(link) if link is not None else b"") + b"}\n"


V = TypeVar("V")


def _decode(decoder: msgspec.json.Decoder[V], data: bytes) -> V:
    try:
        return decoder.decode(data)
    except malformed() as error:
        raise ValueError(f"its prefix record cannot be read ({reason_of(error)})") from None
