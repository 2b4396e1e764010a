"""A folder that appears at once, filled, or not at all; whatever kills the run that fills it.

It is made as a temporary sibling and renamed. What a killed run left is removed by the next one that wants the folder.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from envc.errors import EnvcError, Unwritable
from envc.model.digest import sha256
from envc.system.locks import file_lock, holding

# What a disk answers that cannot share a file in the one way that was asked for, or not with the disk of the cache.
_NO_SHARING = frozenset({errno.EXDEV, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY})


class PrefixOccupied(EnvcError):
    """A folder that envc did not make is never replaced."""

    hint = "choose another --prefix, or remove the folder yourself"

    def __init__(self, prefix: Path) -> None:
        super().__init__(prefix)
        self.prefix = prefix

    def __str__(self) -> str:
        return f"{self.prefix} exists, and envc did not make it"


def publish_folder(
    place: Path,
    *,
    locks: Path,
    is_ours: Callable[[], bool],
    is_made: Callable[[], bool],
    fill: Callable[[Path], None],
) -> bool:
    """Let `place` become a new folder that `fill` has filled. False when it `is_made` by the time the lock is ours.

    Locks stand in the folder `locks`. A folder that `is_ours` is replaced and an empty one is used; anything else is
    PrefixOccupied. Raises what `fill` raises, and Unwritable for OSErrors.
    """
    with holding(_lock_of(place, locks)):
        try:
            _remove_leftovers(place)
            if is_made():
                return False
            replaced = _is_there(place, is_ours)
            place.parent.mkdir(parents=True, exist_ok=True)
            draft = _sibling(place)
            try:
                draft.mkdir()
                fill(draft)
                _swap(draft, place, replaced=replaced)
            finally:
                if draft.exists():
                    _remove(draft)
            return True
        except OSError as error:
            raise _disk_error(place, error) from None


def remove_folder(place: Path, *, locks: Path) -> None:
    """Remove a folder that `appear` made, at once, unless somebody is making it anew just now. Raises OSError."""
    import shutil

    locks.mkdir(parents=True, exist_ok=True)
    with file_lock(_lock_of(place, locks), wait=False) as is_ours:
        if is_ours:
            draft = _sibling(place)
            place.rename(draft)
            shutil.rmtree(draft)


def _lock_of(place: Path, locks: Path) -> Path:
    return locks / f"{sha256(os.fsencode(place))}.lock"


def _is_there(place: Path, is_ours: Callable[[], bool]) -> bool:
    """Whether there is something to be replaced. Raises PrefixOccupied for what must not be."""
    if not os.path.lexists(place):
        return False
    if place.is_symlink() or not place.is_dir() or (any(place.iterdir()) and not is_ours()):
        raise PrefixOccupied(place)
    return True


def _swap(draft: Path, place: Path, *, replaced: bool) -> None:
    if replaced:
        old = _sibling(place)
        place.rename(old)
        draft.rename(place)
        _remove(old)
    else:
        draft.rename(place)


def _sibling(place: Path) -> Path:
    return place.with_name(f"{_draft_name(place)}{os.urandom(8).hex()}")


def _draft_name(place: Path) -> str:
    return f".{place.name}.envc-"


def leftovers(place: Path) -> list[Path]:
    """What killed runs left beside a folder, and what a run that fills it just now works on."""
    if not place.parent.is_dir():
        return []
    return [entry for entry in place.parent.iterdir() if entry.name.startswith(_draft_name(place))]


def _remove_leftovers(place: Path) -> None:
    """Remove what killed runs left. Only who holds the lock of `place` may do so."""
    for entry in leftovers(place):
        _remove(entry)


def _remove(folder: Path) -> None:
    """Remove what can be removed; the next run tries again. A folder that simply appears never pays for the import."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _disk_error(place: Path, error: OSError) -> Unwritable:
    where = "choose another --prefix, or another ENVC_CACHE_DIR"
    if error.errno in _NO_SHARING:
        where = f"leave out --link-mode, and the first way to share files that works here is taken; or {where}"
    return Unwritable(place, error, where)
