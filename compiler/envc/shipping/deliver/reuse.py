"""reuse: decides which objects of a store are used as they are, without their artifacts.

It is separate from `derive`, because a bundle with nothing new needs none of the readers of archives.
"""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter
from pathlib import Path

import msgspec

from envc.model.digest import Sha256, parse_sha256
from envc.model.environment import EnvironmentMember
from envc.model.progress import Progress
from envc.model.record import Member
from envc.shipping.deliver.stated_metadata import Stated, Use
from envc.shipping.format.decode import read_member
from envc.shipping.format.errors import CorruptBlob, MissingBlob
from envc.shipping.store.blobs import Blobs
from envc.shipping.store.keys import object_key
from envc.shipping.store.objects import StoredObject, get_object, range_reader, verify_object
from envc.shipping.unpack.layout import parse_layout
from envc.system.atomic_file import write_file
from envc_solvers.errors import MetadataUnusable

_DOUBTED = "doubted"
_STATED_FOLDER = "metadata"  # beside the layouts
_STATED = msgspec.json.Decoder(Stated)

# Raise this when artifacts unpack to other contents than before. The objects that this machine made by the older rules
# are then derived again and replaced, except those whose content a lock demands.
_RULES = 2
_LAX = f"{_RULES} lax"  # the same, of a wheel whose RECORD is not as it should be


class Ledger:
    """The objects that this machine has made itself, or has compared completely with its own result.

    It stores their `bytes_digest` by artifact and layout, with the rules they were derived by, and what METADATA states
    by its digest. A lost entry costs only time. A `strict` one does not know the objects of wheels whose RECORD is not
    as it should be.
    """

    def __init__(self, folder: Path, *, strict: bool = False) -> None:
        self._folder = folder
        self._doubted: set[tuple[str, Sha256]] = set()  # where the folder cannot be written
        self.is_strict = strict

    def get(self, layout: str, artifact: Sha256) -> Sha256 | None:
        """The `bytes_digest` of the object, if known."""
        if (layout, artifact) in self._doubted:
            return None
        try:
            made, _, rules = self._path(layout, artifact).read_text().partition(" ")
            is_known = rules == str(_RULES) or (rules == _LAX and not self.is_strict)
            return parse_sha256(made) if is_known else None
        except (OSError, ValueError):
            return None

    def put(self, layout: str, artifact: Sha256, made: Sha256, *, lax: bool = False) -> None:
        self._doubted.discard((layout, artifact))
        self._write(layout, artifact, f"{made} {_LAX if lax else _RULES}")

    def mark_doubtful(self, layout: str, artifact: Sha256) -> None:
        """Mark an object as doubtful. The next `pack` derives it again, and replaces the object in the store unless all
        of its bytes match its index.
        """
        if not self._write(layout, artifact, _DOUBTED):
            self._doubted.add((layout, artifact))

    def is_doubtful(self, layout: str, artifact: Sha256) -> bool:
        """Whether the object in the store was found corrupt, and has not been derived again since."""
        if (layout, artifact) in self._doubted:
            return True
        try:
            return self._path(layout, artifact).read_text() == _DOUBTED
        except (OSError, ValueError):
            return False

    def stated(self, metadata: Sha256) -> Stated | None:
        """What the METADATA with that sha256 states, if known."""
        try:
            return _STATED.decode(self._path(_STATED_FOLDER, metadata).read_bytes())
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def put_stated(self, metadata: Sha256, stated: Stated) -> None:
        self._write(_STATED_FOLDER, metadata, msgspec.json.encode(stated).decode())

    def _write(self, layout: str, artifact: Sha256, text: str) -> bool:
        """Write an entry. Returns whether that was possible."""
        path = self._path(layout, artifact)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, text.encode())
        except OSError:
            return False
        return True

    def _path(self, layout: str, artifact: Sha256) -> Path:
        return self._folder / layout / artifact[:2] / artifact


def find_object(store: Blobs, member: EnvironmentMember, progress: Progress) -> StoredObject | None:
    """The object of a member in the store. An object with a broken index is removed, with a warning."""
    try:
        return get_object(store, artifact=member.sha256, layout=member.layout)
    except MissingBlob:
        return None
    except CorruptBlob as error:
        progress.warn(f"the object of {member.file} is made again: {error}")
        store.delete(object_key(member.layout, member.sha256))
        return None


def is_trusted(
    stored: StoredObject, member: EnvironmentMember, ledger: Ledger, *, trust_store: bool, rederive: bool = False
) -> bool:
    """Whether an object may be used without deriving it in this run.

    If the lock demands a content digest, that digest decides. Otherwise the ledger or `trust_store` decides; with
    `rederive`, no object is trusted. An object that was found corrupt is never trusted, since its content digest comes
    from its index. The ledger identifies exactly these frames, because hydrate compares contents only if a lock demands
    them.
    """
    needs_proof = ledger.is_strict and member.kind == "pypi"  # that its RECORD was as it should be
    if needs_proof and stored.index.bytes_digest != ledger.get(member.layout, member.sha256):
        return False
    if member.content is None and not trust_store:
        # The ledger has no digest of a doubtful object.
        return not rederive and stored.index.bytes_digest == ledger.get(member.layout, member.sha256)
    if ledger.is_doubtful(member.layout, member.sha256):
        return False
    return stored.index.content == member.content if member.content is not None else not rederive


def is_intact(store: Blobs, stored: StoredObject) -> bool:
    """Whether all bytes of an object match its index. Reads the whole object."""
    try:
        verify_object(store, stored)
    except CorruptBlob:
        return False  # `derive` says what is wrong with it
    return True


def is_as_locked(store: Blobs, stored: StoredObject, uses: tuple[Use, ...], ledger: Ledger, progress: Progress) -> bool:
    """Whether an object can be compared with what the lock says of its artifact. A damaged one has to be derived again.

    Raises MetadataMismatch if it states something else.
    """
    member = uses[0].member
    if member.kind != "pypi":
        return True
    try:
        stated = _stated_by(store, stored, member, ledger)
    except CorruptBlob as error:
        progress.warn(f"the object of {member.file} is made again: {error}")
        return False
    for use in uses:
        use.check(stated)
    return True


def _stated_by(store: Blobs, stored: StoredObject, member: EnvironmentMember, ledger: Ledger) -> Stated:
    """What a wheel in the store states in its METADATA. Raises CorruptBlob, and the errors of reading a store."""
    what = f"the object of {member.file} in {store.name}"
    own = metadata_member(stored.index.members, member)
    if own is None:
        raise CorruptBlob(what, "contains no METADATA of its own")
    digest = parse_sha256(own.sha256)
    known = ledger.stated(digest)
    if known is not None:
        return known
    from envc.fetch.pypi.metadata import parse_metadata  # rarely needed, and loads the reader of wheels

    try:
        data = read_member(stored.index, range_reader(store, stored.key), own.path, what)
        stated = Stated.of(parse_metadata(member.file, data))
    except MetadataUnusable as error:
        raise CorruptBlob(what, error.reason) from None
    ledger.put_stated(digest, stated)
    return stated


_path = attrgetter("path")


def metadata_member(members: tuple[Member, ...], member: EnvironmentMember) -> Member | None:
    """The METADATA of the wheel itself, and not of a package that it carries along."""
    start, end = f"{parse_layout(member.layout).site}/", ".dist-info/METADATA"
    # Most wheels spell the folder as their file name, and members are sorted by path.
    usual = f"{start}{'-'.join(member.file.split('-', 2)[:2])}{end}"
    at = bisect_left(members, usual, key=_path)
    if at < len(members) and members[at].path == usual:
        return members[at] if not members[at].link else None
    depth = start.count("/") + 1
    found = [
        each
        for each in members
        if each.path.endswith(end) and each.path.startswith(start) and each.path.count("/") == depth
    ]
    return found[0] if len(found) == 1 and not found[0].link else None
