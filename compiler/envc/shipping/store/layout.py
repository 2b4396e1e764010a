"""Recognises a store that an earlier version of envc made in a folder, without a marker."""

from __future__ import annotations

from envc.shipping.store.keys import PLACES, is_own
from envc.system.beneath import Beneath


def has_store_layout(folder: Beneath) -> bool:
    """Whether a folder holds blobs of a store, or the empty folders of one.

    A folder ``v1`` alone is no sign, since other programs use that name. Raises NotPlain if a part of the store is a
    link, and OSError if the folder cannot be listed.
    """
    try:
        entries = {found.path for found in folder.entries("v1")}
    except (FileNotFoundError, NotADirectoryError):
        return False
    places = [place for place in PLACES if place in entries]
    is_empty = True
    for place in places:
        for found in folder.files(place):
            if is_own(found.path):
                return True
            is_empty = False
    return bool(places) and is_empty
