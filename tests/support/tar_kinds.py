"""Kinds of tar archives in which readers differ, and kinds that all of them read alike.

`python -m tests.support.tar_kinds` prints what every reader on this machine makes of them.
"""

from __future__ import annotations

from tests.support.tar_bytes import BLOCK, END, GNU, POSIX, V7, header, long_name, member, padded, pax
from tests.support.tar_judges import (
    Refused,
    opinion,
    our_tree,
    project_files,
    quick_judges,
    uv_judge,
)

A = member(b"p/a", b"hello")
GNU_A = member(b"p/a", b"hello", magic=GNU)
EXECUTABLE = b"0000755\0"
FOLDER = member(b"p/d/", kind=b"5", mode=EXECUTABLE)
LONG = b"p/" + b"/".join([b"long" * 30] * 3)
UMLAUT = "p/ä".encode()


def archive(body: bytes) -> bytes:
    """Return a whole archive, which is also a project that uv can unpack for a build."""
    return body + project_files(body[257:265]) + END


def _base_256(number: int, width: int) -> bytes:
    return (number | 1 << 8 * width - 1).to_bytes(width, "big")


def _signed_checksum(name: bytes) -> bytes:
    block = header(name)
    total = sum(each - 256 if each > 127 else each for each in block[:148] + b" " * 8 + block[156:])
    return header(name, checksum=b"%06o\0 " % total)


ALIKE: dict[str, bytes] = {
    "a V7 header": member(b"p/a", b"x", magic=V7),
    "a GNU header": member(b"p/a", b"x", magic=GNU),
    "a file of the type NUL": member(b"p/a", b"x", kind=b"\0"),
    "an executable file": member(b"p/a", b"x", mode=EXECUTABLE),
    "a setuid file": member(b"p/a", b"x", mode=b"0004755\0"),
    "a mode with the type of the file": member(b"p/a", b"x", mode=b"0100755\0"),
    "a mode with the type of a link": member(b"p/a", b"x", mode=b"0120755\0"),
    "no mode and no time": member(b"p/a", b"x", mode=bytes(8), mtime=bytes(12)),
    "numbers that start with spaces": member(b"p/a", b"x", mode=b"   644 \0", size=b"          1 "),
    "numbers with several terminators": member(b"p/a", b"x", mode=b"644\0 \0 \0"),
    "no owner": member(b"p/a", b"x", uid=bytes(8), gid=bytes(8)),
    "an owner in base 256": member(b"p/a", b"x", magic=GNU, uid=_base_256(1 << 22, 8)),
    "a size in base 256": member(b"p/a", b"x", magic=GNU, size=_base_256(1, 12)),
    "a time in base 256": member(b"p/a", b"x", magic=GNU, mtime=_base_256(1_700_000_000, 12)),
    "a time before 1970 in base 256": member(b"p/a", b"x", magic=GNU, mtime=b"\xff" * 12),
    "a time before 1970 in a pax header": pax((b"mtime", b"-5.5")) + A,
    "owners that are not text": member(b"p/a", b"x", uname=b"\xff" * 32, gname=b"a\0b"),
    "a name of 100 bytes": member(b"p/" + b"n" * 98, b"x"),
    "the rest of a longer name behind a name": member(b"p/a\0evil", b"x"),
    "the longest prefix": member(b"n" * 100, b"x", prefix=b"p/" + b"q" * 153),
    "a UTF-8 name in a plain header": member(UMLAUT, b"x"),
    "a name after ./": member(b"./p/a", b"x"),
    "a top folder ./": member(b"./", kind=b"5", mode=EXECUTABLE) + A,
    "a top folder .": member(b".", kind=b"5", mode=EXECUTABLE) + A,
    "a folder without a slash": member(b"p/d", kind=b"5", mode=EXECUTABLE) + member(b"p/d/a", b"x"),
    "a folder after its file": member(b"p/d/a", b"x") + FOLDER,
    "a folder twice": FOLDER + member(b"p/d/a", b"x") + FOLDER,
    "a symbolic link": A + member(b"p/l", kind=b"2", link=b"a"),
    "a symbolic link to nothing": member(b"p/l", kind=b"2", link=b"nothing"),
    "a hard link": A + member(b"p/h", kind=b"1", link=b"p/a"),
    "a hard link to a hard link": A + member(b"p/h", kind=b"1", link=b"p/a") + member(b"p/i", kind=b"1", link=b"p/h"),
    "a hard link after ./": member(b"./p/a", b"x") + member(b"./p/h", kind=b"1", link=b"./p/a"),
    "a hard link to an executable": member(b"p/a", b"x", mode=EXECUTABLE)
    + member(b"p/h", kind=b"1", link=b"p/a", mode=EXECUTABLE),
    "a GNU long name": long_name(LONG) + member(LONG[:100], b"x", magic=GNU),
    "a GNU long name of a folder": long_name(b"p/d/") + member(b"d", kind=b"5", magic=GNU, mode=EXECUTABLE),
    "GNU long name and long link": long_name(LONG)
    + long_name(LONG, b"K")
    + member(LONG[:100], kind=b"2", link=LONG[:100], magic=GNU),
    "GNU long link and long name": long_name(LONG, b"K")
    + long_name(LONG)
    + member(LONG[:100], kind=b"2", link=LONG[:100], magic=GNU),
    "a pax path": pax((b"path", LONG)) + member(LONG[:100], b"x"),
    "a pax path before a header with a prefix": pax((b"path", LONG)) + member(b"a", b"x", prefix=b"q"),
    "a pax path of a folder": pax((b"path", b"p/d/")) + member(b"d", kind=b"5", mode=EXECUTABLE),
    "a pax link target": pax((b"linkpath", LONG)) + member(b"p/l", kind=b"2", link=b"short"),
    "a pax target of a hard link": A + pax((b"linkpath", b"p/a")) + member(b"p/h", kind=b"1", link=b"short"),
    "a pax size that agrees": pax((b"size", b"5")) + A,
    "a UTF-8 name in a pax header": pax((b"path", UMLAUT)) + member(b"p/a", b"x"),
    "a UTF-8 name that is called binary": pax((b"hdrcharset", b"BINARY"), (b"path", UMLAUT)) + member(b"p/a", b"x"),
    "times with fractions": pax((b"mtime", b"1700000000.123456789"), (b"atime", b"1.0"), (b"ctime", b"1.5")) + A,
    "owners in a pax header": pax((b"uid", b"4294967294"), (b"uname", UMLAUT)) + A,
    "an attribute with a NUL": pax((b"SCHILY.xattr.user.a", b"a\0b"), (b"RHT.security.selinux", b"a\0")) + A,
    "an inode": pax((b"SCHILY.dev", b"1"), (b"SCHILY.ino", b"2"), (b"SCHILY.nlink", b"3")) + A,
    "a global comment, as git writes it": pax((b"comment", b"0" * 40), kind=b"g") + A,
    "padding that is not zero": header(b"p/a", size=1) + b"x" + b"y" * (BLOCK - 1),
}

# uv refuses these, and other installers do not. Sdists in the V7 format, and with spaces before numbers, exist.
REFUSED_BY_UV = frozenset(
    (
        "a V7 header",
        "numbers that start with spaces",
        "a time before 1970 in base 256",
        "a time before 1970 in a pax header",
        "an attribute with a NUL",
    )
)

SPARSE_1_0 = pax(
    (b"GNU.sparse.major", b"1"),
    (b"GNU.sparse.minor", b"0"),
    (b"GNU.sparse.name", b"p/real"),
    (b"GNU.sparse.realsize", b"3"),
) + member(b"p/GNUSparseFile.0/real", padded(b"1\n0\n3\n") + b"xyz")
SPARSE_0_1 = pax(
    (b"GNU.sparse.size", b"3"),
    (b"GNU.sparse.numblocks", b"1"),
    (b"GNU.sparse.map", b"0,3"),
    (b"GNU.sparse.name", b"p/real"),
) + member(b"p/GNUSparseFile.0/real", b"xyz")
SPARSE_0_0 = pax(
    (b"GNU.sparse.size", b"3"),
    (b"GNU.sparse.numblocks", b"1"),
    (b"GNU.sparse.offset", b"0"),
    (b"GNU.sparse.numbytes", b"3"),
) + member(b"p/a", b"xyz")
OLD_SPARSE = member(
    b"p/a", b"xyz", kind=b"S", magic=GNU, at_386=b"00000000000\0" + b"00000000003\0", at_483=b"00000000003\0"
)
FORMAT = "of another format than the rest of the archive"
NUMBER = "not every reader can read"
SEVERAL = "several extended headers before one entry"
RECORD = "a damaged record"
TYPE = "neither a file, a folder nor a link, but of type"
TWO_PLACES = "is both a member and a folder of other members"
UNKNOWN = "fields that only some readers know"

# Each kind with the reason of our refusal.
DIFFERENT: dict[str, tuple[bytes, str]] = {
    # names
    "a prefix in a GNU header": (member(b"a", b"x", magic=GNU, prefix=b"p/evil"), UNKNOWN),
    "a prefix in a V7 header": (member(b"a", b"x", magic=V7, prefix=b"p/evil"), UNKNOWN),
    "a prefix in a header of an unknown version": (member(b"a", b"x", magic=b"ustar\0\0\0", prefix=b"p"), UNKNOWN),
    "times in a GNU header": (member(b"p/a", b"x", magic=GNU, at_345=b"14524737400\0" * 2), UNKNOWN),
    "a header of star": (member(b"a", b"x", prefix=b"p", padding=b"\0" * 8 + b"tar\0"), "unknown fields"),
    "a GNU long name in a V7 archive": (long_name(LONG, magic=V7) + member(LONG[:100], magic=V7), FORMAT),
    "a pax path in a V7 archive": (pax((b"path", LONG), magic=V7) + member(LONG[:100], magic=V7), FORMAT),
    "a GNU long name in a POSIX archive": (long_name(LONG, magic=POSIX) + A, FORMAT),
    "a pax path in a GNU archive": (pax((b"path", LONG), magic=GNU) + GNU_A, FORMAT),
    "a GNU header after a POSIX header": (A + member(b"p/b", b"x", magic=GNU), FORMAT),
    "a V7 header after a GNU header": (GNU_A + member(b"p/b", b"x", magic=V7), FORMAT),
    "a GNU long name with a NUL in it": (long_name(b"p/long\0evil") + GNU_A, "its only NUL"),
    "a GNU long name with two NULs": (long_name(LONG, end=b"\0\0") + GNU_A, "its only NUL"),
    "a GNU long name without a NUL": (long_name(LONG, end=b"") + GNU_A, "its only NUL"),
    "an empty GNU long name": (long_name(b"") + GNU_A, "its only NUL"),
    "two GNU long names": (long_name(LONG) + long_name(LONG + b"m") + GNU_A, SEVERAL),
    "two GNU long links": (
        long_name(LONG, b"K") + long_name(LONG + b"m", b"K") + member(b"p/l", kind=b"2", link=b"a", magic=GNU),
        SEVERAL,
    ),
    "a GNU long name before a pax header": (long_name(LONG) + pax((b"path", LONG + b"m")) + A, FORMAT),
    "a GNU long name after a pax header": (pax((b"path", LONG)) + long_name(LONG + b"m") + A, FORMAT),
    "two pax headers": (pax((b"path", LONG)) + pax((b"path", LONG + b"m")) + A, SEVERAL),
    "two pax headers of different keys": (pax((b"path", LONG)) + pax((b"mtime", b"5")) + A, SEVERAL),
    "a pax header of Solaris": (pax((b"path", LONG), kind=b"X") + A, TYPE),
    "a pax key twice": (pax((b"path", LONG), (b"path", LONG + b"m")) + A, "'path' twice"),
    "an empty pax path": (pax((b"path", b"")) + A, "not a valid value"),
    "a pax path with a NUL": (pax((b"path", b"p/a\0b")) + A, "not a valid value"),
    "a name that is not UTF-8": (member(b"p/\xe4", b"x"), "is not UTF-8"),
    "a pax path that is not UTF-8": (pax((b"hdrcharset", b"BINARY"), (b"path", b"p/\xe4")) + A, "is not UTF-8"),
    "another set of characters": (pax((b"hdrcharset", b"ISO-IR 8859 1 1998")) + A, "not a valid value"),
    "an entry without a name": (member(b"", b"x"), "without a name"),
    "a file with the name of a folder": (member(b"p/d/", b"x"), "a file with the name of a folder"),
    "a file of type NUL with the name of a folder": (
        member(b"p/d/", kind=b"\0") + member(b"p/d/a", b"x"),
        "a file with the name of a folder",
    ),
    "a file with a pax path of a folder": (pax((b"path", b"p/d/")) + A, "a file with the name of a folder"),
    "a name that climbs": (member(b"p/../../evil", b"x"), "not a plain relative path"),
    "an absolute name": (member(b"/evil", b"x"), "not a plain relative path"),
    "an absolute prefix": (member(b"evil", b"x", prefix=b"/p"), "not a plain relative path"),
    "a prefix that climbs": (member(b"evil", b"x", prefix=b"p/../.."), "not a plain relative path"),
    "a name with a backslash": (member(b"p\\..\\evil", b"x"), "backslash"),
    "a name with a control character": (member(b"p/a\n", b"x"), "control character"),
    # pax records
    "a pax record that is too short": (pax(b"9 path=p/evil\n") + A, RECORD),
    "a pax record that is too long": (pax(b"99 path=p/evil\n") + A, RECORD),
    "a pax record with a leading zero": (pax(b"015 path=p/evil\n") + A, RECORD),
    "a pax record of length 0": (pax(b"0 path=p/evil\n") + A, RECORD),
    "a pax record with a sign": (pax(b"+15 path=p/evil\n") + A, RECORD),
    "a pax record without a line feed": (pax(b"14 path=p/evil") + A, RECORD),
    "a pax record without a key": (pax(b"9 =evil1\n") + A, RECORD),
    "zeros after the pax records": (pax((b"path", b"p/b"), b"\0" * 9) + A, RECORD),
    "a line feed in a pax value": (pax((b"SCHILY.xattr.user.a", b"a\n15 path=p/evil\n")) + A, RECORD),
    "an empty pax header": (pax() + A, "an extended header of 0 bytes"),
    "a huge pax header": (header(b"x", kind=b"x", size=700 << 20), "an extended header of 734003200 bytes"),
    "a pax owner that is no number": (pax((b"uid", b"abc")) + A, "not a valid value"),
    "a pax owner that is too large": (pax((b"gid", b"4294967295")) + A, "not a valid value"),
    "a pax owner that is not text": (pax((b"uname", b"\xff")) + A, "not a valid value"),
    "a pax owner with a NUL": (pax((b"gname", b"a\0")) + A, "not a valid value"),
    "a pax time that is no number": (pax((b"mtime", b"nan")) + A, "not a valid value"),
    "a pax time with an exponent": (pax((b"mtime", b"1e5")) + A, "not a valid value"),
    "an access list": (pax((b"SCHILY.acl.access", b"user::rwx,group::r--,other::r--")) + A, "not every reader knows"),
    "flags of a file": (pax((b"SCHILY.fflags", b"nodump")) + A, "not every reader knows"),
    "a pax key that nobody knows": (pax((b"VENDOR.path", b"p/evil")) + A, "not every reader knows"),
    "a global pax path": (pax((b"path", b"p/evil"), kind=b"g") + A, "sets 'path' for all entries"),
    "a global pax link target": (
        pax((b"linkpath", b"evil"), kind=b"g") + member(b"p/l", kind=b"2", link=b"a"),
        "sets 'linkpath' for all entries",
    ),
    "a global pax size": (pax((b"size", b"1"), kind=b"g") + A, "sets 'size' for all entries"),
    "a global pax header after an entry": (A + pax((b"comment", b"x"), kind=b"g"), "after its first header"),
    "a global pax header after a pax header": (
        pax((b"path", b"p/b")) + pax((b"comment", b"x"), kind=b"g") + A,
        "after its first header",
    ),
    # sizes and numbers
    "a pax size that disagrees": (pax((b"size", b"3")) + A, "disagree about its size"),
    "a pax size that is too large": (pax((b"size", b"9" * 30)) + A, "not a valid value"),
    "a pax size beyond the file": (pax((b"size", b"9" * 18)) + A, "disagree about its size"),
    "a pax size with a leading zero": (pax((b"size", b"05")) + A, "not a valid value"),
    "a real size of star": (pax((b"SCHILY.realsize", b"3")) + A, "not every reader knows"),
    "no size": (member(b"p/a", size=bytes(12)), NUMBER),
    "a number after a NUL": (member(b"p/a", b"x", size=b"\0" + b"0000000001\0"), NUMBER),
    "a number around a NUL": (member(b"p/a", b"x" * 8, size=b"10\0" + b"7777777\0\0"), NUMBER),
    "a number with a sign": (member(b"p/a", b"x", size=b"+0000000001\0"), NUMBER),
    "a number with an underscore": (member(b"p/a", b"x" * 9, size=b"0000000_011\0"), NUMBER),
    "a number with Python's prefix": (member(b"p/a", b"x" * 9, size=b"0o000000011\0"), NUMBER),
    "a number that is not octal": (member(b"p/a", b"x" * 8, size=b"000000000108"), NUMBER),
    "a number without a terminator": (member(b"p/a", b"x", size=b"000000000001"), NUMBER),
    "a number after a tab": (member(b"p/a", b"x", size=b"\t         1\0"), NUMBER),
    "a size with high bits": (member(b"p/a", b"x", magic=GNU, size=b"\x80\1" + bytes(9) + b"\1"), NUMBER),
    "a size below zero": (member(b"p/a", b"x", magic=GNU, size=b"\xff" * 12), NUMBER),
    "an owner below zero": (member(b"p/a", b"x", magic=GNU, uid=b"\xff" * 8), NUMBER),
    "an owner that is too large": (member(b"p/a", b"x", magic=GNU, uid=_base_256(1 << 40, 8)), NUMBER),
    "an owner of spaces": (member(b"p/a", b"x", uid=b" " * 8), NUMBER),
    "an owner that is no number": (member(b"p/a", b"x", uid=b"root\0\0\0\0"), NUMBER),
    "a time of spaces": (member(b"p/a", b"x", mtime=b" " * 12), NUMBER),
    "a device that is no number": (member(b"p/a", b"x", major=b"zzz"), NUMBER),
    "a mode in base 256": (member(b"p/a", b"x", magic=GNU, mode=_base_256(0o755, 8)), NUMBER),
    "a checksum of signed bytes": (_signed_checksum(UMLAUT), "a wrong checksum"),
    "a wrong checksum": (A + member(b"p/b", b"x", checksum=b"000000\0 "), "a wrong checksum"),
    # types
    "a folder with a size": (member(b"p/d/", kind=b"5", size=BLOCK) + A, "a folder with a size"),
    "a symbolic link with a size": (
        member(b"p/l", kind=b"2", link=b"a", size=BLOCK) + A,
        "a symbolic link with a size",
    ),
    "a hard link with a size": (
        A + member(b"p/h", b"hello", kind=b"1", link=b"p/a"),
        "a hard link with a size",
    ),
    "a file with the target of a link": (member(b"p/a", b"x", link=b"b"), "with the target of a link"),
    "a file with a pax link target": (pax((b"linkpath", b"p/b")) + A, "with the target of a link"),
    "a link whose target is only in a pax header": (pax((b"linkpath", b"a")) + member(b"p/l", kind=b"2"), "to nothing"),
    "a link whose target is only in a GNU header": (
        long_name(b"a", b"K") + member(b"p/l", kind=b"2", magic=GNU),
        "to nothing",
    ),
    "a link to nothing": (member(b"p/l", kind=b"2"), "to nothing"),
    "a hard link to a later file": (member(b"p/h", kind=b"1", link=b"p/a") + A, "not an earlier file"),
    "a hard link to a file outside": (member(b"p/h", kind=b"1", link=b"../etc/passwd"), "not an earlier file"),
    "a hard link to a symbolic link": (
        A + member(b"p/l", kind=b"2", link=b"a") + member(b"p/h", kind=b"1", link=b"p/l"),
        "not an earlier file",
    ),
    "a hard link to itself": (member(b"p/h", kind=b"1", link=b"p/h"), "not an earlier file"),
    "a hard link with another mode": (
        A + member(b"p/h", kind=b"1", link=b"p/a", mode=EXECUTABLE),
        "only one of it and its target is executable",
    ),
    "a symbolic link that leaves": (member(b"p/l", kind=b"2", link=b"../../x"), "leaves the tree"),
    "a symbolic link through a link": (
        member(b"p/l", kind=b"2", link=b"e") + member(b"p/l/a", b"x"),
        TWO_PLACES,
    ),
    "a file in the place of a folder": (FOLDER + member(b"p/d", b"x"), TWO_PLACES),
    "a link in the place of a folder": (
        member(b"p/e/", kind=b"5", mode=EXECUTABLE)
        + member(b"p/d", kind=b"2", link=b"e")
        + FOLDER
        + member(b"p/d/a", b"x"),
        TWO_PLACES,
    ),
    "a file below a file": (A + member(b"p/a/b", b"x"), TWO_PLACES),
    "a path twice": (A + member(b"p/a", b"other"), "occurs twice"),
    "a path twice, once after ./": (A + member(b"./p/a", b"other"), "occurs twice"),
    "a sparse file in GNU's old format": (OLD_SPARSE, UNKNOWN),
    "a sparse file without fields": (member(b"p/a", b"xyz", kind=b"S", magic=GNU), TYPE),
    "a sparse file in format 0.0": (SPARSE_0_0, "'GNU.sparse.size', which not every reader knows"),
    "a sparse file in format 0.1": (SPARSE_0_1, "'GNU.sparse.size', which not every reader knows"),
    "a sparse file in format 1.0": (SPARSE_1_0, "'GNU.sparse.major', which not every reader knows"),
    "a name of a sparse file": (pax((b"GNU.sparse.name", b"p/b")) + A, "not every reader knows"),
    "a continued file": (member(b"p/a", b"x", kind=b"M", magic=GNU), TYPE),
    "the name of a volume": (member(b"p/a", kind=b"V", magic=GNU), TYPE),
    "a listed folder": (member(b"p/d/", kind=b"D", magic=GNU), TYPE),
    "old long names": (member(b"p/a", b"x", kind=b"N", magic=GNU), TYPE),
    "a contiguous file": (member(b"p/a", b"x", kind=b"7"), TYPE),
    "a character device": (member(b"p/a", kind=b"3"), TYPE),
    "a block device": (member(b"p/a", kind=b"4"), TYPE),
    "a pipe": (member(b"p/a", kind=b"6"), TYPE),
    "an unknown type": (member(b"p/a", b"x", kind=b"Z"), TYPE),
}

# Ends of archives. They follow the last entry.
ENDS: dict[str, tuple[bytes, str]] = {
    "no end": (b"", "cut off"),
    "one block of zeros": (bytes(BLOCK), "cut off"),
    "one block of zeros before an entry": (bytes(BLOCK) + member(b"p/b", b"x") + END, "belong to no entry"),
    "two archives": (END + member(b"p/b", b"x") + END, "belong to no entry"),
    "bytes after the end": (END + b"x" * BLOCK, "belong to no entry"),
    "a pax header at the end": (pax((b"path", LONG)) + END, "belongs to no entry"),
    "an odd length": (END + bytes(7), "cut off"),
    "content that is cut off": (member(b"p/b", b"x" * 2000)[:-BLOCK], "cut off"),
}


def main() -> None:
    judges = quick_judges()
    if (uv := uv_judge()) is not None:
        judges["uv"] = uv
    bodies = ALIKE | {name: body for name, (body, _) in DIFFERENT.items()}
    archives = {name: archive(body) for name, body in bodies.items()}
    archives |= {name: A + project_files(POSIX) + end for name, (end, _) in ENDS.items()}
    for name, data in archives.items():
        try:
            our_tree(data)
        except Refused as error:
            print(f"\n{name}: refused, {error}")
            if "not a plain relative path" in str(error):
                print("  no reader unpacks it here: some would write outside of their folder")
                continue
        else:
            print(f"\n{name}: accepted")
        views: dict[str, list[str]] = {}
        for judge in judges:
            seen = opinion(judges[judge], data)
            if not isinstance(seen, str):
                seen = {path: leaf for path, leaf in seen.items() if path not in ("p/backend.py", "p/pyproject.toml")}
            views.setdefault(str(seen), []).append(judge)
        for view, names in views.items():
            print(f"  {', '.join(names)}: {view[:200]!r}")


if __name__ == "__main__":
    main()
