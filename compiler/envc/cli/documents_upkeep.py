"""The JSON of the verbs that maintain stores and caches. Verbs without a type here print a value of the pipeline."""

from __future__ import annotations

import msgspec

from envc.shipping.deliver.caches import CachePart
from envc.shipping.store.tags import NamedTag


class TagsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The output of ``envc tag --json``."""

    tags: tuple[NamedTag, ...]  # of this project, sorted by name


class CacheDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The output of ``envc cache show --json``."""

    folder: str
    parts: tuple[CachePart, ...]


class PruneDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The output of ``envc cache prune --json``."""

    folder: str
    removed: bool  # False for a dry run
    entries: int
    size: int  # bytes
