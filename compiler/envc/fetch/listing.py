"""A project's page on an index, as a compact value: PEP 691 JSON, PEP 503 HTML, and folders of files.

A page is hostile until proven otherwise. What cannot be understood of one file leaves that file out; what cannot be
understood of the whole page is a ValueError. Artifacts are trusted by digest alone, so a page can at worst hide files.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import msgspec

from envc.fetch.credentials import split_credentials
from envc_solvers.pypi.index import File

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
ACCEPT = f"{JSON_TYPE}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
ADVERTISED = "yes"

_HEX = re.compile(r"[0-9a-f]{64}").fullmatch
_LARGEST = 1 << 53  # bytes; beyond it a size is nonsense
_WEB = ("http://", "https://")
_SAFE_NAME = re.compile(r"\w[\w.+!~-]{0,239}").fullmatch
# Most indexes state such addresses; to take them as they are saves seconds on a large lock.
_PLAIN_URL = re.compile(r"https?://[\w.:-]+/[^@#\s]*").fullmatch


class ListedFile(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A file with the place it is served from."""

    file: File
    url: str  # absolute, without credentials and fragment
    core: str = ""  # metadata sibling (PEP 658/714): "" not advertised, ADVERTISED, or its sha256


Listing = tuple[ListedFile, ...]  # in the order of the page


class _Hashes(msgspec.Struct, frozen=True, gc=False):
    sha256: str = ""


class _JsonFile(msgspec.Struct, frozen=True, gc=False):
    """One entry of `files` in PEP 691 and PEP 700; fields that are not read are not decoded."""

    filename: str
    url: str
    hashes: _Hashes = _Hashes()
    requires_python: str | None = msgspec.field(name="requires-python", default=None)
    size: int | None = None
    upload_time: datetime | None = msgspec.field(name="upload-time", default=None)
    yanked: bool | str | None = False
    core_metadata: bool | dict[str, str] | None = msgspec.field(name="core-metadata", default=None)
    dist_info_metadata: bool | dict[str, str] | None = msgspec.field(name="dist-info-metadata", default=None)


class _JsonPage(msgspec.Struct):
    files: list[_JsonFile]


class _LenientPage(msgspec.Struct):
    files: list[msgspec.Raw]


_PAGE = msgspec.json.Decoder(_JsonPage)
_LENIENT = msgspec.json.Decoder(_LenientPage)
_FILE = msgspec.json.Decoder(_JsonFile)


def is_file_name(name: str) -> bool:
    """Whether a name from outside may become the name of a file here: nothing that a file system could take amiss."""
    return _SAFE_NAME(name) is not None


def parse_page(body: bytes, content_type: str, url: str) -> Listing:
    """Read a page that was served from `url`. Raises ValueError when it is no page of an index."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind.endswith("json"):
            return _parse_json(body, url)
        if kind in ("text/html", "application/vnd.pypi.simple.v1+html", ""):
            return _parse_html(body, url)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    raise ValueError(f"its content type is {kind[:60]!r}, neither JSON nor HTML")


def list_folder(folder: Path) -> Listing:
    """The archives of a find-links folder, sorted. Raises OSError."""
    paths = sorted(path for path in folder.iterdir() if path.is_file() and _SAFE_NAME(path.name))
    return tuple(
        ListedFile(File(name=path.name, size=path.stat().st_size), path.resolve().as_uri())
        for path in paths
        if path.name.endswith((".whl", ".tar.gz", ".zip"))
    )


def _parse_json(body: bytes, url: str) -> Listing:
    try:
        entries = _PAGE.decode(body).files
    except msgspec.ValidationError:
        entries = _lenient(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ValueError("it is not JSON") from None
    listing = []
    for entry in entries:
        core = entry.core_metadata if entry.core_metadata is not None else entry.dist_info_metadata
        listed = _listed(
            entry.filename,
            entry.url,
            url,
            entry.hashes.sha256,
            entry.size or 0,
            entry.upload_time,
            entry.requires_python or "",
            None if entry.yanked is False or entry.yanked is None else "" if entry.yanked is True else entry.yanked,
            (core.get("sha256", ADVERTISED) if isinstance(core, dict) else ADVERTISED) if core else "",
        )
        if listed is not None:
            listing.append(listed)
    return tuple(listing)


def _lenient(body: bytes) -> list[_JsonFile]:
    """The entries of a page that are well typed, when not all of them are."""
    try:
        raw = _LENIENT.decode(body).files
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ValueError("it is not a page of an index") from None
    entries = []
    for entry in raw:
        try:
            entries.append(_FILE.decode(entry))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
    return entries


def _parse_html(body: bytes, url: str) -> Listing:
    # unearth brings an HTTP client along, which costs 0.2 s; pages in HTML are the exception.
    from unearth.collector import IndexHTMLParser

    parser = IndexHTMLParser()
    parser.feed(body.decode("utf-8", errors="replace"))
    base = urljoin(url, parser.base_url) if parser.base_url else url
    listing = []
    for anchor in parser.anchors:
        href = anchor.get("href")
        if not href:
            continue
        address, _, fragment = href.partition("#")
        algorithm, _, digest = fragment.partition("=")
        name = unquote(address.partition("?")[0].rpartition("/")[2])
        # PEP 714 renamed the attribute; the old spelling stays in use.
        core = anchor.get("data-core-metadata") or anchor.get("data-dist-info-metadata") or ""
        listed = _listed(
            name,
            address,
            base,
            digest if algorithm == "sha256" else "",
            0,
            None,
            anchor.get("data-requires-python") or "",
            # PEP 592: the attribute may have a reason, or no value at all.
            (anchor["data-yanked"] or "") if "data-yanked" in anchor else None,
            core.removeprefix("sha256=") if core.startswith("sha256=") else ADVERTISED if core else "",
        )
        if listed is not None:
            listing.append(listed)
    return tuple(listing)


def _listed(
    name: str,
    url: str,
    base: str,
    sha256: str,
    size: int,
    uploaded: datetime | None,
    requires_python: str,
    yanked: str | None,
    core: str,
) -> ListedFile | None:
    """A file, or None for one that cannot be meant. Called for every file of every page: it is worth being quick."""
    address = url if _PLAIN_URL(url) else _absolute(url, base)
    if address is None or not _SAFE_NAME(name):
        return None
    if not _HEX(sha256):
        sha256 = sha256.lower()
        if not _HEX(sha256):
            sha256 = ""
    return ListedFile(
        File(
            name,
            sha256,
            size if 0 <= size < _LARGEST else 0,
            None if uploaded is None else _seconds(uploaded),
            requires_python,
            yanked,
        ),
        address,
        core if not core or core == ADVERTISED or _HEX(core) else ADVERTISED,
    )


def _absolute(url: str, base: str) -> str | None:
    """The absolute address, or None when it leads to something other than the web (or, from a folder, a file)."""
    try:
        url = urljoin(base, url).partition("#")[0]
        scheme, host, *_ = urlsplit(url)
        if scheme == "file":
            return url if base.startswith("file:") and not host else None
        return split_credentials(url)[0] if url.startswith(_WEB) and host else None
    except ValueError:
        return None


def _seconds(moment: datetime) -> int:
    """Seconds since the epoch, rounded up, so that a cut-off within that second still excludes the file."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return math.ceil(moment.timestamp())
