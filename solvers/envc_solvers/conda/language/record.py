"""Records: the statements of a channel about one package file, as values, decoded from raw repodata.

Repodata was written by many programs over many years, and by hand. Whatever has one clear meaning is accepted. A record
that cannot be right (an invalid digest, a name that differs from the file's) is left out, and an error that names
channel, subdir and file says why. The other records of its package stay usable.
"""

from __future__ import annotations

import re
from collections import deque
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec.structs import force_setattr

from envc_solvers.conda.language.version import InvalidVersion, version_key
from envc_solvers.errors import SolverError
from envc_solvers.malformed import malformed, reason_of

Noarch = Literal["", "python", "generic"]

_SECONDS = 253_402_300_800  # the year 10000 in seconds; smaller timestamps are seconds, as in old repodata
_LATEST = _SECONDS * 1000  # milliseconds
_LONGEST_FILE = 255  # characters of a file name
_LARGEST = 1 << 53  # bytes of a file; larger numbers are certainly wrong
_MOST_WORDS = 1_000  # depends or constrains of one record
# File names become parts of URLs and paths, the other texts are shown to users, and none may look like a path.
_FILE_NAME = r"[\w.+!~=@%-]+-[\w.+!~=@%]+-[\w.+!~=@%]+\n"
_TEXT = r"[^\x00-\x20\x7f/\\]{1,200}"
_SHA256 = r"(?:[0-9a-f]{64})?"
_MD5 = r"(?:[0-9a-f]{32})?"
# File name, version, build, sha256 and md5 in one match, because every record is checked.
_USUAL = re.compile(rf"{_FILE_NAME}{_TEXT}\n{_TEXT}\n{_SHA256}\n{_MD5}", re.ASCII).fullmatch
_SANE = rf"(?a:{_FILE_NAME}{_TEXT}\n{_TEXT})"
_FOLDER = re.compile(r"(?!\.)[\w.-]+(?:/(?!\.)[\w.-]+)*", re.ASCII).fullmatch
# Fields that only inform, or order builds. One of another type counts as absent: it is no reason to reject the package.
_INFORMATIVE = {"license": str, "build_number": int, "timestamp": int, "size": int}
_LONGEST_SITE = 48  # characters; the path becomes part of names, where any but a-z, 0-9 and / takes three


class RecordUnusable(SolverError):
    """A record contradicts itself or is invalid."""

    def __init__(self, channel: str, subdir: str, file: str, reason: str) -> None:
        super().__init__(channel, subdir, file, reason)
        self.channel = channel
        self.subdir = subdir
        self.file = file
        self.reason = reason

    def __str__(self) -> str:
        return f"the record of {self.channel}/{self.subdir}/{self.file[:120]!s} cannot be used: {self.reason}"


if TYPE_CHECKING:
    Features = tuple[str, ...]
else:
    # Most channels write one text, separated by white space or commas, which `decode_records` turns into a tuple.
    Features = tuple[str, ...] | str


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One package file of a channel. The last three fields state where it was found and are not part of the record."""

    name: str
    version: str
    build: str
    build_number: int = 0
    depends: tuple[str, ...] = ()  # match specs, not parsed: most are never needed
    constrains: tuple[str, ...] = ()
    track_features: Features = ()
    timestamp: int = 0  # milliseconds since the epoch, UTC; 0 if the channel does not state it
    size: int = 0  # bytes; 0 if the channel does not state it
    sha256: str = ""  # lower-case hex; "" if the channel does not state it
    md5: str = ""  # lower-case hex; "" if the channel does not state it
    noarch: Noarch = ""
    license: str = ""
    python_site_packages_path: str = ""  # CEP-17; of `python` itself
    channel: str = ""  # name
    subdir: str = ""  # the one that lists it
    file: str = ""  # "python-3.12.7-hc5c86c4_0_cpython.conda"


_VERSION_OF = attrgetter("version")
FIELDS = frozenset(Record.__struct_fields__) - {"channel", "subdir", "file"}  # keys of repodata that are read

# The channel and subdir that a record itself states are ignored in favour of those where it was found.
_ALL = msgspec.json.Decoder(dict[str, Record])
_EACH = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ONE = msgspec.json.Decoder(Record)


def decode_records(data: bytes | memoryview, channel: str, subdir: str) -> tuple[list[Record], list[RecordUnusable]]:
    """The records of a JSON object ``{file: record}`` in its order, and an error for each that is left out.

    Raises RecordUnusable if the data are not such an object.
    """
    left_out: list[RecordUnusable] = []
    try:
        named = _ALL.decode(data)
    except msgspec.ValidationError:
        named = _decode_each(data, channel, subdir, left_out)
    except malformed() as error:
        raise RecordUnusable(channel, subdir, _file_at(data, error), "it is not JSON") from None
    unusual: list[str] = []
    usual, place = _USUAL, force_setattr  # this loop takes as long as decoding, so every name lookup counts
    for file, record in named.items():
        # Records are frozen for all other code. A copy of each record would double the decoding time.
        place(record, "channel", channel)
        place(record, "subdir", subdir)
        place(record, "file", file)
        if record.timestamp < _SECONDS:
            place(record, "timestamp", record.timestamp * 1000)
        if isinstance(record.track_features, str):
            place(record, "track_features", tuple(record.track_features.replace(",", " ").split()))
        if (
            record.name != file.rsplit("-", 2)[0]
            or not usual(f"{file}\n{record.version}\n{record.build}\n{record.sha256}\n{record.md5}")
            or len(file) > _LONGEST_FILE
            or not 0 <= record.size < _LARGEST
            or not 0 <= record.timestamp < _LATEST
            or (record.python_site_packages_path and not is_site_folder(record.python_site_packages_path))
            or len(record.depends) > _MOST_WORDS
            or len(record.constrains) > _MOST_WORDS
        ):
            unusual.append(file)
    try:
        # The solver needs these keys, and they are cached.
        deque(map(version_key, set(map(_VERSION_OF, named.values()))), maxlen=0)
    except InvalidVersion:
        invalid = {record.version for record in named.values() if not _is_version(record.version)}
        unusual += [file for file, record in named.items() if record.version in invalid and file not in unusual]
    for file in unusual:
        reason = _complaint(named[file])
        if reason:
            del named[file]
            left_out.append(RecordUnusable(channel, subdir, file, reason))
    return list(named.values()), left_out


def _is_version(text: str) -> bool:
    try:
        version_key(text)
    except InvalidVersion:
        return False
    return True


def _complaint(record: Record) -> str:
    """Why an unusual record cannot be used; "" if it can. Its digests become lower case, as which they are compared."""
    force_setattr(record, "sha256", record.sha256.lower())
    force_setattr(record, "md5", record.md5.lower())
    if not 0 <= record.size < _LARGEST:
        force_setattr(record, "size", 0)
    if not 0 <= record.timestamp < _LATEST:
        force_setattr(record, "timestamp", 0)
    if not re.fullmatch(_SHA256, record.sha256):
        return "its sha256 is not 64 hexadecimal digits"
    if not re.fullmatch(_MD5, record.md5):
        return "its md5 is not 32 hexadecimal digits"
    if record.name != name_of(record.file):
        return f"it names the package {record.name[:80]!r}, and its file name another one"
    if not re.fullmatch(_SANE, f"{record.file}\n{record.version}\n{record.build}") or len(record.file) > _LONGEST_FILE:
        return "its file name, version or build contains characters that are not allowed"
    site = record.python_site_packages_path
    if site and not is_site_folder(site):
        return "its python_site_packages_path is not a folder below a prefix"
    if len(record.depends) > _MOST_WORDS or len(record.constrains) > _MOST_WORDS:
        return f"it has more than {_MOST_WORDS} dependencies"
    try:
        version_key(record.version)
    except InvalidVersion as error:
        return str(error)
    return ""


def is_site_folder(path: str) -> bool:
    """Whether a ``python_site_packages_path`` (CEP-17) is a plain folder below a prefix, and not too long."""
    length = len(path) + 2 * sum(not (letter.islower() or letter.isdigit() or letter == "/") for letter in path)
    return length <= _LONGEST_SITE and _FOLDER(path) is not None


def name_of(file: str) -> str:
    """The package name in a file name such as ``name-version-build.conda``; "" if there is none."""
    name, *rest = file.rsplit("-", 2)
    return name if len(rest) == 2 else ""


def _file_at(data: bytes | memoryview, error: Exception) -> str:
    """The file of the record at which decoding failed; the first one if the error has no position."""
    place = re.search(r"\(byte (\d+)\)", str(error))
    files = re.findall(rb'"([^"\\]+-[^-"\\]+-[^-"\\]+)":\s*\{', data[: int(place[1])] if place else data)
    return files[-1 if place else 0].decode("ascii", "replace") if files else "…"


def _decode_each(
    data: bytes | memoryview, channel: str, subdir: str, left_out: list[RecordUnusable]
) -> dict[str, Record]:
    """Decode the records one by one, because some have fields of unexpected types. Adds to `left_out`."""
    try:
        raw = _EACH.decode(data)
    except malformed() as error:
        raise RecordUnusable(channel, subdir, _file_at(data, error), "it is not an object of records") from None
    named = {}
    for file, entry in raw.items():
        try:
            named[file] = _ONE.decode(entry)
        except malformed():
            try:
                named[file] = _decode_odd(entry)
            except malformed() as error:
                left_out.append(RecordUnusable(channel, subdir, file, reason_of(error)))
    return named


def _decode_odd(entry: msgspec.Raw) -> Record:
    """Decode a record that has null, strings or Booleans where other records have arrays and strings.

    Raises ValueError and other errors of parsers.
    """
    given = msgspec.json.decode(entry)
    if not isinstance(given, dict):
        raise ValueError("it is not an object")
    return _odd_record(given)


def _odd_record(given: dict[object, object]) -> Record:
    """The record that an object with fields of any types means. Raises ValueError if that is not clear."""
    fields = {str(key): value for key, value in given.items() if value is not None and key in FIELDS}
    noarch = fields.get("noarch")
    if isinstance(noarch, bool):
        fields["noarch"] = "generic" if noarch else ""  # from the time before there were two kinds of noarch
    for key in ("timestamp", "size"):
        value = fields.get(key)
        if isinstance(value, float) and value == value // 1:
            fields[key] = int(value)
    for key, kind in _INFORMATIVE.items():
        if key in fields and type(fields[key]) is not kind:
            del fields[key]
    return msgspec.convert(fields, Record)
