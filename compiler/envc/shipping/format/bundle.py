"""A bundle: a single file of concatenated objects, which any program that reads zstd-compressed tar can unpack.

No object is encoded again. Objects contain no end-of-archive marker, so their tar streams join into one. The last
frame contains the marker. Between the tar streams are the indexes, in skippable frames that decompressors ignore.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

import msgspec

from envc.model.digest import Sha256, parse_sha256
from envc.model.record import ObjectIndex
from envc.shipping.format.decode import read_object
from envc.shipping.format.documents import canonical_json, decode_json
from envc.shipping.format.errors import CorruptBlob
from envc.shipping.format.frames import compress, decompress
from envc.shipping.format.object_index import ReadRange, encode_trailer, read_index, read_trailer
from envc.shipping.format.paths import ENVIRONMENT_LAYOUT, check_layout
from envc.shipping.format.tar import END
from envc.system.buffers import Owned

Write = Callable[[bytes], object]  # writes all of the bytes, or raises

BUNDLE_FORMAT = 1


class BundlePart(msgspec.Struct, frozen=True):
    """An object in a bundle."""

    artifact: Sha256
    layout: str
    offset: int  # bytes from the start of the bundle
    length: int  # bytes, index included


class BundleIndex(msgspec.Struct, frozen=True, kw_only=True):
    """The index at the end of a bundle."""

    format: int = BUNDLE_FORMAT
    parts: tuple[BundlePart, ...]  # in the order of the bytes; the last one is the environment object


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """An object to be written into a bundle."""

    index: ObjectIndex
    size: int  # bytes, index included
    read_range: ReadRange
    what: str  # its name in errors


def write_bundle(objects: Iterable[Source], environment: Source, write: Write) -> BundleIndex:
    """Write a bundle of objects, in the given order, followed by the environment's own files.

    If two objects contain the same path, `tar` keeps the member of the later one, so the winner must come last. Every
    object is verified down to the digest of its last member, because programs that unpack the bundle check nothing. The
    next item of `objects` is requested when the previous one has been written. Raises CorruptBlob if an object does
    not match its index, and whatever reading and writing raise; the output is then unusable.
    """
    if environment.index.layout != ENVIRONMENT_LAYOUT:
        raise ValueError(f"a bundle ends with an environment object, not with one of layout {environment.index.layout}")
    parts: list[BundlePart] = []
    position = 0
    for source in chain(objects, (environment,)):
        _copy(source, write)
        parts.append(BundlePart(source.index.artifact, source.index.layout, position, source.size))
        position += source.size
    end = compress(END, 1)
    index = BundleIndex(parts=tuple(parts))
    write(end + encode_trailer(index, position + len(end)))
    return index


def _copy(source: Source, write: Write) -> None:
    """Copy the bytes of one object and check them: the frames, and the trailer, which must repeat the index."""

    def read_and_write(offset: int, length: int) -> bytes:
        data = bytes(source.read_range(offset, length))  # immutable while it is being written
        write(data)
        return data

    for _ in read_object(source.index, read_and_write, source.what):
        pass
    end = check_trailer(source.index, source.size, source.read_range, source.what)
    write(bytes(source.read_range(end, source.size - end)))


def check_trailer(index: ObjectIndex, size: int, read_range: ReadRange, what: str) -> int:
    """The offset at which the trailer of an object of `size` bytes starts. Raises CorruptBlob unless the trailer is
    that index and follows the frames directly: a program that decompresses everything would read bytes between them.
    """
    text, start = read_trailer(size, read_range, what)
    if start != sum(frame.length for frame in index.frames) or text != canonical_json(index):
        raise CorruptBlob(what, "contains an index that differs from the record")
    return start


def read_bundle(size: int, read_range: ReadRange, what: str) -> BundleIndex:
    """The index of a bundle of `size` bytes. Raises CorruptBlob unless the file consists of its parts and its end.

    Each part is then read like any object, with `read_part` and `part_reader`.
    """
    text, start = read_trailer(size, read_range, what)
    index = decode_json(text, BundleIndex, what)
    try:
        position = _check(index)
    except ValueError as error:
        raise CorruptBlob(what, f"its index cannot be used ({error})") from None
    if position >= start or decompress(read_range(position, start - position), what, limit=len(END)) != END:
        raise CorruptBlob(what, "its tar stream does not end where its index starts")
    return index


def part_reader(part: BundlePart, read_range: ReadRange) -> ReadRange:
    """Reads ranges of one object of a bundle. Offsets count from the start of the object."""

    def read(offset: int, length: int) -> Owned:
        if not 0 <= offset <= offset + length <= part.length:
            raise CorruptBlob(_what(part), "extends beyond its place in the bundle")
        return read_range(part.offset + offset, length)

    return read


def read_part(part: BundlePart, read_range: ReadRange) -> ObjectIndex:
    """The index of one object of a bundle. Raises CorruptBlob, also if it is not the object that the bundle lists."""
    index = read_index(part.length, part_reader(part, read_range), _what(part))
    if (index.artifact, index.layout) != (part.artifact, part.layout):
        raise CorruptBlob(_what(part), "is the object of another artifact or layout")
    return index


def _check(index: BundleIndex) -> int:
    """The offset after the last part. Raises ValueError unless the parts are contiguous from 0, the environment
    last.
    """
    if index.format != BUNDLE_FORMAT:
        raise ValueError(f"bundle format {index.format}; this envc reads {BUNDLE_FORMAT}")
    layouts = [check_layout(part.layout) for part in index.parts]
    if ENVIRONMENT_LAYOUT in layouts[:-1] or layouts[-1:] != [ENVIRONMENT_LAYOUT]:
        raise ValueError("its environment object is not the last one")
    if len({(part.artifact, part.layout) for part in index.parts}) != len(index.parts):
        raise ValueError("it contains an object twice")
    position = 0
    for part in index.parts:
        parse_sha256(part.artifact)
        if part.offset != position or part.length <= 0:
            raise ValueError("its objects are not contiguous")
        position += part.length
    return position


def _what(part: BundlePart) -> str:
    return f"object {part.artifact[:12]} ({part.layout})"
