"""What a file becomes when the prefix that it was built for gives way to another one.

The standard library alone, for Python 3.7 and later: `relocate.sh` of a single-file bundle carries this very source.
Rules: conda's `conda.core.portability`, and rattler's `install/link.rs` where the two differ. In a text every
occurrence is replaced. In a binary each occurrence is the start of a C string, which keeps its length: what gets
shorter is filled up with NUL bytes behind it. Windows keeps its binaries, and its texts get forward slashes.
"""

from __future__ import annotations

import re

SHORTEST, LONGEST = 8, 4096  # characters of a placeholder
LINUX_LINE = 127  # bytes of a first line that Linux reads (before 5.1; `conda.common.path` and rattler say the same)
MACOS_LINE = 512
_BY_SHELL, _BY_PATH = b"#!/bin/sh\n'''exec' \"", b"#!/usr/bin/env "
LONG_FIRST_LINES = (_BY_SHELL, _BY_PATH)  # begin what takes the place of a first line that is too long
_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")  # as conda tries them on texts
_SHEBANG = re.compile(rb"#![ ]*(/(?:\\ |[^ \n\r\t])*)([^\n]*)")
_PYTHON = re.compile(rb"python(?:\d+(?:\.\d+)?)?")
_CHUNK = 1 << 24


class PrefixTooLong(ValueError):
    """A prefix has more bytes than the file has room for."""

    def __init__(self, room: int, length: int) -> None:
        super().__init__(room, length)
        self.room = room
        self.length = length


def spell_prefix(prefix: str, platform: str) -> str:
    """A prefix as files of that platform (``linux-64``) name it."""
    return prefix.replace("\\", "/") if platform.startswith("win-") else prefix


def check_placeholder(placeholder: str) -> None:
    """Raise ValueError for a text that stands for much that is no prefix, or for more than any prefix can."""
    if not SHORTEST <= len(placeholder) <= LONGEST or "\0" in placeholder:
        raise ValueError(f"the placeholder {placeholder[:40]!r} cannot stand for a prefix")


def is_rewritten(mode: str, platform: str) -> bool:
    """Whether the placeholder of a file is replaced at all."""
    return mode == "text" or (mode == "binary" and not platform.startswith("win-"))


def rewrite_text(data: bytes, old: str, new: str, platform: str) -> bytes:
    """The text with another prefix; its first line stays one that the system can read."""
    longest = {"linux": LINUX_LINE, "osx": MACOS_LINE}.get(platform.partition("-")[0])
    first = _SHEBANG.match(data) if longest else None
    for encoding in _ENCODINGS:
        data = data.replace(old.encode(encoding), new.encode(encoding))
    if first is None or longest is None or old.encode() not in first.group():
        return data
    line, newline, rest = data.partition(b"\n")
    # A blank would end the name of the program.
    if len(line) <= longest and " " not in new:
        return data
    plain = not set("\"'`$\\").intersection(new)
    return _long_first_line(*first.groups(), plain=plain).replace(old.encode(), new.encode()) + newline + rest


def _long_first_line(program: bytes, options: bytes, *, plain: bool) -> bytes:
    """What starts the program where its path is too long for the system, or holds a blank.

    Python is started by the shell under its full path, in lines that Python itself reads as a string; so its scripts
    run without its folder on PATH. Other programs are looked for on PATH; so is Python where its path is not `plain`
    text to a shell.
    """
    name = program.rpartition(b"/")[2]
    if plain and _PYTHON.fullmatch(name):
        return _BY_SHELL + program + b'"' + options + b' "$0" "$@" #' + b"'''"
    return _BY_PATH + name + options


def rewrite_binary(data, old: str, new: str):  # type: ignore[no-untyped-def]
    """The pieces of a binary with another prefix; `data` is bytes or a memory map. Raises PrefixTooLong."""
    before, after = old.encode(), new.encode()
    if len(after) > len(before):
        raise PrefixTooLong(len(before), len(after))
    at, start = 0, data.find(before)
    while start >= 0:
        end = data.find(b"\0", start)
        end = len(data) if end < 0 else end
        text = data[start:end]
        yield from _slices(data, at, start)
        yield text.replace(before, after) + bytes(text.count(before) * (len(before) - len(after)))
        at, start = end, data.find(before, end)
    yield from _slices(data, at, len(data))


def _slices(data, start: int, end: int):  # type: ignore[no-untyped-def]
    for at in range(start, end, _CHUNK):
        yield data[at : min(end, at + _CHUNK)]


def restore_text(data: bytes, old: str, new: str) -> bytes:
    """What `rewrite_text` made `data` of, unless it changed the first line or the prefix stood in it before."""
    for encoding in reversed(_ENCODINGS):
        data = data.replace(new.encode(encoding), old.encode(encoding))
    return data


def restore_binary(data, old: str, new: str):  # type: ignore[no-untyped-def]
    """The pieces of what `rewrite_binary` made `data` of, unless the prefix stood in it before."""
    before, after = old.encode(), new.encode()
    at, start = 0, data.find(after)
    while start >= 0:
        end = data.find(b"\0", start)
        end = len(data) if end < 0 else end
        text = data[start:end]
        yield from _slices(data, at, start)
        yield text.replace(after, before)
        at = min(len(data), end + text.count(after) * (len(before) - len(after)))
        start = data.find(after, at)
    yield from _slices(data, at, len(data))
