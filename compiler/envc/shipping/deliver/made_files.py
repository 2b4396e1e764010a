"""Compares the files that hydrate made in a prefix with what it would make now from the same record.

These are ``pyvenv.cfg`` and the links to the interpreter, and in a prefix of conda packages the prefix records and
the history. What they contain follows from the record and from the state of the prefix, except the address of a
channel. Files into which the path of the prefix was written are compared by `deliver.verify`, with the help of the
prefix records.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from envc.errors import EnvcError
from envc.model.digest import sha256
from envc.model.limits import ARCHIVE_TEXT_BYTES
from envc.model.record import Member, Record, RecordObject
from envc.shipping.machine.interpreter import HOST, HostPython
from envc.shipping.prefix.conda_prefix import UNKNOWN, history_text, is_changed
from envc.shipping.prefix.venv import STATE, make_prefix, stable_names
from envc.shipping.unpack.conda_meta import (
    HISTORY,
    LINKED,
    PathsData,
    PrefixRecord,
    decode_record,
    encode_record,
    meta_path,
    origin_text,
)
from envc.shipping.unpack.placeholders import check_placeholder
from envc.system.beneath import Beneath
from envc_solvers.target import PLATFORMS, Python

OTHER_CONTENT = "has other content"
Difference = tuple[str, str]  # path in the prefix, and what is wrong with it


def state_fits(interpreter: HostPython | str | None, place: str, record: Record, python: Python) -> bool:
    """Whether hydrate can have made a prefix of that record with that interpreter, at `place` if files contain it."""
    if interpreter is None:
        return not place
    if isinstance(interpreter, HostPython):
        return record.interpreter == HOST and not place and interpreter.is_of_minor(python)
    return interpreter == record.interpreter != HOST and bool(place) == (interpreter == "conda")


def unpacked_differences(prefix: Path, record: Record, members: Mapping[str, Member]) -> Iterator[Difference]:
    """A prefix that was only unpacked has none of the files that hydrate makes for an interpreter."""
    for path in record.made:
        if path != STATE and path not in members and os.path.lexists(prefix / path):
            yield path, "was added"


def venv_differences(prefix: Path, host: HostPython, record: Record, python: Python) -> Iterator[Difference]:
    """What differs in the files of a virtual environment on `host`."""
    with tempfile.TemporaryDirectory(prefix="envc-verify-") as scratch:
        expected = Path(scratch)
        try:
            make_prefix(expected, host, PLATFORMS[record.platform], python)
        except EnvcError as error:
            yield "pyvenv.cfg", f"cannot be compared: {error}"
            return
        for path in record.made:
            if path != STATE:
                reason = _difference(prefix / path, expected / path, stable_names(Path(host.executable), python))
                if reason:
                    yield path, reason


def conda_differences(prefix: Path, record: Record, members: Mapping[str, Member]) -> Iterator[Difference]:
    """What differs in the prefix records of conda packages and in the history. `members` are those of the prefix."""
    metas: list[PrefixRecord] = []
    below = Beneath(prefix)
    is_readable = True
    for item in record.objects:
        if item.kind != "conda":
            continue
        path = meta_path(item.file)
        try:
            data = below.read(path, ARCHIVE_TEXT_BYTES)
            meta = decode_record(data)
            is_same = data == _expected(meta, data, item, record, members)
            metas.append(meta)
        except FileNotFoundError:
            yield path, "is missing"
            is_readable = False
            continue
        except OSError as error:
            yield path, f"cannot be read: {error.strerror}"
            is_readable = False
            continue
        except ValueError:
            is_same = is_readable = False
        if not is_same:
            yield path, OTHER_CONTENT
    if is_readable and metas:
        reason = _text_difference(prefix / HISTORY, history_text((meta, meta.channel) for meta in metas))
        if reason:
            yield HISTORY, reason


def _expected(
    meta: PrefixRecord, data: bytes, item: RecordObject, record: Record, members: Mapping[str, Member]
) -> bytes | None:
    """The text of a prefix record in the prefix; None if `meta` does not follow from the object of its package.

    The object holds the original text, whose digest is known. It is restored from `meta`. That is impossible if
    other packages won paths of the package; then every entry is compared with the members instead.
    """
    channel = meta.channel or UNKNOWN
    url = f"{channel}/{meta.subdir or record.platform}/{meta.fn}"
    own = {member.path: member for member in item.index.members if members.get(member.path) is member}
    original = next((member.sha256 for member in item.index.members if member.path == meta_path(item.file)), "")
    added = origin_text(url, channel, meta.link and LINKED)  # earlier versions wrote none
    if data.endswith(added) and sha256(data.removesuffix(added) + b"}\n") == original:
        return data
    plain = msgspec.structs.replace(meta, url="", channel="", link=None)
    if len(own) == len(item.index.members):
        paths = tuple(
            msgspec.structs.replace(entry, sha256_in_prefix=None) if is_changed(entry, record) else entry
            for entry in meta.paths_data.paths
        )
        restored = msgspec.structs.replace(plain, paths_data=PathsData(paths=paths))
        if sha256(encode_record(restored)) != original:
            return None
    elif not _is_plausible(meta, item, own):
        return None
    return encode_record(plain).removesuffix(b"}\n") + added


def _is_plausible(meta: PrefixRecord, item: RecordObject, own: Mapping[str, Member]) -> bool:
    """Whether a prefix record agrees with all members of its package that are in the prefix."""
    if (meta.fn, meta.sha256, meta.version) != (item.file, item.index.artifact, item.version):
        return False
    listed = {}
    for entry in meta.paths_data.paths:
        if entry.prefix_placeholder:
            check_placeholder(entry.prefix_placeholder)
        if entry.path_type != "directory":
            listed[entry.path] = entry.sha256
    if meta.files != tuple(listed) or not own.keys() - {meta_path(item.file)} <= listed.keys():
        return False
    return all(
        path in own and (own[path].type == "link" or digest == own[path].sha256) for path, digest in listed.items()
    )


def _difference(path: Path, expected: Path, links: frozenset[str]) -> str | None:
    """What is wrong with a file or link, compared with the one at `expected`. A link may also lead to any of `links` if
    `expected` leads to one of them.
    """
    if not expected.is_symlink():
        return _text_difference(path, expected.read_bytes())
    if not os.path.lexists(path):
        return "is missing"
    if not path.is_symlink():
        return "is not the link that it was"
    found, wanted = str(path.readlink()), str(expected.readlink())
    return None if found == wanted or {found, wanted} <= links else "points elsewhere"


def _text_difference(path: Path, expected: bytes) -> str | None:
    try:
        if path.is_symlink() or not path.is_file():
            return "is not the plain file that it was" if os.path.lexists(path) else "is missing"
        return None if path.read_bytes() == expected else OTHER_CONTENT
    except OSError as error:
        return f"cannot be read: {error.strerror}"
