"""Reads the members of an object from its bytes. No member is returned before its whole frame has been checked.

The chain of trust: the index is trusted because a trusted digest covers it (that of the record), or because the result
is compared with a content digest. The index states the sha256 of each frame, which is checked before decompression. It
also determines the whole tar stream except the contents, so headers are compared instead of parsed, and no two readers
can see different trees.

For a caller that trusts the whole index, the frame digests prove every byte. A caller that trusts only the members,
because their content digest came from elsewhere, has the contents compared with the members as well.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

from envc.model.digest import sha256
from envc.model.record import Member, ObjectIndex
from envc.shipping.format.errors import CorruptBlob
from envc.shipping.format.frames import Buffer, decompress
from envc.shipping.format.object_index import ReadRange, check_index
from envc.shipping.format.spans import FRAME
from envc.shipping.format.tar import encode_header, padding


class Piece(NamedTuple):
    """Bytes of one member: all of its content, or one slice of a member that is larger than a frame."""

    member: Member
    at: int  # offset of `data` in the content
    data: memoryview  # read-only; empty for links

    @property
    def is_whole(self) -> bool:
        """Whether this is the whole content. A reader that compares contents has then compared it already."""
        return len(self.data) == self.member.size


class ObjectReader:
    """Reads the frames of one object, in any order and from any number of threads."""

    __slots__ = ("_spans", "contents", "index", "what")

    def __init__(self, index: ObjectIndex, what: str | None = None, *, contents: bool = True) -> None:
        """With `contents`, each content is compared with its member's digest; otherwise only frames are checked.

        Raises CorruptBlob unless `object_index.check_index` accepts the index.
        """
        self.what = what or f"object {index.artifact[:12]} ({index.layout})"
        self.index = index
        self.contents = contents
        self._spans = check_index(index, self.what)

    def frames_of(self, path: str) -> list[int]:
        """The numbers of the frames that contain a member, in order; empty if there is no such member."""
        members = self.index.members
        at = bisect_left(members, path, key=lambda member: member.path)
        if at == len(members) or members[at].path != path:
            return []
        return [number for number, span in enumerate(self._spans) if span.first <= at < span.stop]

    def pieces(self, number: int, compressed: Buffer) -> list[Piece]:
        """The members, or the slice of one, in frame `number`, in the order of the tree.

        Raises CorruptBlob unless the bytes are exactly that frame. A slice is proven only by the digest of its frame. A
        caller that compares contents must compare the sha256 of the whole member after writing its last slice.
        """
        frame = self.index.frames[number]
        if sha256(compressed) != frame.sha256:
            raise CorruptBlob(self.what, f"frame {number} does not match its digest")
        tar = decompress(compressed, self.what, raw=frame.raw, limit=FRAME, proven=True)
        view = memoryview(tar)
        span = self._spans[number]
        found: list[Piece] = []
        position = 0
        for member in self.index.members[span.first : span.stop]:
            size = member.size
            if not span.at:
                header = encode_header(member)
                if not tar.startswith(header, position):
                    raise CorruptBlob(self.what, f"the header of {member.path!r} does not match the index")
                position += len(header)
            data = view[position : position + size - span.at]
            position += len(data)
            if self.contents and len(data) == size and member.type == "file" and sha256(data) != member.sha256:
                raise CorruptBlob(self.what, f"{member.path!r} does not match its digest")
            if span.at + len(data) == size and (rest := padding(size)):
                if not tar.startswith(bytes(rest), position):
                    raise CorruptBlob(self.what, f"the padding after {member.path!r} is not empty")
                position += rest
            found.append(Piece(member, span.at, data))
        return found


def read_member(index: ObjectIndex, read_range: ReadRange, path: str, what: str | None = None) -> bytes:
    """The checked content of one file of an object. Only the frames that contain it are read.

    Raises CorruptBlob, also if the object has no such file.
    """
    reader = ObjectReader(index, what)
    content = b"".join(
        piece.data
        for number in reader.frames_of(path)
        for piece in reader.pieces(number, read_range(index.frames[number].offset, index.frames[number].length))
        if piece.member.path == path
    )
    expected = next((member.sha256 for member in index.members if member.path == path), "")
    if sha256(content) != expected:
        raise CorruptBlob(reader.what, f"has no {path!r} that matches its digest")
    return content


def read_object(index: ObjectIndex, read_range: ReadRange, what: str | None = None) -> Iterator[Piece]:
    """All pieces of an object in the order of the tree, checked down to the digest of every member.

    Raises CorruptBlob. For a member larger than a frame, its first slices may have been yielded before.
    """
    reader = ObjectReader(index, what)
    running = hashlib.sha256()
    for number, frame in enumerate(index.frames):
        for piece in reader.pieces(number, read_range(frame.offset, frame.length)):
            if not piece.is_whole:
                if not piece.at:
                    running = hashlib.sha256()
                running.update(piece.data)
                ends = piece.at + len(piece.data) == piece.member.size
                if ends and running.hexdigest() != piece.member.sha256:
                    raise CorruptBlob(reader.what, f"{piece.member.path!r} does not match its digest")
            yield piece
