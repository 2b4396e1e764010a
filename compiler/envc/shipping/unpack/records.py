"""RECORD, the list of a distribution's files and digests (PyPA specification "Recording installed projects")."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable

import msgspec

from envc.model.record import Member

_STRONG = {"sha256": 32, "sha384": 48, "sha512": 64}  # bytes; weaker algorithms are not permitted (PEP 427)


class Row(msgspec.Struct, frozen=True):
    """One line of RECORD."""

    path: str  # relative to the folder that contains the dist-info folder, POSIX separators
    algorithm: str  # "" for lines without a digest
    digest: bytes
    size: int | None  # bytes; None if not stated


def parse_record(text: str) -> dict[str, Row]:
    """The lines by path. Raises ValueError for a line that cannot be read, and for lines that contradict each other.

    Backslashes, which old tools wrote on Windows, count as separators.
    """
    rows: dict[str, Row] = {}
    try:
        for number, fields in enumerate(csv.reader(io.StringIO(text, newline="")), 1):
            if not fields:
                continue
            if len(fields) != 3:
                raise ValueError(f"line {number} of RECORD has {len(fields)} fields instead of 3")
            row = _row(*fields)
            if rows.setdefault(row.path, row) != row:
                raise ValueError(f"RECORD contradicts itself about {row.path!r}")
    except csv.Error as error:
        raise ValueError(f"RECORD cannot be read ({error})") from None
    return rows


def _row(path: str, stated: str, size: str) -> Row:
    path = path.replace("\\", "/")
    if size and not (size.isascii() and size.isdigit()):
        raise ValueError(f"RECORD states the size {size[:40]!r} for {path!r}")
    algorithm, _, encoded = stated.partition("=")
    digest = b""
    if stated:
        if algorithm not in _STRONG:
            raise ValueError(
                f"RECORD has a {algorithm[:20]} digest for {path!r}; sha256 is the weakest that is accepted"
            )
        try:
            digest = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except ValueError:
            digest = b""
        if len(digest) != _STRONG[algorithm]:
            raise ValueError(f"RECORD has a malformed digest for {path!r}")
    return Row(path, algorithm, digest, int(size) if size else None)


def render_record(members: Iterable[Member], record: str, site: str, to_prefix: str) -> bytes:
    """A RECORD of installed files: one line for each member and one for RECORD itself, sorted by path.

    `record` is the path of RECORD, and `site` the folder that the lines are relative to; both are relative to the
    prefix. `to_prefix` is the relative path from `site` to the prefix.
    """
    lines = [(_relative(record, site, to_prefix), "", "")]
    for member in members:
        digest = base64.urlsafe_b64encode(bytes.fromhex(member.sha256)).rstrip(b"=").decode()
        lines.append((_relative(member.path, site, to_prefix), f"sha256={digest}", str(member.size)))
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(sorted(lines))
    return text.getvalue().encode()


def _relative(path: str, site: str, to_prefix: str) -> str:
    return path.removeprefix(f"{site}/") if path.startswith(f"{site}/") else to_prefix + path
