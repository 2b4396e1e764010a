"""The JSON documents of a store: the index of an object, the record of an environment, the pointer of a step.

``compiler/FORMAT.md`` describes them; their schemas are in ``schemas/``.
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
RECORD_PATH = ".envc/record.json"  # in a prefix and in a bundle: the record that it was made from
CARD_PATH = ".envc/step.json"  # in a bundle: its StepCard
CODE_FOLDER = ".envc/code"  # in a bundle: the step's code
MTIME = 315532800  # 1980-01-01T00:00:00Z, the earliest in a zip file: the time of wheels' and generated files


class Member(msgspec.Struct, frozen=True, order=True, gc=False):
    """One entry of an object's tree."""

    path: str  # relative to the prefix, POSIX separators, no "." or ".." parts
    type: Literal["file", "link"] = "file"
    mode: int = 0o644  # 0o644 or 0o755; 0o777 for links
    size: int = 0  # bytes; 0 for links
    sha256: str = ""  # of the content; "" for links
    link: str = ""  # target of a symbolic link, relative, never leaving the prefix
    mtime: int = MTIME  # seconds since the epoch; not part of the content digest


_path = attrgetter("path")


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One zstd frame of an object."""

    offset: int  # bytes from the start of the object
    length: int  # bytes, compressed
    raw: int  # bytes of tar, decompressed
    sha256: Sha256  # of the compressed bytes, checked before they are decompressed
    path: str = ""  # of the member that continues at the start of this frame, if one does
    at: int = 0  # of a continued member: offset of this frame's first byte in its content
    mode: int = 0  # of a continued member


class ObjectIndex(msgspec.Struct, frozen=True, kw_only=True):
    """The index at the end of an object."""

    format: int = OBJECT_FORMAT
    artifact: Sha256
    layout: str
    frames: tuple[Frame, ...]  # in the order of the bytes
    members: tuple[Member, ...]  # sorted by path

    @property
    def content(self) -> Sha256:
        """The content digest of the tree. It does not depend on the frames."""
        return content_digest(self.members)

    @property
    def bytes_digest(self) -> Sha256:
        """The result of the function `bytes_digest` for this object."""
        return bytes_digest(self.content, self.frames)


def content_digest(members: tuple[Member, ...]) -> Sha256:
    """The digest of a tree: sha256 over canonical JSON of its members sorted by path. Compression has no effect."""
    rows = [[m.path, m.mode, m.type, m.link, m.size, m.sha256] for m in sorted(members, key=_path)]
    return sha256(msgspec.json.encode(rows))


def bytes_digest(content: Sha256, frames: tuple[Frame, ...]) -> Sha256:
    """The digest of a tree in particular frames: sha256 over JSON of its content digest and theirs.

    The frames determine every byte, times included, and therefore whether the stated content is true. Once one reader
    has verified an object with this digest, the result holds for every reader, even if a store is hostile.
    """
    return sha256(msgspec.json.encode([content, [frame.sha256 for frame in frames]]))


class RecordObject(msgspec.Struct, frozen=True, kw_only=True):
    """One object of an environment, with its index, so that hydrate need not fetch it."""

    kind: str  # an ArtifactKind, but untrusted: hydrate compares it with the lock
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
    """The contents of one environment. Its digest is the sha256 of its uncompressed canonical JSON."""

    format: int = RECORD_FORMAT
    environment: Sha256  # environment id
    platform: str
    python: str  # Python.key: "cp312"
    interpreter: str  # an InterpreterKind, but untrusted: `record_rules` checks it after decoding
    objects: tuple[RecordObject, ...]  # sorted by kind, name
    winners: dict[str, Sha256] = {}  # by contested path: the artifact whose file is written
    made: tuple[str, ...] = ()  # paths that hydrate creates or rewrites, sorted
    requirements: dict[str, str] = {}  # floors that the machine must meet: {"glibc": "2.28"}


class StepPointer(msgspec.Struct, frozen=True, kw_only=True):
    """The environment and code of one step on one target, for one lock."""

    environment: Sha256
    record: Sha256  # digest of the record
    code: Sha256 | None = None  # content digest of the code package
    code_object: Sha256 | None = None  # sha256 of the code package's bytes
    run: str | None = None
    env: dict[str, str] = {}
    shell: bool | msgspec.UnsetType = msgspec.UNSET  # True if a shell runs `run`; left out if it is words


class StepCard(msgspec.Struct, frozen=True, kw_only=True):
    """The step of a single-file bundle: ``.envc/step.json``, beside the record."""

    format: int = CARD_FORMAT
    project: str
    step: str
    target: str  # target name
    python: str  # Python.text: the minor, and the patch release if the manifest names one
    # The oldest patch release that the packages hold for: "3.9.2". Left out if it is the first one.
    python_from: str | msgspec.UnsetType = msgspec.UNSET
    lock: Sha256  # digest of the lock file that it was bundled from
    record: Sha256  # digest of the record
    code: Sha256 | None = None  # content digest of the code, with paths relative to ``.envc/code``
    run: str | None = None
    env: dict[str, str] = {}
    shell: bool | msgspec.UnsetType = msgspec.UNSET  # as in StepPointer
    # The floors that the target declares beyond the defaults: {"cuda": "12.4"}. Left out if there are none, as in cards
    # of versions without floors, so that equal inputs still give equal bytes.
    floors: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
