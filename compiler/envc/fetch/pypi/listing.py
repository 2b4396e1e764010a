"""The page of a project on an index, as a compact value: PEP 691 JSON, PEP 503 HTML, and folders of files.

Pages are not trusted. An entry without a usable name and address is left out, and any other key of it that cannot be
understood counts as absent; a page that cannot be understood raises ValueError. Artifacts are trusted by their digest
only, so the worst that a page can do is to hide files.

A page may list ten thousand files, and a target may be able to install a hundred of them. So entries stay as they were
read until one is needed. Then `listed` checks the entry and turns it into a file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import msgspec

from envc.fetch.net.urls import named_by
from envc.model.decoders import decode
from envc.model.limits import PAGE_FILES, REQUIRES_PYTHON_BYTES
from envc.model.reason import plain_reason
from envc_solvers.malformed import FOREIGN, malformed, reason_of
from envc_solvers.pypi.language.index import File

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
ACCEPT = f"{JSON_TYPE}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
ADVERTISED = "yes"

_LENGTHS = {"md5": 32, "sha1": 40, "sha224": 56, "sha384": 96, "sha512": 128}  # hex digits
_HASHES = 16  # parts of a fragment that are read; real ones have one or two
_HEX_DIGITS = frozenset("0123456789abcdef")
_HEX = re.compile(r"[0-9a-f]{64}").fullmatch
_OBJECTS, _FIELDS = 6, 16  # that a JSON page may have for each file; real ones have up to five and thirteen
_LARGEST = 1 << 53  # bytes; larger sizes are ignored
_FIRST_MOMENT, _LAST_MOMENT = -62_135_596_800, 253_402_300_799  # the years 1 to 9999, in seconds since the epoch
_SAFE_NAME = re.compile(r"\w[\w.+!~-]{0,239}").fullmatch
# Most indexes state such URLs. Using them as they are saves seconds on a large lock.
_PLAIN_URL = re.compile(r"https?://[\w.:-]+/[^@#\s]*").fullmatch


class ListedFile(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A file with its URL."""

    file: File
    url: str  # absolute, without credentials and fragment
    core: str = ""  # metadata sibling (PEP 658 and 714): "" if not advertised, else ADVERTISED or its sha256
    others: tuple[tuple[str, str], ...] = ()  # its other digests: name in hashlib, and lower-case hex


class Hashes(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The digests of a file by algorithm (PEP 503, PEP 691), as the page spells them."""

    sha256: str = ""
    md5: str | None = None
    sha1: str | None = None
    sha224: str | None = None
    sha384: str | None = None
    sha512: str | None = None


class PageEntry(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One entry of `files` (PEP 691 and 700), as it is cached. Fields that are not used are not decoded."""

    filename: str
    url: str
    hashes: Hashes = Hashes()
    requires_python: str | None = msgspec.field(name="requires-python", default=None)
    size: int | None = None
    upload_time: str | None = msgspec.field(name="upload-time", default=None)  # RFC 3339
    yanked: bool | str | None = False
    core_metadata: bool | dict[str, str] | None = msgspec.field(name="core-metadata", default=None)
    dist_info_metadata: bool | dict[str, str] | None = msgspec.field(name="dist-info-metadata", default=None)


class Listing(msgspec.Struct, frozen=True, array_like=True):
    """The files of a page, in its order."""

    url: str  # base of the entries' URLs, without credentials
    entries: tuple[PageEntry, ...]

    def __iter__(self) -> Iterator[ListedFile]:
        """Every valid file."""
        for entry in self.entries:
            found = listed(entry, self.url)
            if found is not None:
                yield found

    def at(self, number: int) -> File | None:
        """The file of one entry; None if the entry is invalid."""
        found = listed(self.entries[number], self.url)
        return found.file if found is not None else None


class _Page(msgspec.Struct):
    files: tuple[PageEntry, ...]


class _LenientPage(msgspec.Struct):
    files: list[msgspec.Raw]


Note = Callable[[str, str], None]  # (name of a file, key)


def _ignore(file: str, key: str) -> None:
    pass


def is_file_name(name: str) -> bool:
    """Whether an untrusted name may be used as a file name on this machine."""
    return _SAFE_NAME(name) is not None


def parse_page(body: bytes, content_type: str, url: str, note: Note = _ignore) -> Listing:
    """Read a page that was served from `url`. Raises ValueError if it is not a page of an index.

    `note` is called with file and key for values that cannot be understood, and that count as absent. A few may be
    passed over.
    """
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind.endswith("json"):
            return _parse_json(body, url, note)
        if kind in ("text/html", "application/vnd.pypi.simple.v1+html", ""):
            return _parse_html(body, url)
    except malformed() as error:
        raise ValueError(reason_of(error)) from None
    raise ValueError(f"its content type is {kind[:60]!r}, neither JSON nor HTML")


def list_folder(folder: Path) -> Listing:
    """The archives of a find-links folder, sorted. Raises OSError."""
    paths = sorted(path for path in folder.iterdir() if path.is_file() and _SAFE_NAME(path.name))
    return Listing(
        "file:///",
        tuple(
            PageEntry(filename=path.name, url=path.resolve().as_uri(), size=path.stat().st_size)
            for path in paths
            if path.name.endswith((".whl", ".tar.gz", ".zip"))
        ),
    )


def _parse_json(body: bytes, url: str, note: Note) -> Listing:
    # Each file is an object with at least four fields. These counts take a thousandth of the time of decoding.
    if body.count(b"{") > _OBJECTS * PAGE_FILES or body.count(b",") > _FIELDS * PAGE_FILES:
        raise ValueError(f"it lists more than {PAGE_FILES:,} files")
    try:
        entries = decode(body, _Page).files
    except msgspec.ValidationError:
        entries = _lenient(body, note)
    except malformed():
        raise ValueError("it is not JSON") from None
    # Dates are parsed when they are needed. Nearly all pages have a date of this form for each file, and counting these
    # takes a fraction of the time of decoding.
    usual = body.count(b'"upload-time": "2')
    if usual < len(entries) and usual + body.count(b'"upload-time":"2') < len(entries):
        for entry in entries:
            if entry.upload_time is not None and _moment(entry.upload_time) is None:
                note(entry.filename, "upload-time")
    return Listing(url, entries)


def _lenient(body: bytes, note: Note) -> tuple[PageEntry, ...]:
    """The entries of a page that has malformed ones, without the keys that are malformed."""
    try:
        raw = decode(body, _LenientPage).files
    except malformed():
        raise ValueError("it is not a page of an index") from None
    entries = []
    for entry in raw:
        try:
            entries.append(decode(entry, PageEntry))
        except malformed():
            try:
                entries.append(_repaired(entry, note))
            except malformed():
                continue
    return tuple(entries)


def _repaired(raw: msgspec.Raw, note: Note) -> PageEntry:
    """An entry without its malformed keys. Raises ValueError for one without a name and address."""
    fields = decode(raw, dict[str, object])
    if not all(isinstance(fields.get(key), str) for key in ("filename", "url")):
        raise ValueError("it has no name or address")
    found = PageEntry(str(fields["filename"]), str(fields["url"]))
    hashes = fields.get("hashes")
    if isinstance(hashes, dict):
        hashes = {name: digest for name, digest in hashes.items() if isinstance(digest, str)}
    yanked = fields.get("yanked")
    readable = fields | {"hashes": hashes, "yanked": yanked if isinstance(yanked, str) else bool(yanked)}
    for key, attribute in _OPTIONAL.items():
        if key not in fields:
            continue
        if readable[key] != fields[key]:
            note(found.filename, key)
        try:
            value = getattr(msgspec.convert({"filename": "", "url": "", key: readable[key]}, PageEntry), attribute)
        except msgspec.ValidationError:
            note(found.filename, key)
        else:
            found = msgspec.structs.replace(found, **{attribute: value})
    return found


_OPTIONAL = {  # keys, and the attributes for them
    field.encode_name: field.name for field in msgspec.structs.fields(PageEntry) if not field.required
}


def _parse_html(body: bytes, url: str) -> Listing:
    from envc.fetch.pypi.anchors import Anchors  # HTML pages are the exception

    parser = Anchors()
    try:
        parser.feed(body.decode("utf-8", errors="replace"))
    except malformed(*FOREIGN) as error:
        raise ValueError(f"it is not usual HTML: {reason_of(error)}") from None
    base = named_by(url, parser.base_url) if parser.base_url else url
    if base is None:
        raise ValueError("its base URL cannot be used")
    entries = []
    for anchor in parser.anchors:
        href = anchor.get("href")
        if not href:
            continue
        address, _, fragment = href.partition("#")
        # PEP 714 renamed the attribute; the old name is still in use.
        core = anchor.get("data-core-metadata") or anchor.get("data-dist-info-metadata") or ""
        entries.append(
            PageEntry(
                filename=unquote(address.partition("?")[0].rpartition("/")[2]),
                url=address,
                hashes=_stated(fragment),
                requires_python=anchor.get("data-requires-python"),
                # The attribute may have a reason or no value (PEP 592).
                yanked="data-yanked" in anchor and (anchor["data-yanked"] or True),
                core_metadata={"sha256": core.removeprefix("sha256=")} if core.startswith("sha256=") else bool(core),
            )
        )
    return Listing(base, tuple(entries))


def _stated(fragment: str) -> Hashes:
    """The digests in the fragment of a link (PEP 503). pip reads several parts, such as ``sha256=…&egg=demo``."""
    parts = (part.partition("=") for part in fragment.split("&", _HASHES))
    found: dict[str, str] = {}
    for algorithm, _, digest in parts:
        if algorithm in Hashes.__struct_fields__:
            found.setdefault(algorithm, digest)
    return Hashes(**found)


def listed(entry: PageEntry, base: str) -> ListedFile | None:
    """An entry of a page at `base` as a file, or None if it is invalid."""
    name = entry.filename
    address = entry.url if _PLAIN_URL(entry.url) else named_by(base, entry.url)
    if address is None or not _SAFE_NAME(name):
        return None
    requires_python = entry.requires_python or ""
    if len(requires_python) > REQUIRES_PYTHON_BYTES:
        requires_python = ""  # the metadata of the file decides
    sha256 = entry.hashes.sha256
    if not _HEX(sha256):
        sha256 = sha256.lower()
        if not _HEX(sha256):
            sha256 = ""
    uploaded = _moment(entry.upload_time) if entry.upload_time is not None else None
    size, yanked = entry.size or 0, entry.yanked
    core = _core(entry)
    return ListedFile(
        File(
            name,
            sha256,
            size if 0 <= size < _LARGEST else 0,
            uploaded,
            requires_python,
            None if not yanked else "" if yanked is True else plain_reason(yanked),
            core if core != ADVERTISED else "",
        ),
        address,
        core,
        _others(entry.hashes) if entry.hashes != Hashes(entry.hashes.sha256) else (),
    )


def _others(hashes: Hashes) -> tuple[tuple[str, str], ...]:
    """The well-formed digests besides sha256."""
    stated = ((name, (getattr(hashes, name) or "").lower()) for name in _LENGTHS)
    return tuple((name, digest) for name, digest in stated if _is_hex(digest, _LENGTHS[name]))


def _is_hex(digest: str, length: int) -> bool:
    return len(digest) == length and not set(digest) - _HEX_DIGITS


def _core(entry: PageEntry) -> str:
    """The value of `ListedFile.core` for an entry."""
    stated = entry.core_metadata if entry.core_metadata is not None else entry.dist_info_metadata
    if not stated:
        return ""
    digest = stated.get("sha256", ADVERTISED) if isinstance(stated, dict) else ADVERTISED
    return digest if _HEX(digest) else ADVERTISED


def _moment(text: str) -> int | None:
    """A date as seconds since the epoch; None if it cannot be read."""
    try:
        return _seconds(datetime.fromisoformat(text))
    except malformed():
        return None


def _seconds(moment: datetime) -> int:
    """Seconds since the epoch, rounded up so that a cut-off within that second still excludes the file.

    Raises ValueError for a moment that is not in the years 1 to 9999 in UTC, which has no date.
    """
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = math.ceil(moment.timestamp())
    if not _FIRST_MOMENT <= seconds <= _LAST_MOMENT:
        raise ValueError("it is not in the years 1 to 9999")
    return seconds
