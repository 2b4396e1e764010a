"""What conda tools know of an installed package: ``conda-meta/<name>-<version>-<build>.json``, its prefix record.

The object of a conda package holds one, with everything that follows from the package alone; so what has to be
rewritten in a prefix is covered by the object's content digest. Hydrate completes it (`envc.install.conda_prefix`).
Source of the fields: ``conda.models.records.PrefixRecord``, whose files rattler reads and writes as well.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec

FOLDER = "conda-meta"
HISTORY = f"{FOLDER}/history"  # without it conda takes a folder for no environment

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
    """One path of a package in a prefix. What is empty is left out, except for digest and size of a file."""

    path: str = msgspec.field(name="_path")  # relative to the prefix
    path_type: PathType
    sha256: str | None = None  # of the content as the package has it; None for links and folders
    size_in_bytes: int | None = None
    sha256_in_prefix: str | None = None  # None where it is known only once the prefix is
    prefix_placeholder: str = ""  # what stands for the prefix in the file; "" where nothing does
    file_mode: FileMode = ""
    no_link: bool = False  # must not share its content with another prefix
    original_path: str = ""  # in the package, where a noarch package has it at another place


class _Glance(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    path_type: PathType
    prefix_placeholder: str = ""
    no_link: bool = False


class _Glances(msgspec.Struct, frozen=True):
    paths: tuple[_Glance, ...]


class PrefixRecordGlance(msgspec.Struct, frozen=True, kw_only=True):
    """What names a package in its prefix record, and whether more is to be read there: in half the time."""

    name: str
    version: str
    build: str
    subdir: str
    fn: str
    sha256: str
    paths_data: _Glances
    url: str = ""
    channel: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether nothing is to be done in a prefix: no file rewritten or copied, no folder made."""
        return not (self.url or self.channel) and not any(
            entry.prefix_placeholder or entry.no_link or entry.path_type == "directory"
            for entry in self.paths_data.paths
        )


class PathsData(msgspec.Struct, frozen=True, kw_only=True):
    paths: tuple[InstalledPath, ...]
    paths_version: int = 1


class PrefixRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a package in a prefix. The first fields are those of ``index.json``."""

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
    url: str = ""  # by hydrate
    channel: str = ""  # by hydrate
    requested_spec: str = ""


def meta_path(file: str) -> str:
    """Where the prefix record of a package file stands in a prefix."""
    return f"{FOLDER}/{stem_of(file)}.json"


def stem_of(file: str) -> str:
    """``name-version-build``, without the suffix of a package file."""
    return file.removesuffix(".conda").removesuffix(".tar.bz2")


def is_meta(path: str) -> bool:
    """Whether a path is one of those that say what is installed; only envc itself may write them."""
    folder, _, name = path.lower().rpartition("/")
    return folder == FOLDER and (name.endswith(".json") or name == "history")


def encode_record(record: PrefixRecord) -> bytes:
    return msgspec.json.encode(record, order="deterministic") + b"\n"


_RECORD = msgspec.json.Decoder(PrefixRecord)
_GLANCE = msgspec.json.Decoder(PrefixRecordGlance)


def decode_record(data: bytes) -> PrefixRecord:
    """Raises ValueError for what is no prefix record."""
    return _decode(_RECORD, data)


def glance_at_record(data: bytes) -> PrefixRecordGlance:
    """Raises ValueError for what is no prefix record."""
    return _decode(_GLANCE, data)


def with_origin(data: bytes, url: str, channel: str) -> bytes:
    """A prefix record as `encode_record` would write it with these two fields, which it does not have yet."""
    added = b',"url":%s,"channel":%s}\n' % (msgspec.json.encode(url), msgspec.json.encode(channel))
    return b"".join((memoryview(data)[: data.rindex(b"}")], added))


V = TypeVar("V")


def _decode(decoder: msgspec.json.Decoder[V], data: bytes) -> V:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is no prefix record ({error})") from None
