"""Tar archives made byte by byte, valid or not."""

from __future__ import annotations

BLOCK = 512
END = bytes(2 * BLOCK)
POSIX, GNU, V7 = b"ustar\x0000", b"ustar  \0", bytes(8)


def header(
    name: bytes = b"a",
    *,
    kind: bytes = b"0",
    size: int | bytes = 0,
    link: bytes = b"",
    magic: bytes = POSIX,
    prefix: bytes = b"",
    **fields: bytes,
) -> bytes:
    """Return one header with a valid checksum. `fields` replaces the bytes of a field, up to its width.

    Their names are mode, uid, gid, mtime, checksum, major, minor, padding, and "at_345" for any other offset.
    """
    stated = size if isinstance(size, bytes) else b"%011o\0" % size
    block = bytearray(BLOCK)
    places = {
        "mode": 100,
        "uid": 108,
        "gid": 116,
        "mtime": 136,
        "uname": 265,
        "gname": 297,
        "major": 329,
        "minor": 337,
        "padding": 500,
    }
    standard = {"mode": b"0000644\0", "uid": b"0000000\0", "gid": b"0000000\0", "mtime": b"14524737400\0"}
    for at, value in ((0, name), (124, stated), (156, kind), (157, link), (257, magic), (345, prefix)):
        block[at : at + len(value)] = value
    for field, value in (standard | fields).items():
        if field != "checksum":
            at = places.get(field) or int(field.removeprefix("at_"))
            block[at : at + len(value)] = value
    block[148:156] = b" " * 8
    checksum = fields.get("checksum", b"%06o\0 " % sum(block))
    block[148 : 148 + len(checksum)] = checksum
    assert len(block) == BLOCK
    return bytes(block)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)


def member(name: bytes = b"a", content: bytes = b"", *, size: int | bytes | None = None, **more: bytes) -> bytes:
    """Return a header with its content; `size` replaces the size that the header states."""
    return header(name, size=len(content) if size is None else size, **more) + padded(content)


def record(keyword: bytes, value: bytes) -> bytes:
    """Return a pax record."""
    rest = len(keyword) + len(value) + 3
    size = rest + len(str(rest))
    size = rest + len(str(size))
    return b"%d %s=%s\n" % (size, keyword, value)


def pax(*records: bytes | tuple[bytes, bytes], kind: bytes = b"x", **more: bytes) -> bytes:
    """Return an extended header of records, each as keyword and value or as its bytes."""
    content = b"".join(each if isinstance(each, bytes) else record(*each) for each in records)
    return member(b"PaxHeaders/a", content, kind=kind, **more)


def long_name(name: bytes, kind: bytes = b"L", *, magic: bytes = GNU, end: bytes = b"\0") -> bytes:
    """Return GNU's header for a long name, or for a long link (K)."""
    return member(b"././@LongLink", name + end, kind=kind, magic=magic)
