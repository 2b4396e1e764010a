"""Values that have broken parsers: alone, and in place of each part of a valid sample."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from tests.hostile.readers import Reader

LONG = 5_000  # digits; int() of a text refuses more than 4,300
DEEP = 20_000  # levels

# Whole inputs.
ALONE: tuple[bytes, ...] = (
    b"",
    b"\n",
    b"\0",
    b"\xef\xbb\xbf",
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\0}\0",
    b"\xed\xb0\x80",  # half of a surrogate pair
    b"\xe9",
    b"\r",
    b"a\rb\r\nc",
    b"{}",
    b"[]",
    b"null",
    b"0",
    b'""',
    b"{" * DEEP,
    b"[" * DEEP,
    b"(" * DEEP,
    b"<a>" * DEEP,
    b"-" * DEEP,
    b"!" * DEEP,
    b'{"a":' * DEEP,
    b"a=" + b"[" * DEEP,
    b"a=" + b"{a=" * DEEP,
    b"a." * DEEP + b"b=1",
    b"[" + b"a." * DEEP + b"b]",
    b"[[" + b"a." * DEEP + b"b]]",
    b'{"a":1,"a":2}',
    b"9" * LONG,
    b"1." + b"9" * LONG,
    b"9" * LONG + b"!1",
    b"a = " + b"9" * LONG,
    b"a = 1e999",
    b"a = nan",
    b"a = 0001-01-01T00:00:00+23:59",
    b"a = 9999-12-31T23:59:59-23:59",
    b"[1e999]",
    b"<![a[",
    b"<![if",
    b"<!DOCTYPE [",
    b"<!",
    b"<?",
    b"<!--",
    b"<a href='http://[::1'>x</a>",
    b"<a href='//[x]:99999999999/'>x</a>",
    b"<base href='http://['><a href='x.whl'>x</a>",
    b"&#x110000;&#99999999999999999999;&#" + b"9" * LONG + b";",
    b"http://[",
    b"http://[::1",
    b"http://a:" + b"9" * LONG + b"/",
    b"https://\xe2\x84\x80.example/",
    b"s3://",
    b"://",
    b"a[b",
    b"[a**b]",
    b"a[" * DEEP,
    b"(1|" * DEEP,
    b"^(a+)+$",
    b"^" + b"a{1,99999}" * 3 + b"$",
    b"^[[:a$",
    b"a; " + b"(" * DEEP,
    b"a; " + b"(os_name == 'a') and " * 3000 + b"os_name == 'b'",
    b"#!python\n# coding: uu\nx\n",
    b"#!python\n# coding: undefined\nx\n",
    b"#!python\n# coding: utf-7\n+AGEAYg-\n",
    b"#!python\n# coding: rot13\nx\n",
    b"#!python\n# coding: idna\n\xe9\n",
    b"#!python\n\0",
    b"#!python\n\xef\xbb\xbf# coding: latin-1\n",
    "²".encode(),
    "\uff11\uff12".encode(),
    "3.\uff11\uff12".encode(),
    "²-1".encode(),
    b"Mon, 32 Foo 99999 99:99:99 +9999999",
    b"Wed, 21 Oct 0001 07:28:00 +2359",
    b"Wed, 21 Oct 9999 23:59:59 -2359",
    b"0001-01-01T00:00:00+23:59",
    b"9999-12-31T23:59:59-23:59",
    b"9999-12-31",
    b"P" + b"9" * 4000 + b"W",
    b"9" * 300 + b" days",
    b'"' * 99,
    b"'" * 99,
    b"'''" * 99,
    b"\\" * 99,
    b"\x1f\x8b\x08\0\0\0\0\0",
    b"PK\x05\x06" + bytes(18),
    b"PK\x05\x06" + b"\xff" * 18,
    b"\x28\xb5\x2f\xfd",
    b"\x81" * DEEP,  # msgpack: maps in maps
    b"\x91" * DEEP,  # msgpack: arrays in arrays
    b"\xdf\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
)

# Texts in place of a word of a sample.
WORDS: tuple[str, ...] = (
    "",
    " ",
    "\0",
    "\r",
    "\ufeff",
    "\udc80",
    "\x85",
    "²",
    "\uff11",
    "٣",
    "9" * LONG,
    "-1",
    "1e999",
    "nan",
    str(2**62),
    str(2**63),
    str(-(2**63)),
    str(2**64),
    "253402300800",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "9999-12-31",
    "http://[",
    "http://[::1/x",
    "//[",
    "file:///etc/passwd",
    "a:" + "9" * 30,
    ".",
    "..",
    "/",
    "**",
    "[a**b]",
    "[",
    "^(a+)+$",
    "%",
    "%(x)s",
    "%zz",
    "\\",
    "uu",
    "undefined",
    "utf-7",
    "true",
    "null",
    "[" * 3000,
    "(" * 3000,
    "x" * 70_000,
)

# Values in place of a value of a document.
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**62,
    2**63 - 1,
    -(2**63),
    2**64,
    10**40,
    1.5,
    1e308,
    -0.0,
    "",
    ".",
    "\0",
    "²",
    "\udc80",
    "9" * LONG,
    "http://[::1",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    [],
    [None],
    [[]],
    ["."],
    [""],
    {},
    {"": None},
    {"a": {}},
    {"\0": "\0"},
)

_WORD = re.compile(rb"[\w.+:-]+|[^\w\s]")


def inputs_for(reader: Reader) -> Iterator[bytes]:
    """Every hostile input for a reader."""
    yield from ALONE
    for sample in reader.samples():
        yield from _cut(sample)
        yield from _with_words(sample)
        yield from _with_values(sample)


def _cut(sample: bytes) -> Iterator[bytes]:
    step = max(1, len(sample) // 24)
    for at in range(0, len(sample), step):
        yield sample[:at]
        yield sample[at:]
    yield sample + sample
    yield b"\xef\xbb\xbf" + sample
    yield sample.replace(b"\n", b"\r")
    yield sample.replace(b"\n", b"\r\n")
    yield sample + b"\0"
    yield sample.decode("latin-1").encode("utf-16")


def _with_words(sample: bytes) -> Iterator[bytes]:
    """The sample with each word replaced by each of WORDS; the words of a large one are picked evenly."""
    places = [match.span() for match in _WORD.finditer(sample)]
    places = places[:: len(places) // 24 + 1]
    for start, stop in places:
        for word in WORDS:
            yield sample[:start] + word.encode("utf-8", "surrogatepass") + sample[stop:]


def _with_values(sample: bytes) -> Iterator[bytes]:
    """The document with each of its values replaced by each of VALUES."""
    for decode, encode in _CODECS:
        try:
            document = decode(sample)
        except (ValueError, msgspec.MsgspecError):
            continue
        if isinstance(document, dict | list):
            for changed in _changes(document):
                try:
                    yield encode(changed)
                except (OverflowError, UnicodeEncodeError, TypeError):  # it has no form in this format
                    continue


def _changes(value: Any) -> Iterator[Any]:
    yield from VALUES
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        copy = value.copy()
        for changed in _changes(item):
            copy[key] = changed
            yield copy
        if isinstance(value, dict):
            yield {other: each for other, each in value.items() if other != key}
            yield {**value, "²": 1}


def _encode_json(value: object) -> bytes:
    return json.dumps(value).encode()


_CODECS: tuple[tuple[Callable[[bytes], Any], Callable[[Any], bytes]], ...] = (
    (json.loads, _encode_json),
    (msgspec.msgpack.decode, msgspec.msgpack.encode),
)
