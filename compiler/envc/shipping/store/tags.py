"""Tags: names that keep all environments of one lock in a store, even if it is not bundled again for a long time."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from envc.errors import UsageError
from envc.model.digest import Sha256, parse_sha256
from envc.model.limits import TAG_BYTES
from envc.shipping.format.documents import canonical_json, decode_json
from envc.shipping.format.errors import CorruptBlob
from envc.shipping.store.blobs import Blobs
from envc.shipping.store.keys import STEPS, TAGS, escape, tag_key, unescape
from envc.shipping.store.own_blobs import OwnBlobs

TAG_FORMAT = 1


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``v1/tags/<project>/<name>.json``."""

    format: int = TAG_FORMAT
    lock: Sha256  # digest of the lock file whose step pointers are kept


class NamedTag(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A tag with its name and project."""

    project: str
    name: str
    lock: Sha256


def put_tag(blobs: Blobs, project: str, name: str, lock: Sha256, *, move: bool = False) -> bool:
    """Give the environments of a lock a name. Returns False if the name belongs to another lock and must not `move`."""
    key = _key(project, name)
    data = canonical_json(Tag(lock=lock))
    if move:
        blobs.write(key, data)
        return True
    return blobs.write_new(key, data) or _read(blobs, key).lock == lock


def delete_tag(blobs: Blobs, project: str, name: str) -> bool:
    """Remove a tag. Returns False if there is none."""
    key = _key(project, name)
    existed = blobs.exists(key)
    blobs.delete(key)
    return existed


def tags(blobs: Blobs, own: OwnBlobs, project: str | None = None) -> Iterator[NamedTag]:
    """All tags of a store, or of one project, sorted. Raises CorruptBlob for a tag that cannot be read."""
    for listed in own.scan(f"{TAGS}/{escape(project)}" if project is not None else TAGS):
        owner, _, name = listed.key.removeprefix(f"{TAGS}/").partition("/")
        lock = _read(blobs, listed.key).lock
        yield NamedTag(project=unescape(owner), name=unescape(name.removesuffix(".json")), lock=lock)


def is_bundled(blobs: Blobs, project: str, lock: Sha256) -> bool:
    """Whether a store contains a step pointer of that lock."""
    return any(True for _ in OwnBlobs(blobs).scan(f"{STEPS}/{escape(project)}/{lock}"))


def _key(project: str, name: str) -> str:
    try:
        return tag_key(project, name)
    except ValueError as error:
        raise UsageError(str(error), "choose a short name, such as v1.2") from None


def _read(blobs: Blobs, key: str) -> Tag:
    what = f"{blobs.name}: {key}"
    tag = decode_json(blobs.read(key, TAG_BYTES), Tag, what)
    try:
        parse_sha256(tag.lock)
    except ValueError as error:
        raise CorruptBlob(what, str(error)) from None
    return tag
