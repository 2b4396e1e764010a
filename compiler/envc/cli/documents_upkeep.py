"""The JSON of the verbs that look after stores and caches; what is not here is written as the verb's own value."""

from __future__ import annotations

import msgspec

from envc.shipping.deliver.caches import CachePart
from envc.shipping.store.tags import NamedTag


class TagsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``envc tag --json`` writes."""

    tags: tuple[NamedTag, ...]  # of this project, sorted by name


class CacheDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``envc cache show --json`` writes."""

    folder: str
    parts: tuple[CachePart, ...]


class PruneDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``envc cache prune --json`` writes."""

    folder: str
    removed: bool  # False for a dry run
    entries: int
    size: int  # bytes
