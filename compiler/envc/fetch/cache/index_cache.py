"""The index cache: pages, views of them, metadata, and the values of markers, kept between runs.

Everything in it can be fetched again. Sources are named by cache key (``default``, or name and digest), never by URL.
Pages, views and digests are statements of one source, and are found for that source only. Metadata is found by what
proves it (`Proof`), so a statement of one source never serves another. The values of markers are computed here.

Projects and metadata record the day they were last used, and `eviction` removes the least recently used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from envc.fetch.cache import eviction
from envc.fetch.cache.database import Database, Statement
from envc.fetch.cache.eviction import CacheUsage
from envc.fetch.pypi.listing import Listing
from envc.model.progress import Progress
from envc_solvers.malformed import malformed
from envc_solvers.pypi.language.index import View
from envc_solvers.pypi.language.markers import Answer
from envc_solvers.pypi.language.requirement import Metadata

FILE = "index-v7.sqlite"
_FORMAT = 7  # PRAGMA user_version; a change of any stored type needs a new FILE

DAY = 86_400  # seconds

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pages (
  source TEXT, project TEXT, generation TEXT, etag TEXT, modified TEXT, fetched_at INTEGER, max_age INTEGER,
  used INTEGER, PRIMARY KEY (source, project)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS listings (source TEXT, project TEXT, data BLOB, PRIMARY KEY (source, project));
CREATE TABLE IF NOT EXISTS views (
  source TEXT, project TEXT, tags TEXT, generation TEXT, data BLOB, PRIMARY KEY (source, project, tags));
CREATE TABLE IF NOT EXISTS metadata (
  digest TEXT, file TEXT, proof TEXT, data BLOB, reason TEXT, used INTEGER, PRIMARY KEY (digest, file, proof));
CREATE TABLE IF NOT EXISTS digests (
  source TEXT, project TEXT, file TEXT, generation TEXT, sha256 TEXT, size INTEGER,
  PRIMARY KEY (source, project, file)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (environment TEXT PRIMARY KEY, data BLOB)
"""
_FIND_METADATA = "SELECT data, reason, used FROM metadata WHERE digest = ? AND file = ? AND proof = ?"
_DROP_CLAIMS = "DELETE FROM metadata WHERE digest = ? AND file = ? AND proof LIKE 'claim %'"
_USE_METADATA = "UPDATE metadata SET used = ? WHERE digest = ? AND file = ? AND proof = ?"


class PageState(msgspec.Struct, frozen=True):
    """The state of a page, without its files."""

    generation: str  # identifies the page's content; "" if the source does not know the project
    etag: str
    modified: str  # Last-Modified, as the server spelt it
    fetched_at: int  # seconds since the epoch
    max_age: int  # seconds


class Proof(msgspec.Struct, frozen=True):
    """What shows that metadata belongs to a file. The file name is part of it, because the metadata must match it.

    * ``artifact``: it was read from the file with that sha256, which was verified. It holds for every source.
    * ``stated``: it has that sha256 itself, and was verified. It holds for every source that states this digest.
    * ``claim``: the source served it for the file with that sha256, and nothing was verified. It holds for that source.
    """

    kind: Literal["artifact", "stated", "claim"]
    file: str
    digest: str
    source: str = ""  # cache key; of a claim only

    @property
    def text(self) -> str:
        """As it is stored: the kind, and the source of a claim."""
        return f"{self.kind} {self.source}" if self.source else self.kind


class Broken(msgspec.Struct, frozen=True):
    """The reason why an artifact's metadata is unusable."""

    reason: str


class Cache:
    """The index cache in a folder, to be closed at the end of the run. Thread-safe."""

    def __init__(self, folder: Path, progress: Progress, *, now: int, largest: int = eviction.LARGEST) -> None:
        """`now` is in seconds since the epoch. A run that writes also keeps the file below `largest` bytes."""
        self._today = now // DAY
        self._database = Database(
            folder / FILE, _SCHEMA, _FORMAT, progress, lambda connection: eviction.shrink(connection, largest)
        )
        self._view = msgspec.msgpack.Decoder(View)
        self._listing = msgspec.msgpack.Decoder(Listing)
        self._metadata = msgspec.msgpack.Decoder(Metadata)
        self._answers = msgspec.msgpack.Decoder(dict[str, Answer])

    def flush(self) -> None:
        """Wait until everything saved so far is in the file."""
        self._database.flush()

    def close(self) -> None:
        """Execute all queued writes, and close the file. Later look-ups find nothing, and later writes are dropped."""
        self._database.close()

    def page(self, source: str, project: str) -> PageState | None:
        row = self._database.one(
            "SELECT generation, etag, modified, fetched_at, max_age, used FROM pages WHERE source = ? AND project = ?",
            (source, project),
        )
        if row is None:
            return None
        self._use_page(source, project, row[5])
        return PageState(*row[:5])

    def save_page(self, source: str, project: str, state: PageState, listing: Listing | None = None) -> None:
        """Save a page. Without a listing only its state changes: its content is unchanged, or there is none."""
        statements: list[Statement] = [
            (
                "INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (source, project, *msgspec.structs.astuple(state), self._today),
            )
        ]
        if listing is not None:
            data = msgspec.msgpack.encode(listing)
            statements.append(("INSERT OR REPLACE INTO listings VALUES (?, ?, ?)", (source, project, data)))
        self._database.write(*statements)

    def listing(self, source: str, project: str) -> Listing | None:
        """Every file of the project, whatever the page's age."""
        row = self._database.one("SELECT data FROM listings WHERE source = ? AND project = ?", (source, project))
        return self._decode(self._listing, row[0]) if row else None

    def view(self, source: str, project: str, tags: str) -> tuple[PageState, View | None] | None:
        """The state of a page, and its view for those tags if one is cached for this content."""
        row = self._database.one(
            "SELECT p.generation, p.etag, p.modified, p.fetched_at, p.max_age, v.data, p.used"
            " FROM pages p LEFT JOIN views v"
            " ON v.source = p.source AND v.project = p.project AND v.tags = ? AND v.generation = p.generation"
            " WHERE p.source = ? AND p.project = ?",
            (tags, source, project),
        )
        if row is None:
            return None
        self._use_page(source, project, row[6])
        return PageState(*row[:5]), None if row[5] is None else self._decode(self._view, row[5])

    def save_view(self, source: str, tags: str, generation: str, view: View) -> None:
        data = msgspec.msgpack.encode(view)
        row = (source, view.name, tags, generation, data)
        self._database.write(("INSERT OR REPLACE INTO views VALUES (?, ?, ?, ?, ?)", row))

    def metadata(self, proof: Proof) -> Metadata | Broken | None:
        """The metadata that a proof shows, if it is known."""
        key = (proof.digest, proof.file, proof.text)
        row = self._database.one(_FIND_METADATA, key)
        if row is None:
            return None
        if row[2] != self._today:
            self._database.write((_USE_METADATA, (self._today, *key)))
        return Broken(row[1]) if row[1] is not None else self._decode(self._metadata, row[0])

    def save_metadata(self, proof: Proof, metadata: Metadata | Broken) -> None:
        """Save metadata with its proof. What was read from the verified file replaces all claims about it."""
        reason = metadata.reason if isinstance(metadata, Broken) else None
        data = None if reason is not None else msgspec.msgpack.encode(metadata)
        row = (proof.digest, proof.file, proof.text, data, reason, self._today)
        statements: list[Statement] = [("INSERT OR REPLACE INTO metadata VALUES (?, ?, ?, ?, ?, ?)", row)]
        if proof.kind == "artifact":
            statements.insert(0, (_DROP_CLAIMS, (proof.digest, proof.file)))
        self._database.write(*statements)

    def digest(self, source: str, project: str, file: str, generation: str) -> tuple[str, int] | None:
        """The sha256 and size of a file whose page does not state them, determined for that content of the page."""
        row = self._database.one(
            "SELECT sha256, size FROM digests WHERE source = ? AND project = ? AND file = ? AND generation = ?",
            (source, project, file, generation),
        )
        return (row[0], row[1]) if row else None

    def save_digest(self, source: str, project: str, file: str, generation: str, sha256: str, size: int) -> None:
        row = (source, project, file, generation, sha256, size)
        self._database.write(("INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?, ?)", row))

    def answers(self, environment: str) -> dict[str, Answer]:
        """The values of markers in that marker environment, as a new dict."""
        row = self._database.one("SELECT data FROM answers WHERE environment = ?", (environment,))
        return (self._decode(self._answers, row[0]) if row else None) or {}

    def save_answers(self, environment: str, answers: Mapping[str, Answer], *, replace: bool = False) -> None:
        """Add values of markers, or replace all. If two processes do this at once, one may lose its values."""
        data = msgspec.msgpack.encode(dict(answers) if replace else self.answers(environment) | dict(answers))
        self._database.write(("INSERT OR REPLACE INTO answers VALUES (?, ?)", (environment, data)))

    def projects(self, sources: Iterable[str]) -> list[str]:
        """The names of all projects that one of these sources is known to have."""
        self.flush()
        found: set[str] = set()
        for source in sources:
            statement = "SELECT project FROM pages WHERE source = ? AND generation <> '' AND project <> ''"
            found.update(row[0] for row in self._database.all(statement, (source,)))
        return sorted(found)

    def usage(self) -> CacheUsage:
        """The contents of the cache, as counts and a size."""
        return self._database.run(eviction.usage) or CacheUsage()

    def evict(self, before: float, *, dry_run: bool = False) -> CacheUsage:
        """Remove entries last used on a day before `before` (seconds since 1970). Returns their counts and size."""
        day = int(before // DAY)
        return self._database.run(lambda connection: eviction.evict(connection, day, dry_run=dry_run)) or CacheUsage()

    def _use_page(self, source: str, project: str, used: int) -> None:
        """Record the day of use, once a day, so that most runs only read."""
        if used != self._today:
            values = (self._today, source, project)
            self._database.write(("UPDATE pages SET used = ? WHERE source = ? AND project = ?", values))

    def _decode(self, decoder: msgspec.msgpack.Decoder[Any], data: object) -> Any:
        """A stored value, or None if it cannot be decoded."""
        try:
            return decoder.decode(data)  # type: ignore[arg-type]
        except malformed(TypeError):
            return None
