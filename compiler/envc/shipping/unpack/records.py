"""RECORD, the list of a distribution's files and digests (PyPA specification "Recording installed projects")."""

from __future__ import annotations

import base64
import csv
import io
import posixpath
from collections.abc import Container, Iterable, Sequence

import msgspec

from envc.model.record import Member

_STRONG = {"sha256": 32, "sha384": 48, "sha512": 64}  # bytes; wheels must use one of these (PEP 427)
_WEAK = {"md5": 16, "sha1": 20, "sha224": 28}


class Row(msgspec.Struct, frozen=True):
    """One line of RECORD."""

    path: str  # relative to the folder that contains the dist-info folder, POSIX separators; a folder ends in a slash
    algorithm: str  # a name of `hashlib`; "" for lines without a digest, or with one that cannot be compared
    digest: bytes
    size: int | None  # bytes; None if not stated

    @property
    def is_strong(self) -> bool:
        return self.algorithm in _STRONG


_NO_ROW = Row("", "", b"", None)


class WheelRecord(msgspec.Struct, frozen=True):
    """The RECORD of a wheel."""

    rows: dict[str, Row]  # by path
    oddly_spelt: tuple[str, ...]  # paths as they are spelt, if not in the usual way

    def row(self, path: str) -> Row:
        """The line about a file, without a digest if there is none."""
        return self.rows.get(path, _NO_ROW)

    def faults(self, files: Iterable[str], exempt: Container[str]) -> tuple[str, ...]:
        """Where it is not as the specification demands, in words that follow "its RECORD": installers ignore that.

        `files` are those of the archive, of which the `exempt` ones need no digest.
        """
        paths = sorted(files)
        present = set(paths)
        named = [path for path in paths if path not in exempt]
        rows = self.rows
        folders = {path for path in rows if path.endswith("/")}
        found = (
            ("does not list", [path for path in named if path not in rows]),
            ("states no digest of", [path for path in named if path in rows and not rows[path].algorithm]),
            ("states a weak digest of", [path for path in named if self.row(path).algorithm in _WEAK]),
            (
                "lists a file that is absent,",
                sorted(path for path in rows.keys() - present - folders if path not in exempt),
            ),
            ("lists the folder", sorted(folders)),
            ("spells oddly", list(self.oddly_spelt)),
        )
        return tuple(f"{what} {_some(which)}" for what, which in found if which)


def parse_record(text: str) -> WheelRecord:
    """Raises ValueError for a line that cannot be read, and for lines that contradict each other.

    Backslashes, which old tools wrote on Windows, count as separators, and ``./`` has no meaning.
    """
    rows: dict[str, Row] = {}
    oddly_spelt: dict[str, None] = {}
    try:
        for number, fields in enumerate(csv.reader(io.StringIO(text, newline="")), 1):
            if not fields:
                continue
            if len(fields) != 3:
                raise ValueError(f"line {number} of RECORD has {len(fields)} fields instead of 3")
            row = _row(*fields)
            if row.path != fields[0].replace("\\", "/"):
                oddly_spelt[fields[0]] = None
            other = rows.setdefault(row.path, row)
            if other != row:
                rows[row.path] = _joined(other, row)
    except csv.Error as error:
        raise ValueError(f"RECORD cannot be read ({error})") from None
    return WheelRecord(rows, tuple(oddly_spelt))


def _row(path: str, stated: str, size: str) -> Row:
    path = path.replace("\\", "/")
    if path.startswith("./") or "/./" in path or "//" in path or path.endswith("/."):
        path = posixpath.normpath(path) + "/" * path.endswith(("/", "/."))
    if size and not (size.isascii() and size.isdigit()):
        raise ValueError(f"RECORD states the size {size[:40]!r} for {path!r}")
    algorithm, _, encoded = stated.partition("=")
    length = (_STRONG | _WEAK).get(algorithm)
    digest = b""
    if length is None:
        algorithm = ""
    else:
        try:
            digest = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except ValueError:
            digest = b""
        if len(digest) != length:
            raise ValueError(f"RECORD has a malformed digest for {path!r}")
    return Row(path, algorithm, digest, int(size) if size else None)


def _joined(one: Row, other: Row) -> Row:
    """What two lines about one path say together. Raises ValueError if they contradict each other."""
    if (one.size is not None and other.size is not None and one.size != other.size) or (
        one.algorithm == other.algorithm and one.digest != other.digest
    ):
        raise ValueError(f"RECORD contradicts itself about {one.path!r}")
    best = max(one, other, key=lambda row: len(row.digest))
    return msgspec.structs.replace(best, size=one.size if other.size is None else other.size)


def _some(paths: Sequence[str]) -> str:
    return paths[0][:200] + (f" and {len(paths) - 1} more" if paths[1:] else "")


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
