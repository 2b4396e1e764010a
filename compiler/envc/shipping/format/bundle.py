"""A bundle: objects one after the other in a single file, readable by anything that reads zstd-compressed tar.

No object is encoded again. Objects hold no end-of-archive marker, so their tar streams join to one, which a last frame
ends; between them stand their indexes, in skippable frames that decompressors pass over.
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

Write = Callable[[bytes], object]  # takes all of the bytes, or raises

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
    """An object that goes into a bundle."""

    index: ObjectIndex
    size: int  # bytes, index included
    read_range: ReadRange
    what: str  # names it in errors


def write_bundle(objects: Iterable[Source], environment: Source, write: Write) -> BundleIndex:
    """Write a bundle of objects, in the order given, and of the environment's own files.

    Where two objects hold one path, `tar` keeps the later one's member: give the winner last. Every object is read to
    the digest of its last member, since programs that unpack the bundle check nothing; `objects` is asked for the next
    one when the one before has been written. Raises CorruptBlob when one is
    not what its index says, and what reading and writing raise; what was written until then is of no use.
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
    """The bytes of one object, checked on their way: frames, and the trailer that must repeat the index."""

    def passing(offset: int, length: int) -> bytes:
        data = bytes(source.read_range(offset, length))  # nobody may change what is being written
        write(data)
        return data

    for _ in read_object(source.index, passing, source.what):
        pass
    end = check_trailer(source.index, source.size, source.read_range, source.what)
    write(bytes(source.read_range(end, source.size - end)))


def check_trailer(index: ObjectIndex, size: int, read_range: ReadRange, what: str) -> int:
    """The offset where the trailer of an object of `size` bytes starts. Raises CorruptBlob unless it is that index,
    and nothing stands between the frames and it: a program that decompresses everything would read it, too.
    """
    text, start = read_trailer(size, read_range, what)
    if start != sum(frame.length for frame in index.frames) or text != canonical_json(index):
        raise CorruptBlob(what, "holds another index than the record")
    return start


def read_bundle(size: int, read_range: ReadRange, what: str) -> BundleIndex:
    """The index of a bundle of `size` bytes. Raises CorruptBlob unless its parts and its ends are the whole file.

    Each part is then read with `read_part` and `part_reader`, as any object.
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
    """Ranges of one object of a bundle, counted from its start."""

    def read(offset: int, length: int) -> Owned:
        if not 0 <= offset <= offset + length <= part.length:
            raise CorruptBlob(_what(part), "reaches beyond its place in the bundle")
        return read_range(part.offset + offset, length)

    return read


def read_part(part: BundlePart, read_range: ReadRange) -> ObjectIndex:
    """The index of one object of a bundle. Raises CorruptBlob, also when it is another object than the bundle says."""
    index = read_index(part.length, part_reader(part, read_range), _what(part))
    if (index.artifact, index.layout) != (part.artifact, part.layout):
        raise CorruptBlob(_what(part), "is the object of another artifact or layout")
    return index


def _check(index: BundleIndex) -> int:
    """The end of the last part. Raises ValueError unless the parts follow each other from 0, the environment last."""
    if index.format != BUNDLE_FORMAT:
        raise ValueError(f"bundle format {index.format}, this envc reads {BUNDLE_FORMAT}")
    layouts = [check_layout(part.layout) for part in index.parts]
    if ENVIRONMENT_LAYOUT in layouts[:-1] or layouts[-1:] != [ENVIRONMENT_LAYOUT]:
        raise ValueError("its environment object is not the last one")
    if len({(part.artifact, part.layout) for part in index.parts}) != len(index.parts):
        raise ValueError("it holds an object twice")
    position = 0
    for part in index.parts:
        parse_sha256(part.artifact)
        if part.offset != position or part.length <= 0:
            raise ValueError("its objects do not follow each other")
        position += part.length
    return position


def _what(part: BundlePart) -> str:
    return f"object {part.artifact[:12]} ({part.layout})"
