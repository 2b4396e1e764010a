"""The code cache: bundled code, unpacked once per content digest, and compared with the digest before every use.

``<cache>/code/<content digest>/files`` is the tree. ``members.json`` next to it is the list of its members, whose
digest is the name of the folder. The cache is not trusted, since code is small and is the first thing that a step runs.
Files that a step itself has added stay.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec

from envc.model.digest import Sha256, sha256_file
from envc.model.progress import Progress
from envc.model.record import Member, ObjectIndex, content_digest
from envc.shipping.format.object_index import ReadRange
from envc.system.atomic_folder import publish_folder
from envc_solvers.malformed import malformed

_FILES = "files"
MEMBERS = "members.json"  # processes that use the folder hold `system.locks.in_use` on it


def code_folder(
    content: Sha256, find: Callable[[], tuple[ObjectIndex, ReadRange]], *, cache: Path, progress: Progress
) -> Path:
    """The folder with the tree of that content digest. `find` is called for the object only if the tree is missing.

    Raises whatever `find` raises, CorruptObject, and EnvcError if the files cannot be written.
    """
    folder = cache / "code" / content
    if not _is_whole(folder, content):
        _unpack(folder, content, *find(), cache=cache, progress=progress)
    return folder / _FILES


def _unpack(
    folder: Path, content: Sha256, index: ObjectIndex, read_range: ReadRange, *, cache: Path, progress: Progress
) -> None:
    from envc.shipping.prefix.tree import Part, write_tree

    def populate(draft: Path) -> None:
        (draft / _FILES).mkdir()
        task = progress.task("code", sum(frame.length for frame in index.frames), "B")
        what = f"the code {content[:12]}"
        write_tree(draft / _FILES, [Part(index=index, what=what, read_range=read_range)], task)
        task.done()
        (draft / MEMBERS).write_bytes(msgspec.json.encode(index.members))

    def is_made() -> bool:
        return _is_whole(folder, content)

    publish_folder(
        folder, locks=cache / "locks", is_ours=lambda: True, is_made=is_made, populate=populate, used=MEMBERS
    )


def _is_whole(folder: Path, content: Sha256) -> bool:
    files = folder / _FILES
    try:
        members = msgspec.json.decode((folder / MEMBERS).read_bytes(), type=tuple[Member, ...])
        return content_digest(members) == content and all(_is_unchanged(files / each.path, each) for each in members)
    except malformed(OSError):
        return False


def _is_unchanged(path: Path, member: Member) -> bool:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_size != member.size:
        return False
    is_executable = os.name == "nt" or bool(status.st_mode & stat.S_IXUSR) == (member.mode == 0o755)
    return is_executable and sha256_file(path) == member.sha256
