"""Compares the byte-code that hydrate wrote with what the sources compile to.

Hydrate writes files that Python never compares with their sources (PEP 552, unchecked), so a changed one would run in
place of its source. They are compiled again in a temporary folder, by an interpreter of this machine that has exactly
the version of the prefix's own. The interpreter of the prefix is not started, since it may have been replaced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from envc.model.progress import Progress
from envc.model.record import Member, Record
from envc.shipping.deliver.made_files import OTHER_CONTENT, Difference
from envc.shipping.machine.interpreter import HostPython, this_python
from envc.system.beneath import Beneath, NotPlain
from envc_solvers.target import Python

FindPython = Callable[[Python], HostPython | None]  # an interpreter of this machine
Folder = tuple[str, Sequence[str], Sequence[str]]  # as os.walk yields it: its path, and names of folders and of files
_UNCHECKED = b"\x01\0\0\0"  # flags of a pyc whose source is not looked at (PEP 552)
_INTERPRETERS = ("python", "cpython", "pypy")  # names of packages with an interpreter


def bytecode_differences(
    prefix: Path, members: Mapping[str, Member], find: Callable[[], HostPython | None]
) -> Iterator[Difference]:
    """What differs in the byte-code of a prefix that was hydrated with byte-code.

    `find` returns the interpreter that compiles; without one, nothing is compared, and nothing is yielded.
    """
    judge = find()
    if judge is None:
        return
    import shutil  # these are not needed for most prefixes
    import tempfile

    from envc.shipping.prefix.bytecode import compile_tree, compiled_sources

    sources = compiled_sources(members)
    below = Beneath(prefix)
    with tempfile.TemporaryDirectory(prefix="envc-verify-") as scratch:
        root = Path(scratch)
        for path in sources:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            if (prefix / path).is_file():  # else it is named as a problem itself
                shutil.copyfile(prefix / path, root / path)
        compile_tree(root, sources, judge)
        for expected in _bytecode(root, sources):
            path = expected.relative_to(root).as_posix()
            data = expected.read_bytes()
            try:
                if below.status(path).st_size != len(data) or below.read(path, len(data)) != data:
                    yield path, OTHER_CONTENT
            except FileNotFoundError:
                yield path, "is missing"
            except OSError as error:
                yield path, f"cannot be read: {error.strerror}"


def unchecked_bytecode(
    prefix: Path, folders: Iterable[Folder], members: Mapping[str, Member], *, is_compiled: bool
) -> Iterator[Difference]:
    """Byte-code in ``__pycache__`` that Python runs without a look at its source, and that neither a package brought
    nor hydrate wrote. Python itself writes none. `folders` are those of the prefix.
    """
    below = Beneath(prefix)
    own = set()
    if is_compiled:
        from envc.shipping.prefix.bytecode import compiled_sources

        own = set(compiled_sources(members))
    for place, _, files in folders:
        if not place.endswith(f"{os.sep}__pycache__"):
            continue
        for name in files:
            path = Path(place, name).relative_to(prefix).as_posix()
            source = f"{path.rpartition('/__pycache__/')[0]}/{name.partition('.')[0]}.py"
            if path in members or source in own or ".pyc" not in name:
                continue
            try:
                with os.fdopen(below.open(path)[0], "rb") as stream:
                    head = stream.read(8)
            except NotPlain as error:
                yield path, error.reason
                continue
            except OSError:
                continue
            if head[4:] == _UNCHECKED:
                yield path, "is byte-code that Python does not compare with its source"


def judge_of(
    interpreter: HostPython | str | None, record: Record, python: Python, find: FindPython, progress: Progress
) -> HostPython | None:
    """An interpreter of this machine that compiles as that of the prefix does. None, with a warning, if there is
    none.
    """
    version = interpreter.version if isinstance(interpreter, HostPython) else _own_version(record)
    candidates: tuple[FindPython, ...] = (lambda _: this_python(), find)
    for candidate in candidates:
        found = candidate(python)
        if found is not None and found.is_of_minor(python) and found.version == version:
            return found
    progress.warn(f"the byte-code is not compared: this machine has no Python {version} to compile it with")
    return None


def _own_version(record: Record) -> str:
    return next((item.version for item in record.objects if item.name in _INTERPRETERS), "")


def _bytecode(root: Path, sources: Iterable[str]) -> list[Path]:
    return sorted(
        path for folder in {(root / source).parent for source in sources} for path in folder.glob("__pycache__/*.pyc")
    )
