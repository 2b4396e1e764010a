"""What a store says: of one object (its index), of one environment (its record), of one step (its pointer).

These are the JSON documents of DESIGN section 5; their schemas stand in ``schemas/``.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Literal

import msgspec

from envc.model.digest import Sha256, sha256

if TYPE_CHECKING:
    from envc.model.environment import EnvironmentMember

OBJECT_FORMAT = 1
RECORD_FORMAT = 1
CARD_FORMAT = 1
RECORD_PATH = ".envc/record.json"  # in a prefix and in a bundle: the record it was made from
CARD_PATH = ".envc/step.json"  # in a bundle: its StepCard
CODE_FOLDER = ".envc/code"  # in a bundle: the step's code
MTIME = 315532800  # 1980-01-01T00:00:00Z: the time of wheels' and generated files, the earliest that a zip file can say


class Member(msgspec.Struct, frozen=True, order=True, gc=False):
    """One entry of an object's tree."""

    path: str  # relative to the prefix, POSIX separators, no "." or ".." parts
    type: Literal["file", "link"] = "file"
    mode: int = 0o644  # 0o644 or 0o755; 0o777 for links
    size: int = 0  # bytes; 0 for links
    sha256: str = ""  # of the content; "" for links
    link: str = ""  # target of a symbolic link, relative, never leaving the prefix
    mtime: int = MTIME  # seconds since the epoch; no part of the content digest


_path = attrgetter("path")


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One zstd frame of an object."""

    offset: int  # bytes from the start of the object
    length: int  # bytes, compressed
    raw: int  # bytes of tar it holds
    sha256: Sha256  # of the compressed bytes, checked before they are decompressed
    path: str = ""  # for a continued member: which one goes on at the start of this frame
    at: int = 0  # for a continued member: offset of this frame's first byte in its content
    mode: int = 0  # for a continued member: its mode


class ObjectIndex(msgspec.Struct, frozen=True, kw_only=True):
    """The index at the end of an object."""

    format: int = OBJECT_FORMAT
    artifact: Sha256
    layout: str
    frames: tuple[Frame, ...]  # in the order of the bytes
    members: tuple[Member, ...]  # sorted by path

    @property
    def content(self) -> Sha256:
        """The content digest of the tree, whatever frames hold it."""
        return content_digest(self.members)

    @property
    def bytes_digest(self) -> Sha256:
        """`bytes_digest` of this object."""
        return bytes_digest(self.content, self.frames)


def content_digest(members: tuple[Member, ...]) -> Sha256:
    """The digest of a tree: sha256 over canonical JSON of its members sorted by path, whatever compressed it."""
    rows = [[m.path, m.mode, m.type, m.link, m.size, m.sha256] for m in sorted(members, key=_path)]
    return sha256(msgspec.json.encode(rows))


def bytes_digest(content: Sha256, frames: tuple[Frame, ...]) -> Sha256:
    """Names a tree as particular frames hold it: sha256 over JSON of its content digest and theirs.

    Frames decide every byte, times included, and whether they hold that content is decided with them. So what one
    reader found in an object of this name any other would find, whatever somebody else claims of the content.
    """
    return sha256(msgspec.json.encode([content, [frame.sha256 for frame in frames]]))


class RecordObject(msgspec.Struct, frozen=True, kw_only=True):
    """One object of an environment, with all that hydrate needs to load it without asking for its index."""

    kind: str
    name: str
    version: str
    file: str
    content: Sha256
    size: int  # bytes of the whole object in the store
    index: ObjectIndex

    @classmethod
    def of_member(cls, member: EnvironmentMember, index: ObjectIndex, size: int) -> RecordObject:
        """The object of a member of an environment, of that size in the store."""
        return cls(
            kind=member.kind,
            name=member.name,
            version=member.version,
            file=member.file,
            content=index.content,
            size=size,
            index=index,
        )


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a store says about one environment. Its digest is the sha256 of its uncompressed canonical JSON."""

    format: int = RECORD_FORMAT
    environment: Sha256  # environment id
    platform: str
    python: str  # Python.key: "cp312"
    interpreter: str
    objects: tuple[RecordObject, ...]  # sorted by kind, name
    winners: dict[str, Sha256] = {}  # contested path: artifact whose member is written; the others' are skipped
    made: tuple[str, ...] = ()  # paths that hydrate makes or rewrites, sorted
    requirements: dict[str, str] = {}  # what the machine must offer: {"glibc": "2.28"}


class StepPointer(msgspec.Struct, frozen=True, kw_only=True):
    """What one step on one target runs in, for one lock."""

    environment: Sha256
    record: Sha256  # digest of the record
    code: Sha256 | None = None  # content digest of the code package
    code_object: Sha256 | None = None  # sha256 of the code package's bytes
    run: str | None = None
    env: dict[str, str] = {}


class StepCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a single-file bundle says of its step: ``.envc/step.json``. The record stands beside it."""

    format: int = CARD_FORMAT
    project: str
    step: str
    target: str  # target name
    python: str  # Python.text: the minor, and the patch release where the manifest names one
    lock: Sha256  # digest of the lock file that it was bundled by
    record: Sha256  # digest of the record
    code: Sha256 | None = None  # content digest of the code, its paths taken from ``.envc/code``
    run: str | None = None
    env: dict[str, str] = {}
    # What the target declares beyond the defaults: {"cuda": "12.4"}. Left out where it declares nothing, as in cards
    # from before there were floors, so that equal inputs still give equal bytes.
    floors: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
