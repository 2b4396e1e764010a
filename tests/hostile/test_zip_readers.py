"""Zip archives that common readers read differently are refused; what is accepted, all of them read alike.

The judges are Info-ZIP's unzip, Python's zipfile, bsdtar (from a file and from a pipe), uv, and rattler for `.conda`.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envc.fetch.pypi.wheel_metadata import read_metadata
from envc.model.digest import Sha256
from envc.shipping.unpack.conda import open_conda
from envc.shipping.unpack.errors import BadPackage
from envc.shipping.unpack.zips import Limits, open_zip
from envc.system import zip_structures as zips
from tests.support.conda_packages import build_conda
from tests.support.zip_archives import PROGRAMS, Archive, Part, Tree, deflated, descriptor, extra, files_below, program

FILE = "demo-1.0-py3-none-any.whl"
METADATA = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
TEXT = b"print('the file that everybody sees')\n" * 3
EVIL = b"print('the file that some see')\n"
LARGE = zips.DEFERRED


def wheel(*parts: Part, before: tuple[Part, ...] = (), **options: object) -> Archive:
    """Return a wheel with these parts, of which the first is usually the odd one."""
    info = "demo-1.0.dist-info/"
    rest = [
        Part(name=f"{info}METADATA".encode(), content=METADATA),
        Part(name=f"{info}WHEEL".encode(), content=b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
        Part(name=f"{info}RECORD".encode(), content=f"{info}RECORD,,\n".encode(), method=0),
    ]
    return Archive(parts=[*before, *parts, *rest], **options)  # type: ignore[arg-type]


def odd(**fields: object) -> Part:
    values: dict[str, object] = {"name": b"demo.py", "content": TEXT} | fields
    return Part(**values)  # type: ignore[arg-type]


def folder(name: bytes) -> Part:
    return Part(name=name, method=0, central={"external": 0o40755 << 16 | 0x10})


def streamed(*, signature: bool = True, large: bool = False, **fields: object) -> Part:
    """Return a part whose sizes follow it."""
    part = odd(flags=zips.STREAMED, **fields)
    part.after = descriptor(part, signature=signature, large=large)
    if large:
        part.local = {"packed": LARGE, "unpacked": LARGE}
        part.local_extra = extra(zips.ZIP64, bytes(16))
    return part


def hidden(name: bytes = b"hidden.py") -> bytes:
    """A whole member that no directory lists."""
    part = Part(name=name, content=EVIL)
    return part.header() + part.packed


def unicode_path(raw: bytes, name: bytes) -> bytes:
    return extra(zips.UNICODE_PATH, struct.pack("<BL", 1, zlib.crc32(raw)) + name)


def sizes64(part: Part, count: int = 2) -> bytes:
    return struct.pack(f"<{count}Q", *(len(part.content), len(part.packed), 0)[:count])


def second_directory_in_a_member() -> Archive:
    """The ZIP64 locator refers to an end record inside a member, as in CVE-2025-8291."""
    decoy = wheel(odd(content=EVIL), zip64={}).bytes()
    part = odd(name=b"decoy.bin", content=decoy, method=0)
    at = len(part.header()) + decoy.rindex(zips.ZIP64_END_MAGIC)
    return wheel(part, odd(), zip64={}, locator={"offset": at})


_NESTED = wheel(odd(content=EVIL)).bytes()

# What is refused, by the situation: the archive, and words of the reason.
REFUSED: dict[str, tuple[Callable[[], Archive], str]] = {
    # ends
    "zip64 locator to an end record inside a member": (second_directory_in_a_member, "zip64 locator"),
    "zip64 end with another count": (lambda: wheel(odd(), zip64={"entries": 3, "entries_here": 3}), "two end records"),
    "zip64 end with another count on this disk": (
        lambda: wheel(odd(), zip64={"entries_here": 3}, end={"entries_here": 0xFFFF}),
        "several volumes",
    ),
    "zip64 end with another size": (lambda: wheel(odd(), zip64={"length": 46}), "two end records"),
    "zip64 end with another offset": (lambda: wheel(odd(), zip64={"offset": 0}), "two end records"),
    "zip64 end with another disk": (lambda: wheel(odd(), zip64={"disk": 1}), "two end records"),
    "zip64 end that is deferred to and wrong": (
        lambda: wheel(odd(), zip64={"offset": 1}, end={"offset": LARGE}),
        "not where its end record says",
    ),
    "zip64 end with more data": (lambda: wheel(odd(), zip64={"length_of_rest": 56}), "malformed"),
    "zip64 end without its magic": (lambda: wheel(odd(), zip64={"magic": b"PK\6\5"}), "malformed"),
    "zip64 locator of two disks": (lambda: wheel(odd(), zip64={}, locator={"disks": 2}), "zip64 locator"),
    "zip64 locator on another disk": (lambda: wheel(odd(), zip64={}, locator={"disk": 1}), "zip64 locator"),
    "numbers deferred to no zip64 end": (
        lambda: wheel(odd(), end={"offset": LARGE, "length": LARGE}),
        "directory",
    ),
    "several volumes": (lambda: wheel(odd(), end={"disk": 1, "first_disk": 1}), "several volumes"),
    "an entry on another disk": (lambda: wheel(odd(central={"disk": 1})), "several volumes"),
    "a count that is too small": (lambda: wheel(odd(), end={"entries": 3, "entries_here": 3}), "more entries"),
    "a count that is too large": (lambda: wheel(odd(), end={"entries": 5, "entries_here": 5}), "fewer entries"),
    "bytes before the archive": (lambda: wheel(odd(), prefix=b"#!/bin/sh\n"), "before the archive"),
    "bytes before the archive, counted": (
        lambda: wheel(odd(), prefix=b"#!/bin/sh\n", shifted=True),
        "before its first entry",
    ),
    "another archive before the archive": (lambda: wheel(odd(), prefix=_NESTED), "before the archive"),
    "bytes after the archive": (lambda: wheel(odd(), comment=b"tail", end={"comment_length": 0}), "follow its end"),
    "a comment that is cut off": (lambda: wheel(odd(), comment=b"t", end={"comment_length": 9}), "follow its end"),
    "a comment with an end record": (
        lambda: wheel(odd(), comment=b"x" + zips.END_MAGIC + bytes(18) + b"y"),
        "comment contains another end",
    ),
    "a comment with a whole archive": (lambda: wheel(odd(), comment=_NESTED), "directory is not where"),
    "bytes between directory and end": (lambda: wheel(odd(), after_directory=b"PK\5\5\0\0"), "directory is not where"),
    "a member between members and directory": (lambda: wheel(odd(), before_directory=hidden()), "belong to no entry"),
    # spaces and overlaps
    "a member that is not listed": (lambda: wheel(odd(name=b"h.py", is_listed=False), odd()), "before its first entry"),
    "a member that is not listed, in the middle": (
        lambda: wheel(odd(name=b"a.py"), odd(name=b"h.py", is_listed=False), odd()),
        "belong to no entry",
    ),
    "a gap after a member whose size follows": (
        lambda: wheel(odd(flags=zips.STREAMED, after=descriptor(odd()) + bytes(7))),
        "belong to no entry",
    ),
    "a gap with a member": (lambda: wheel(odd(after=bytes(7) + hidden())), "belong to no entry"),
    "a gap with the beginning of a member": (lambda: wheel(odd(after=bytes(7) + b"PK\3\4")), "belong to no entry"),
    "a gap with an end": (lambda: wheel(odd(after=zips.END_MAGIC + bytes(18))), "belong to no entry"),
    "a long gap": (lambda: wheel(odd(after=bytes(90_000))), "belong to no entry"),
    "overlapping members": (lambda: wheel(odd(), odd(central={"offset": 0})), "overlap"),
    # contents
    "a member behind a compressed stream": (
        lambda: wheel(odd(raw=deflated(TEXT) + hidden())),
        "bytes follow the end of the compressed content",
    ),
    "bytes behind a compressed stream": (lambda: wheel(odd(raw=deflated(TEXT) + b"\0")), "bytes follow the end"),
    "bytes behind an empty compressed stream": (
        lambda: wheel(odd(content=b"", raw=deflated(b"") + hidden())),
        "bytes follow the end",
    ),
    "a compressed stream that is cut off": (lambda: wheel(odd(raw=deflated(TEXT)[:-1])), "another size"),
    "a content longer than stated": (
        lambda: wheel(odd(raw=deflated(TEXT + EVIL))),
        "another size",
    ),
    "a content shorter than stated": (lambda: wheel(odd(raw=deflated(TEXT[:9]))), "too early"),
    "no stream for an empty file": (lambda: wheel(odd(content=b"", raw=b"")), "another size"),
    "a stored member with a larger packed size": (
        lambda: wheel(odd(method=0, raw=TEXT + hidden())),
        "packed size is not its size",
    ),
    "a stored member with a smaller packed size": (lambda: wheel(odd(method=0, raw=TEXT[:9])), "packed size"),
    "a wrong checksum": (lambda: wheel(odd(raw=deflated(TEXT[::-1]))), "does not match its checksum"),
    "a wrong checksum of a stored member": (lambda: wheel(odd(method=0, raw=TEXT[::-1])), "checksum"),
    "a checksum of an empty member": (
        lambda: wheel(odd(content=b"", central={"crc": 1}, local={"crc": 1})),
        "checksum",
    ),
    # descriptors
    "a descriptor with another size": (
        lambda: wheel(odd(flags=zips.STREAMED, after=descriptor(odd(content=TEXT + EVIL)))),
        "descriptor",
    ),
    "no descriptor": (lambda: wheel(odd(flags=zips.STREAMED)), "descriptor"),
    "a descriptor without signature behind a stored member": (
        lambda: wheel(streamed(signature=False, method=0)),
        "no signature",
    ),
    "a descriptor of 64 bits without a zip64 field": (
        lambda: wheel(odd(flags=zips.STREAMED, after=descriptor(odd(), large=True))),
        "descriptor",
    ),
    "a stored member whose size follows and that contains an end": (
        lambda: wheel(streamed(method=0, content=TEXT + descriptor(odd(method=0)) + hidden())),
        "contains such an end",
    ),
    "a descriptor that the flags do not announce": (lambda: wheel(odd(after=descriptor(odd()))), "belong to no entry"),
    # headers and entries
    "another name in the header": (lambda: wheel(odd(local_name=b"evil.py")), "disagree"),
    "another length of the name in the header": (lambda: wheel(odd(local_name=b"demo.pyc")), "disagree|overlap"),
    "other flags in the header": (lambda: wheel(odd(local={"flags": zips.UTF_8})), "disagree"),
    "another method in the header": (lambda: wheel(odd(local={"method": 0})), "disagree"),
    "another checksum in the header": (lambda: wheel(odd(local={"crc": 1})), "disagree about its size"),
    "another size in the header": (lambda: wheel(odd(local={"unpacked": 9})), "disagree about its size"),
    "another packed size in the header": (lambda: wheel(odd(local={"packed": 9})), "disagree about its size"),
    "no magic in the header": (lambda: wheel(odd(local={"magic": b"PK\3\5"})), "disagree"),
    "no magic in the directory": (lambda: wheel(odd(central={"magic": b"PK\1\3"})), "malformed"),
    "a newer version": (lambda: wheel(odd(central={"version": 51})), "version 51"),
    "a newer version in the header": (lambda: wheel(odd(local={"version": 51})), "disagree"),
    "encryption": (lambda: wheel(odd(flags=1)), "encrypted"),
    "strong encryption": (lambda: wheel(odd(flags=0x41)), "encrypted"),
    "a masked directory": (lambda: wheel(odd(flags=0x2000)), "encrypted"),
    "patched data": (lambda: wheel(odd(flags=0x20)), "flags 0x0020"),
    "enhanced deflation": (lambda: wheel(odd(flags=0x10)), "flags 0x0010"),
    "reserved flags": (lambda: wheel(odd(flags=0x4000)), "flags 0x4000"),
    "deflate64": (lambda: wheel(odd(method=9, raw=deflated(TEXT))), "method 9"),
    "bzip2": (lambda: wheel(odd(method=12, raw=TEXT)), "method 12"),
    "zstd": (lambda: wheel(odd(method=93, raw=TEXT)), "method 93"),
    "a link": (lambda: wheel(odd(content=b"/etc/passwd", central={"external": 0o120777 << 16})), "neither a file"),
    "a device": (lambda: wheel(odd(central={"external": 0o020666 << 16})), "neither a file"),
    "a folder of MS-DOS with the name of a file": (lambda: wheel(odd(central={"external": 0x10})), "neither a file"),
    "the label of a disk": (lambda: wheel(odd(central={"made_by": 20, "external": 8})), "label of a disk"),
    "an empty field for times": (lambda: wheel(odd(local_extra=extra(0x5455, b""))), "malformed"),
    "an empty field for times in the directory": (lambda: wheel(odd(central_extra=extra(0x5455, b""))), "malformed"),
    "a folder with content": (lambda: wheel(odd(), odd(name=b"folder/")), "folder"),
    "a folder whose stream hides a member": (
        lambda: wheel(odd(), odd(name=b"folder/", content=b"", raw=deflated(b"") + hidden(), central={"external": 0})),
        "bytes follow the end",
    ),
    # extra fields
    "a zip64 field that nothing defers to": (
        lambda: wheel(odd(central_extra=extra(zips.ZIP64, sizes64(odd())))),
        "zip64 field",
    ),
    "two zip64 fields": (
        lambda: wheel(odd(central={"unpacked": LARGE}, central_extra=2 * extra(zips.ZIP64, sizes64(odd(), 1)))),
        "two zip64 fields",
    ),
    "a zip64 field that is too short": (
        lambda: wheel(
            odd(
                central={"unpacked": LARGE, "packed": LARGE},
                central_extra=extra(zips.ZIP64, sizes64(odd(), 1)),
            )
        ),
        "zip64 field",
    ),
    "a zip64 field that is too long": (
        lambda: wheel(odd(central={"unpacked": LARGE}, central_extra=extra(zips.ZIP64, sizes64(odd())))),
        "zip64 field",
    ),
    "a zip64 field in the header that says otherwise": (
        lambda: wheel(odd(local_extra=extra(zips.ZIP64, struct.pack("<QQ", 5, 5)))),
        "two different sizes",
    ),
    "a zip64 field in the header for one size": (
        lambda: wheel(odd(local={"unpacked": LARGE}, local_extra=extra(zips.ZIP64, sizes64(odd(), 1)))),
        "zip64 field",
    ),
    "a zip64 field in the header that is deferred to and wrong": (
        lambda: wheel(
            odd(local={"packed": LARGE, "unpacked": LARGE}, local_extra=extra(zips.ZIP64, struct.pack("<QQ", 5, 5)))
        ),
        "disagree about its size",
    ),
    "two zip64 fields in the header": (
        lambda: wheel(odd(local_extra=2 * extra(zips.ZIP64, sizes64(odd())))),
        "two zip64 fields",
    ),
    "another Unicode path": (lambda: wheel(odd(central_extra=unicode_path(b"demo.py", b"evil.py"))), "another name"),
    "another Unicode path in the header": (
        lambda: wheel(odd(local_extra=unicode_path(b"demo.py", b"evil.py"))),
        "another name",
    ),
    "libarchive's second entry": (
        lambda: wheel(odd(local_extra=extra(0x6C78, b"\5\0\3" + struct.pack("<L", 0o120777 << 16)))),
        "extra field for libarchive",
    ),
    "a link in an extra field": (
        lambda: wheel(odd(central_extra=extra(0x000D, bytes(12) + b"/etc/passwd"))),
        "extra field for PKWARE",
    ),
    "an extra field that is cut off": (lambda: wheel(odd(central_extra=b"UT\x09\0\1")), "malformed"),
    "an extra field in the header that is cut off": (lambda: wheel(odd(local_extra=b"UT\x09\0\1")), "malformed"),
    "bytes after extra fields": (lambda: wheel(odd(local_extra=extra(0x5455, b"\1\0\0\0\0") + b"UT")), "malformed"),
    # names
    "a name in an unknown encoding": (lambda: wheel(odd(name="d\u00e9mo.py".encode("cp437"))), "encoding"),
    "a name in UTF-8 without the flag": (lambda: wheel(odd(name="d\u00e9mo.py".encode())), "encoding"),
    "a name that is not UTF-8": (lambda: wheel(odd(name=b"d\xffmo.py", flags=zips.UTF_8)), "not UTF-8"),
    "a name with a NUL byte": (lambda: wheel(odd(name=b"demo.py\0.txt")), "control character"),
    "a name with a line end": (lambda: wheel(odd(name=b"demo\n.py")), "control character"),
    "a name with a backslash": (lambda: wheel(odd(name=b"demo\\evil.py")), "backslash"),
    "an absolute name": (lambda: wheel(odd(name=b"/demo.py")), "plain relative path"),
    "a name with a drive": (lambda: wheel(odd(name=b"c:demo.py")), "drive"),
    "a name that leaves the folder": (lambda: wheel(odd(name=b"a/../../demo.py")), "plain relative path"),
    "a name with a dot": (lambda: wheel(odd(name=b"./demo.py")), "plain relative path"),
    "a name with two slashes": (lambda: wheel(odd(name=b"a//demo.py")), "plain relative path"),
    "an empty name": (lambda: wheel(odd(name=b"")), "plain relative path"),
    "a name that is a slash": (lambda: wheel(odd(name=b"/", content=b"", method=0)), "plain relative path"),
    "a name with a version of VMS": (lambda: wheel(odd(name=b"demo.py;1")), "version of VMS"),
    "a name twice": (lambda: wheel(odd(), odd(content=EVIL)), "occurs twice"),
    "a name twice, with the same checksum": (
        lambda: wheel(
            odd(), odd(content=TEXT[::-1], central={"crc": zlib.crc32(TEXT)}, local={"crc": zlib.crc32(TEXT)})
        ),
        "checksum",
    ),
    "a name that differs in case": (lambda: wheel(odd(), odd(name=b"Demo.py")), "only in case"),
    "a file and a folder of one name": (lambda: wheel(odd(), folder(b"demo.py/")), "twice"),
    "a file below a file": (lambda: wheel(odd(), odd(name=b"demo.py/x.py")), "both a file and a folder"),
    "a folder below a file": (lambda: wheel(odd(), folder(b"demo.py/x/y/")), "both a file"),
}

ACCEPTED: dict[str, Callable[[], Archive]] = {
    "a plain wheel": lambda: wheel(odd()),
    "stored": lambda: wheel(odd(method=0)),
    "empty members": lambda: wheel(odd(content=b""), odd(name=b"b.py", content=b"", method=0)),
    "folders": lambda: wheel(
        Part(name=b"a/", method=0, central={"external": 0o40755 << 16 | 0x10}),
        Part(name=b"b/", method=8, central={"external": 0x10}),
        odd(name=b"a/demo.py"),
    ),
    "sizes that follow": lambda: wheel(streamed()),
    "sizes that follow without a signature": lambda: wheel(streamed(signature=False)),
    "sizes of 64 bits that follow": lambda: wheel(streamed(large=True)),
    "sizes that follow a stored member": lambda: wheel(streamed(method=0)),
    "sizes that follow and are stated before": lambda: wheel(
        odd(
            flags=zips.STREAMED,
            after=descriptor(odd()),
            local={"crc": odd().crc, "packed": len(odd().packed), "unpacked": len(TEXT)},
        )
    ),
    "a comment": lambda: wheel(odd(), comment=b"made by hand"),
    "a long comment": lambda: wheel(odd(), comment=b"c" * 0xFFFF, zip64={}),
    "comments of entries": lambda: wheel(odd(comment=b"a file of Python")),
    "a zip64 end that says the same": lambda: wheel(odd(), zip64={}),
    "a zip64 end that is deferred to": lambda: wheel(
        odd(), zip64={}, end={"entries": 0xFFFF, "entries_here": 0xFFFF, "length": LARGE, "offset": LARGE}
    ),
    "zip64 fields that are deferred to": lambda: wheel(
        odd(
            local={"packed": LARGE, "unpacked": LARGE},
            local_extra=extra(zips.ZIP64, sizes64(odd())),
            central={"packed": LARGE, "unpacked": LARGE, "offset": LARGE},
            central_extra=extra(zips.ZIP64, sizes64(odd(), 3)),
        )
    ),
    "a zip64 field in the header that says the same": lambda: wheel(odd(local_extra=extra(zips.ZIP64, sizes64(odd())))),
    "times and owners": lambda: wheel(
        odd(
            local_extra=extra(0x5455, b"\3" + bytes(8)) + extra(0x7875, b"\1\4\0\0\0\0\4\0\0\0\0"),
            central_extra=extra(0x5455, b"\3" + bytes(4)) + extra(0x7875, b"\1\4\0\0\0\0\4\0\0\0\0"),
        )
    ),
    "the same Unicode path": lambda: wheel(odd(central_extra=unicode_path(b"demo.py", b"demo.py"))),
    "names in UTF-8": lambda: wheel(odd(name="d\u00e9mo-\u65e5\u672c.py".encode(), flags=zips.UTF_8)),
    "a name twice with the same content": lambda: wheel(odd(), odd(name=b"a.py"), odd()),
    "flags about the effort of the compressor": lambda: wheel(odd(flags=6, local={"flags": 2})),
    "a nested archive": lambda: wheel(odd(name=b"inner.zip", content=_NESTED, method=0)),
    "a gap": lambda: wheel(odd(after=bytes(7))),
    "a gap of other bytes": lambda: wheel(odd(after=b"any other bytes, P and K" * 40)),
    "a gap after a stored member": lambda: wheel(odd(method=0, after=bytes(4096))),
    "a gap before the directory": lambda: wheel(odd(), before_directory=bytes(9)),
    "made on Windows": lambda: wheel(odd(central={"made_by": 20, "external": 0x20})),
}


def ours(data: bytes) -> Tree:
    """The files as envc unpacks them. Raises ValueError."""
    archive, members = open_zip(io.BytesIO(data), Limits())
    return {member.name: archive.read(member) for member in members}


def as_remote(data: bytes) -> bytes:
    """METADATA as read through ranges. Raises ValueError."""
    return read_metadata(FILE, len(data), lambda offset, length: data[offset : offset + length])


@pytest.mark.parametrize("situation", REFUSED)
def test_an_archive_that_readers_read_differently_is_refused(situation: str) -> None:
    make, reason = REFUSED[situation]
    with pytest.raises(ValueError, match=reason):
        ours(make().bytes())


# What neither the directory nor METADATA's own header shows.
_UNSEEN = re.compile(
    r"header|stream|content|checksum|descriptor|size follows|differs in case|of one name| below a file"
    r"|a gap|empty field for times$|libarchive|bytes after extra fields|listed, in the middle|between members"
)
SEEN = sorted(situation for situation in REFUSED if not _UNSEEN.search(situation))


@pytest.mark.parametrize("situation", SEEN)
def test_a_range_request_refuses_what_the_directory_shows(situation: str) -> None:
    make, _ = REFUSED[situation]
    with pytest.raises(ValueError, match=r"\w"):
        as_remote(make().bytes())


@pytest.mark.parametrize("situation", ACCEPTED)
def test_an_unusual_archive_that_readers_read_alike_is_read(situation: str) -> None:
    archive = ACCEPTED[situation]()
    expected = {part.name.decode(): part.content for part in archive.parts if not part.name.endswith(b"/")}
    assert ours(archive.bytes()) == expected
    assert as_remote(archive.bytes()) == METADATA


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.engines if name == "uv" else ()) for name in PROGRAMS])
def judge(request: pytest.FixtureRequest) -> Iterator[str]:
    if program(request.param) is None:
        pytest.skip(f"{request.param} is not installed on this machine")
    yield cast("str", request.param)


@pytest.mark.parametrize("situation", ACCEPTED)
def test_a_judge_reads_the_same_files(situation: str, judge: str, tmp_path: Path) -> None:
    data = ACCEPTED[situation]().bytes()
    (tmp_path / FILE).write_bytes(data)
    read = PROGRAMS[judge][1](tmp_path / FILE, tmp_path / "out")
    expected = ours(data)
    if judge == "uv":
        expected.pop("demo-1.0.dist-info/RECORD")
    assert read == expected


def flipped(data: bytes, at: int, value: int) -> bytes:
    changed = bytearray(data)
    changed[at % len(data)] = value
    return bytes(changed)


LOCAL_JUDGES = [name for name in PROGRAMS if name != "uv" and program(name) is not None]


_BYTES = [0, 1, 2, 4, 8, 16, 20, 0x50, 255]


@pytest.mark.slow
@settings(max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    situation=st.sampled_from(sorted(ACCEPTED)),
    changes=st.lists(
        st.tuples(st.integers(0, 1 << 20), st.sampled_from([0, 1, 2, 4, 8, 16, 20, 0x50, 255])), max_size=3
    ),
)
def test_what_is_accepted_is_read_alike_whatever_bytes_are_changed(
    situation: str, changes: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = ACCEPTED[situation]().bytes()
    for at, value in changes:
        data = flipped(data, at, value)
    try:
        expected = ours(data)
    except ValueError:
        return
    folder = tmp_path_factory.mktemp("judged")
    (folder / FILE).write_bytes(data)
    for number, name in enumerate(LOCAL_JUDGES):
        assert PROGRAMS[name][1](folder / FILE, folder / str(number)) == expected, name


def conda_file(change: Callable[[list[Part]], Archive]) -> tuple[str, bytes]:
    """Return name and bytes of a ``.conda`` file whose outer archive is changed."""
    package = build_conda("demo", files={"share/a.txt": TEXT, "share/b.txt": b"b"})
    with zipfile.ZipFile(io.BytesIO(package.data)) as archive:
        parts = [Part(name=info.filename.encode(), content=archive.read(info), method=0) for info in archive.infolist()]
    return package.file, change(parts).bytes()


def with_sizes_after(parts: list[Part]) -> Archive:
    for part in parts:
        part.flags = zips.STREAMED
        part.after = descriptor(part)
    return Archive(parts=parts)


def with_zip64(parts: list[Part]) -> Archive:
    for part in parts:
        part.local = {"packed": LARGE, "unpacked": LARGE}
        part.local_extra = extra(zips.ZIP64, sizes64(part))
    return Archive(parts=parts, zip64={}, comment=b"made by hand")


def with_a_wrong_checksum(parts: list[Part]) -> Archive:
    parts[1].local = parts[1].central = {"crc": 1}
    return Archive(parts=parts)


CONDA_ACCEPTED: dict[str, Callable[[list[Part]], Archive]] = {
    "plain": lambda parts: Archive(parts=parts),
    "zip64": with_zip64,
    "another order": lambda parts: Archive(parts=parts[::-1]),
    "another file": lambda parts: Archive(parts=[*parts, Part(name=b"readme.txt", content=TEXT)]),
    "metadata.json deflated": lambda parts: Archive(
        parts=[Part(name=parts[0].name, content=parts[0].content), *parts[1:]]
    ),
}
CONDA_REFUSED: dict[str, tuple[Callable[[list[Part]], Archive], str]] = {
    "sizes that follow": (with_sizes_after, "is stated only after it"),
    "a second package behind a stream": (
        lambda parts: Archive(parts=[*parts, Part(name=b"readme.txt", raw=deflated(b"") + hidden())]),
        "bytes follow the end",
    ),
    "a package that is not listed": (
        lambda parts: Archive(parts=[*parts, Part(name=b"pkg-evil-1-0.tar.zst", content=EVIL, is_listed=False)]),
        "belong to no entry",
    ),
    "a part twice": (
        lambda parts: Archive(parts=[*parts, Part(name=parts[1].name, content=EVIL, method=0)]),
        "occurs twice",
    ),
    "a wrong checksum": (
        lambda parts: Archive(parts=[Part(name=parts[0].name, content=b"{}", method=0, raw=b"[]"), *parts[1:]]),
        "checksum",
    ),
    "a part with a wrong checksum": (with_a_wrong_checksum, "checksum"),
    "a deflated part": (
        lambda parts: Archive(parts=[Part(name=part.name, content=part.content) for part in parts]),
        "compressed twice",
    ),
}


def conda_files(file: str, data: bytes, folder: Path) -> Tree:
    """The files of a package as envc installs them, without the prefix record."""
    path = folder / file
    path.write_bytes(data)
    with open_conda(path, file, "any", Sha256("0" * 64)) as package:
        found = {entry.path: entry.open().read() for entry in package.entries}
    return {name: content for name, content in found.items() if not name.startswith("conda-meta/")}


@pytest.mark.parametrize("situation", CONDA_REFUSED)
def test_a_conda_file_that_readers_read_differently_is_refused(situation: str, tmp_path: Path) -> None:
    change, reason = CONDA_REFUSED[situation]
    with pytest.raises(BadPackage, match=reason):
        conda_files(*conda_file(change), tmp_path)


@pytest.mark.parametrize("situation", CONDA_ACCEPTED)
def test_an_unusual_conda_file_that_readers_read_alike_is_read(situation: str, tmp_path: Path) -> None:
    assert conda_files(*conda_file(CONDA_ACCEPTED[situation]), tmp_path) == {"share/a.txt": TEXT, "share/b.txt": b"b"}


@pytest.mark.engines
@pytest.mark.parametrize("situation", CONDA_ACCEPTED)
def test_rattler_reads_the_same_conda_file(situation: str, tmp_path: Path) -> None:
    package_streaming = pytest.importorskip("rattler.package_streaming")
    file, data = conda_file(CONDA_ACCEPTED[situation])
    expected = conda_files(file, data, tmp_path)
    package_streaming.extract(str(tmp_path / file), str(tmp_path / "out"))
    found = files_below(tmp_path / "out")
    assert {name: content for name, content in found.items() if not name.startswith("info/")} == expected
