"""A folder that appears complete under its name, or not at all, even if the run that fills it is killed.

It is created as a temporary sibling and renamed. An existing folder is exchanged with the new one in one step where the
system can do that. Elsewhere it is first renamed to a sibling with ``-old-`` in its name; if the run is killed before
the second rename, the next run that creates the same folder puts it back first. That run also removes the leftovers of
killed runs.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from envc.errors import EnvcError, Unwritable
from envc.model.digest import sha256
from envc.system.drafts import drafted_folder, folder_draft, is_folder_draft, is_replaced_folder
from envc.system.exchange import exchange
from envc.system.locks import cache_lock, file_lock, no_user

# Errors of a disk that cannot share files in the requested way, or not with the disk of the cache.
_NO_SHARING = frozenset({errno.EXDEV, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY})


class PrefixOccupied(EnvcError):
    """The path of a prefix is occupied by a folder that envc did not create. Such a folder is never replaced."""

    hint = "choose another --prefix, or remove the folder yourself"

    def __init__(self, prefix: Path) -> None:
        super().__init__(prefix)
        self.prefix = prefix

    def __str__(self) -> str:
        return f"{self.prefix} exists, and envc did not make it"


class FolderInUse(EnvcError):
    """A folder of the cache that has to be made again, while a step may be running from it."""

    hint = "run the same command again when that step has ended, or set ENVC_CACHE_DIR to another folder"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder = folder

    def __str__(self) -> str:
        return f"{self.folder} is not as envc made it, and is not replaced, because a step may be using it"


def publish_folder(
    place: Path,
    *,
    locks: Path | None,
    is_ours: Callable[[], bool],
    is_made: Callable[[], bool],
    populate: Callable[[Path], None],
    used: str | None = None,
) -> bool:
    """Create the folder `place` with the contents that `populate` writes.

    Returns False if `is_made` holds once the lock is acquired. The lock is a file in the folder `locks`, or one beside
    `place` that is removed afterwards: this works without a cache, and for users with different caches. A folder that
    `is_ours` is replaced, and an empty one is used; anything else raises PrefixOccupied. With `used`, a folder in which
    another process has marked that file by `locks.in_use` raises FolderInUse. Raises whatever `populate` raises, and
    Unwritable for OSErrors.
    """
    with cache_lock(_lock_of(place, locks)) if locks is not None else _lock_beside(place):
        try:
            _recover(place)
            if is_made():
                return False
            replaced = _is_occupied(place, is_ours)
            if replaced:
                with _unused(place, used):
                    pass  # checked before the work as well
            place.parent.mkdir(parents=True, exist_ok=True)
            draft = _sibling(place)
            try:
                draft.mkdir()
                populate(draft)
                _swap(draft, place, replaced=replaced, used=used)
            finally:
                if draft.exists():
                    _remove(draft)
            return True
        except OSError as error:
            raise _disk_error(place, error) from None


def remove_folder(path: Path, *, locks: Path, used: str) -> bool:
    """Remove a folder that `publish_folder` created, atomically, or a leftover of a killed run.

    Returns False, and removes nothing, if another process is creating the folder, or uses it: if it has marked the file
    `used` in it by `locks.in_use`. Raises OSError.
    """
    import shutil

    name = drafted_folder(path.name)
    locks.mkdir(parents=True, exist_ok=True)
    with file_lock(_lock_of(path.with_name(name or path.name), locks), wait=False) as is_held:
        if not is_held:
            return False
        if name is not None:
            shutil.rmtree(path)
            return True
        draft = _sibling(path)
        with no_user(path / used) as is_unused:
            if not is_unused:
                return False
            path.rename(draft)
        shutil.rmtree(draft)
        return True


def _lock_of(place: Path, locks: Path) -> Path:
    return locks / f"{sha256(os.fsencode(place))}.lock"


@contextmanager
def _lock_beside(place: Path) -> Iterator[None]:
    """Hold a lock in the folder of `place`. In a folder like /tmp, another user may have put something in its place."""
    file = place.with_name(f".envc-{sha256(os.fsencode(place.name))[:16]}.lock")
    with ExitStack() as stack:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(file_lock(file, own=True))
        except OSError as error:
            raise Unwritable(place, error, "choose another --prefix") from None
        try:
            yield
        finally:
            with suppress(OSError):
                file.unlink()  # a process that waits for it makes a new one


def _is_occupied(place: Path, is_ours: Callable[[], bool]) -> bool:
    """Whether there is a folder to be replaced. Raises PrefixOccupied if it must not be replaced."""
    if not os.path.lexists(place):
        return False
    if place.is_symlink() or not place.is_dir() or (any(place.iterdir()) and not is_ours()):
        raise PrefixOccupied(place)
    return True


@contextmanager
def _unused(place: Path, used: str | None) -> Iterator[None]:
    """Keep other processes from marking the file `used` while the body runs. Raises FolderInUse if one has."""
    if used is None:
        yield
        return
    with no_user(place / used) as is_unused:
        if not is_unused:
            raise FolderInUse(place)
        yield


def _swap(draft: Path, place: Path, *, replaced: bool, used: str | None) -> None:
    """Publish a draft. The replaced folder, if any, is left under the name of the draft, or removed."""
    if not replaced:
        draft.rename(place)
        return
    with _unused(place, used):
        if not exchange(draft, place):
            old = place.with_name(folder_draft(place.name, replaced=True))
            place.rename(old)
            draft.rename(place)
            _remove(old)


def _sibling(place: Path) -> Path:
    return place.with_name(folder_draft(place.name))


def leftovers(place: Path) -> list[Path]:
    """The temporary siblings of a folder: the leftovers of killed runs, and the draft of a run that is creating it
    now. Links, and folders of other users, are none.
    """
    try:
        with os.scandir(place.parent) as entries:
            return [Path(entry.path) for entry in entries if is_folder_draft(entry.name, place.name) and _is_own(entry)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_own(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder that this user created. In a folder that everybody may write to, such as /tmp,
    another user can create one with the name of a leftover.
    """
    if not entry.is_dir(follow_symlinks=False):
        return False
    return os.name != "posix" or entry.stat(follow_symlinks=False).st_uid == os.geteuid()


def _recover(place: Path) -> None:
    """Put the folder back that a killed run was replacing, and remove the leftovers of killed runs. The caller must
    hold the lock of `place`.
    """
    for entry in leftovers(place):
        if is_replaced_folder(entry.name) and not os.path.lexists(place):
            entry.rename(place)
        else:
            _remove(entry)


def _remove(folder: Path) -> None:
    """Remove as much as possible; the next run retries the rest. Imported here, since most runs remove nothing."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _disk_error(place: Path, error: OSError) -> Unwritable:
    where = "choose another --prefix, or another ENVC_CACHE_DIR"
    if error.errno in _NO_SHARING:
        where = f"leave out --link-mode, so that envc uses the first way to share files that works here; or {where}"
    return Unwritable(place, error, where)
