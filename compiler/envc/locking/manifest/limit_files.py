"""Files of constraints and overrides, in the format of pip's constraints files.

A file lists one PEP 508 requirement on each line. Comments, blank lines, line continuations and `-c FILE` are read.
Hashes are accepted and not used: a lock has the digests of every file that it uses. Everything else is a mistake.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from envc.errors import SeveralLines, UsageError
from envc.locking.manifest.paths import path_mistake
from envc.model.limits import LIMIT_FILE_BYTES, NESTED_LIMIT_FILES
from envc.model.manifest import Dependencies, LimitFile, Manifest, PyPIDependency
from envc.system.regular_file import open_regular
from envc_solvers.origin import render_key_path

_COMMENT = re.compile(r"(?:^|\s)#.*$")  # as in pip: a # within a word belongs to the word
_HASH = re.compile(r"\s--hash[=\s]\S+")
_NESTED = re.compile(r"(?:-c|--constraint)(?:\s+|=)(\S+)|-c(\S+)")


class LimitFileError(SeveralLines):
    """Mistakes in a file of constraints or overrides."""

    exit_code = 2
    hint = "the file may contain requirements, markers, comments and `-c FILE`; write everything else in the manifest"

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        super().__init__(mistakes)
        self.mistakes = mistakes  # "constraints.txt:12: …"

    def lines(self) -> tuple[str, ...]:
        return self.mistakes

    def data(self) -> dict[str, object]:
        return {"mistakes": list(self.mistakes)}


def limit_files(manifest: Manifest) -> tuple[LimitFile, ...]:
    """Every file that a manifest names, those of all steps first."""
    tables = (*manifest.groups.values(), *(step.dependencies for step in manifest.steps.values()))
    own = (file for table in tables if table.limits is not None for file in table.limits.files)
    return (*manifest.limit_files, *own)


def with_limit_files(manifest: Manifest, read: Callable[[LimitFile], LimitFile]) -> Manifest:
    """The manifest with every file replaced by the result of `read`."""
    replace = msgspec.structs.replace

    def changed(table: Dependencies) -> Dependencies:
        if table.limits is None or not table.limits.files:
            return table
        return replace(table, limits=replace(table.limits, files=tuple(map(read, table.limits.files))))

    return replace(
        manifest,
        limit_files=tuple(map(read, manifest.limit_files)),
        groups={name: changed(table) for name, table in manifest.groups.items()},
        steps={name: replace(step, dependencies=changed(step.dependencies)) for name, step in manifest.steps.items()},
    )


def read_local(root: Path, file: LimitFile) -> LimitFile:
    """A file on this machine with its digest and contents; unchanged if it does not exist.

    The digest covers the files that it names with `-c`. Raises LimitFileError, and UsageError if a file cannot be read.
    """
    if not (root / file.place).exists():
        return file
    reader = _Reader(root, file)
    reader.read(file.place)
    return reader.finished()


def read_limits(file: LimitFile, data: bytes) -> LimitFile:
    """The file of a URL with its contents. Raises LimitFileError."""
    reader = _Reader(None, file)
    reader.parse(file.place, data)
    return msgspec.structs.replace(reader.finished(), sha256=hashlib.sha256(data).hexdigest())


class _Reader:
    """The files that one entry of a manifest leads to."""

    def __init__(self, root: Path | None, file: LimitFile) -> None:
        self._root = root  # None: nested files cannot be read
        self._file = file
        self._found: list[PyPIDependency] = []
        self._mistakes: list[str] = []
        self._digests: dict[str, str] = {}  # by path
        self._has_hashes = False

    def finished(self) -> LimitFile:
        if self._mistakes:
            raise LimitFileError(tuple(self._mistakes[:20]))
        digests = list(self._digests.values())
        whole = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
        return msgspec.structs.replace(self._file, sha256=whole, pypi=tuple(self._found), has_hashes=self._has_hashes)

    def read(self, place: str) -> None:
        assert self._root is not None
        try:
            with open_regular(self._root / place) as stream:
                data = stream.read(LIMIT_FILE_BYTES + 1)
        except OSError as error:
            where = render_key_path(self._file.at)
            raise UsageError(f"cannot read {place}: {error.strerror or error}", f"{where} leads to it") from None
        # A checkout may have the line ends of its system.
        self._digests[place] = hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()
        if len(self._digests) > NESTED_LIMIT_FILES:
            raise UsageError(f"{self._file.place} leads to more than {NESTED_LIMIT_FILES} files", "join them")
        self.parse(place, data)

    def parse(self, place: str, data: bytes) -> None:
        if len(data) > LIMIT_FILE_BYTES:
            self._mistakes.append(f"{place}: is larger than {LIMIT_FILE_BYTES >> 20} MiB")
            return
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            number = data.count(b"\n", 0, error.start) + 1
            self._mistake(place, number, "is not UTF-8")
            return
        parts: list[str] = []  # of a line that continues
        start = 1
        for number, line in enumerate([*text.splitlines(), ""], 1):
            start = start if parts else number
            if line.rstrip().endswith("\\") and not line.lstrip().startswith("#"):
                parts.append(line.rstrip()[:-1])
                continue
            self._line(place, start, _COMMENT.sub("", " ".join([*parts, line])).strip())
            parts = []

    def _line(self, place: str, number: int, line: str) -> None:
        if not line:
            return
        nested = _NESTED.fullmatch(line)
        if nested is not None:
            self._nested(place, number, nested[1] or nested[2])
        elif line.startswith("-"):
            self._mistake(place, number, f"{line.split()[0]!r} is not understood here")
        else:
            text, hashes = _HASH.subn("", line)
            self._has_hashes = self._has_hashes or hashes > 0
            self._requirement(place, number, text.strip())

    def _nested(self, place: str, number: int, target: str) -> None:
        if self._root is None or "://" in target:
            self._mistake(
                place, number, f"a URL cannot be followed: list it under `files` in the manifest ({target!r})"
            )
            return
        if mistake := path_mistake(target):
            self._mistake(place, number, mistake[0])
            return
        path = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
        if path not in self._digests:
            self.read(path)

    def _requirement(self, place: str, number: int, text: str) -> None:
        from envc_solvers.pypi.language import requirement as requirements  # late: most manifests name no file

        try:
            found = requirements.parse(text)
        except requirements.InvalidRequirement as error:
            self._mistake(place, number, f"not a PEP 508 requirement: {str(error).partition(chr(10))[0]}")
            return
        if found.url:
            self._mistake(place, number, f"{found.name} has an address, which belongs into the manifest")
        elif found.extras and not self._file.overrides:
            self._mistake(place, number, f"a constraint cannot request extras: {text!r}")
        elif "extra" in found.marker and re.search(r"\bextras?\b", re.sub(r"\"[^\"]*\"|'[^']*'", "", found.marker)):
            self._mistake(place, number, "its marker tests for an extra, and there are none here")
        else:
            self._found.append(PyPIDependency(requirement=found, at=self._file.at))

    def _mistake(self, place: str, number: int, reason: str) -> None:
        self._mistakes.append(f"{place}:{number}: {reason}")


def without_unread(manifest: Manifest) -> None:
    """Raise UsageError for a file on this machine that a lock needs and that does not exist."""
    for file in limit_files(manifest):
        if not file.is_url and file.pypi is None:
            raise UsageError(
                f"there is no file {file.place}, which {render_key_path(file.at)} names", "correct the path"
            )
