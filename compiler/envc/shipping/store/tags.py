"""Tags: names that keep all environments of one lock in a store, however long nobody bundles it again."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from envc.errors import UsageError
from envc.model.digest import Sha256, parse_sha256
from envc.shipping.format.documents import canonical_json, decode_json
from envc.shipping.format.errors import CorruptBlob
from envc.shipping.store.blobs import Blobs
from envc.shipping.store.keys import STEPS, TAGS, escape, tag_key, unescape

TAG_FORMAT = 1
MAX_TAG = 1 << 16  # bytes


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """What ``v1/tags/<project>/<name>.json`` says."""

    format: int = TAG_FORMAT
    lock: Sha256  # digest of the lock file whose step pointers are kept


class NamedTag(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A tag with its place."""

    project: str
    name: str
    lock: Sha256


def put_tag(blobs: Blobs, project: str, name: str, lock: Sha256, *, move: bool = False) -> bool:
    """Let a name stand for the environments of a lock; False when it stands for another one and may not `move`."""
    key = _key(project, name)
    data = canonical_json(Tag(lock=lock))
    if move:
        blobs.write(key, data)
        return True
    return blobs.write_new(key, data) or _read(blobs, key).lock == lock


def delete_tag(blobs: Blobs, project: str, name: str) -> bool:
    """Remove a tag; False when there is none."""
    key = _key(project, name)
    there = blobs.exists(key)
    blobs.delete(key)
    return there


def tags(blobs: Blobs, project: str | None = None) -> Iterator[NamedTag]:
    """All tags of a store, or of a project in it, sorted. Raises CorruptBlob for one that cannot be read."""
    for key in blobs.list(f"{TAGS}/{escape(project)}" if project is not None else TAGS):
        owner, _, name = key.removeprefix(f"{TAGS}/").partition("/")
        lock = _read(blobs, key).lock
        yield NamedTag(project=unescape(owner), name=unescape(name.removesuffix(".json")), lock=lock)


def is_bundled(blobs: Blobs, project: str, lock: Sha256) -> bool:
    """Whether a store holds a step pointer of that lock."""
    return any(True for _ in blobs.list(f"{STEPS}/{escape(project)}/{lock}"))


def _key(project: str, name: str) -> str:
    try:
        return tag_key(project, name)
    except ValueError as error:
        raise UsageError(str(error), "a tag is a short name, such as v1.2") from None


def _read(blobs: Blobs, key: str) -> Tag:
    what = f"{blobs.name}: {key}"
    tag = decode_json(blobs.read(key, MAX_TAG), Tag, what)
    try:
        parse_sha256(tag.lock)
    except ValueError as error:
        raise CorruptBlob(what, str(error)) from None
    return tag
