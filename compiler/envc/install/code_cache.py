"""Code in the cache: unpacked once by content digest, and compared with that digest before every use.

Code is small, and it is what a step runs first; so what is in the cache is not believed. Beside each folder stands the
list of its members, whose digest is the folder's name. What a step itself has written into the folder stays.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec

from envc.install.appear import appear
from envc.model.digest import Sha256, sha256_file
from envc.model.progress import Progress
from envc.model.record import Member, ObjectIndex, content_digest
from envc.store.index import ReadRange


def code_folder(
    content: Sha256, find: Callable[[], tuple[ObjectIndex, ReadRange]], *, cache: Path, progress: Progress
) -> Path:
    """The folder that holds the tree of that content digest; `find` is asked for the object only where it is missing.

    Raises what `find` raises, CorruptObject, and EnvcError where the disk cannot take the files.
    """
    folder = cache / "code" / content
    if _is_whole(folder, content):
        return folder
    from envc.install.tree import Part, write_tree
    from envc.store.decode import ObjectReader

    index, read_range = find()

    def fill(draft: Path) -> None:
        task = progress.task("code", sum(frame.length for frame in index.frames), "B")
        write_tree(draft, [Part(ObjectReader(index), read_range)], task)
        task.done()
        note = _list(folder)
        unfinished = note.with_suffix(f".{os.urandom(8).hex()}")
        unfinished.write_bytes(msgspec.json.encode(index.members))
        unfinished.replace(note)

    is_made = lambda: _is_whole(folder, content)  # noqa: E731
    appear(folder, locks=cache / "locks", is_ours=lambda: True, is_made=is_made, fill=fill)
    return folder


def _list(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _is_whole(folder: Path, content: Sha256) -> bool:
    try:
        members = msgspec.json.decode(_list(folder).read_bytes(), type=tuple[Member, ...])
        return content_digest(members) == content and all(_is_there(folder / each.path, each) for each in members)
    except (OSError, msgspec.DecodeError):
        return False


def _is_there(path: Path, member: Member) -> bool:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_size != member.size:
        return False
    is_executable = os.name == "nt" or bool(status.st_mode & stat.S_IXUSR) == (member.mode == 0o755)
    return is_executable and sha256_file(path) == member.sha256
