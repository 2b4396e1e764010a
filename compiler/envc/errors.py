"""The errors that envc expects. Each is an ``EnvcError`` (exit 1); any other exception is a bug (exit 2)."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from envc_solvers.errors import Unanswered
from envc_solvers.origin import KeyPath, Phrase, ShowPlace, render, render_key_path


class EnvcError(Exception):
    """An expected failure. ``str()`` is the whole message for the user; ``hint`` says how to fix it.

    A message is one line, unless the class overrides `lines`. A line end within a line comes from a value, so it is
    escaped when the message is shown: no value can add a line that looks like one of envc's own.
    """

    exit_code = 1
    hint: str | None = None

    def lines(self) -> tuple[str, ...]:
        """The lines of the message. A class whose message has several lines overrides this and not ``__str__``."""
        return (str(self),)

    @property
    def code(self) -> str:
        """A stable, machine-readable name: the class name in kebab case."""
        name = type(self).__name__.removesuffix("Error")
        return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")

    def data(self) -> dict[str, object]:
        """The fields that ``--json`` shows besides code, message and hint."""
        return {}


class UsageError(EnvcError):
    """The command line contradicts itself, the manifest or the environment variables."""

    exit_code = 2

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class Unwritable(EnvcError):
    """A place on this machine that cannot be written, because the disk is full or the user lacks permission."""

    def __init__(self, place: Path | str, error: OSError, hint: str) -> None:
        """`hint` applies to every cause except a full disk."""
        super().__init__(place, error, hint)
        self.place = place
        self.reason = error.strerror or str(error)
        self.is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        self.hint = (
            "nothing is half-written; free some space there, then run the same command again" if self.is_full else hint
        )

    def __str__(self) -> str:
        return f"{self.place} cannot be written: {self.reason}"

    def data(self) -> dict[str, object]:
        return {"place": str(self.place)}


class Exhausted(EnvcError):
    """A resource of this machine, or a limit on this process, that is used up."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what  # "threads"
        self.hint = (
            "end other programs, or raise the limit (`ulimit -a` shows the limits of a shell), then run the same "
            "command again"
        )

    def __str__(self) -> str:
        return f"this machine gives envc no more {self.what}"


_RESOURCES = {
    errno.EMFILE: "open files",
    errno.ENFILE: "open files",
    errno.EAGAIN: "processes",
    errno.ENOMEM: "memory",
    errno.ENOSPC: "disk space",
    errno.EDQUOT: "disk space",
}
_UNMAPPED = "failed to map segment"  # glibc's message for a library that there is no memory for
_NO_THREAD = "can't start new thread"  # CPython's message


def exhausted(error: BaseException) -> Exhausted | None:
    """The resource whose want raised an exception, or None. These exceptions may come from any line of code."""
    if isinstance(error, OSError) and error.errno in _RESOURCES:
        return Exhausted(_RESOURCES[error.errno])
    if isinstance(error, MemoryError) or (isinstance(error, ImportError) and _UNMAPPED in str(error)):
        return Exhausted("memory")
    if isinstance(error, RuntimeError) and str(error) == _NO_THREAD:
        return Exhausted("threads")
    return None


class Inaccessible(EnvcError):
    """A file or folder that cannot be used, because of permissions or a full disk. Used where no other error fits."""

    def __init__(self, place: str, error: OSError) -> None:
        super().__init__(place, error)
        self.place = place
        self.reason = error.strerror or str(error)
        self.hint = "check the free space and the permissions there, then run the same command again"

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"

    def data(self) -> dict[str, object]:
        return {"place": self.place}


class SeveralLines(EnvcError):
    """A failure whose message has several lines."""

    def lines(self) -> tuple[str, ...]:
        raise NotImplementedError

    def __str__(self) -> str:
        return "\n".join(self.lines())


class LocatedError(SeveralLines):
    """A failure that names places in the manifest. Their lines are shown once `line_of` is set."""

    line_of: Callable[[KeyPath], int | None] = staticmethod(lambda at: None)  # from 1; None if there is no line

    def show(self, at: KeyPath) -> str:
        """A place as messages show it: ``steps.train.pypi[0], line 12``."""
        key, line = render_key_path(at), self.line_of(at)
        return key if line is None else f"{key}, line {line}"


class NoSuchInterpreter(LocatedError):
    """Steps with an interpreter that does not fit the rest of the step."""

    def __init__(self, what: str, where: tuple[Phrase, ...], hint: str | None = None) -> None:
        super().__init__(what, where)
        self.what = what
        self.where = where
        self.hint = hint

    def lines(self) -> tuple[str, ...]:
        return self.what, *(f"  {render(place, self.show)}" for place in self.where)


class BuildNotAllowed(LocatedError):
    """Projects that exist only as source, although the manifest does not allow building them."""

    def __init__(self, names: tuple[str, ...], where: tuple[Phrase, ...]) -> None:
        super().__init__(names, where)
        self.names = names
        self.where = where
        listed = ", ".join(f'"{name}"' for name in names)
        self.hint = (
            f"a build runs code of the package on this machine; to allow it, write build = [{listed}] under [policy]; "
            "otherwise name a wheel"
        )

    def lines(self) -> tuple[str, ...]:
        first = f"{', '.join(self.names)} would have to be built from source, which the manifest does not allow"
        return first, *(f"  {place}" for place in self._places)

    def data(self) -> dict[str, object]:
        return {"names": list(self.names), "where": self._places}

    @property
    def _places(self) -> list[str]:
        return [render(place, self.show) for place in self.where]


class Mistake:
    """One mistake in a manifest."""

    __slots__ = ("column", "key_path", "line", "reason", "suggestion")

    def __init__(
        self,
        key_path: KeyPath,
        reason: str,
        suggestion: str | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        self.key_path = key_path
        self.reason = reason
        self.suggestion = suggestion
        self.line = line  # 1-based
        self.column = column  # 1-based


class ManifestError(SeveralLines):
    """All mistakes of a manifest, in one report."""

    exit_code = 2

    def __init__(self, path: Path, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__(path, mistakes)
        self.path = path
        self.mistakes = mistakes  # in the order of the file

    def lines(self) -> tuple[str, ...]:
        lines = []
        for mistake in self.mistakes:
            place = str(self.path)
            if mistake.line is not None:
                place += f":{mistake.line}:{mistake.column or 1}"
            key = render_key_path(mistake.key_path)
            lines.append(f"{place}: {key + ': ' if key else ''}{mistake.reason}")
            if mistake.suggestion:
                lines.append(f"    {mistake.suggestion}")
        count = len(self.mistakes)
        return *lines, f"{count} mistake{'s' if count != 1 else ''} in {self.path.name}"

    def data(self) -> dict[str, object]:
        return {
            "manifest": str(self.path),
            "mistakes": [
                {
                    "key": render_key_path(mistake.key_path),
                    "line": mistake.line,
                    "column": mistake.column,
                    "reason": mistake.reason,
                    "suggestion": mistake.suggestion,
                }
                for mistake in self.mistakes
            ],
        }


class DigestMismatch(SeveralLines):
    """A file whose digest is not the expected one."""

    def __init__(
        self, what: str, expected: str, actual: str, hint: str | None = None, algorithm: str = "sha256"
    ) -> None:
        super().__init__(what, expected, actual)
        self.what = what
        self.expected = expected
        self.actual = actual
        self.hint = hint
        self.algorithm = algorithm  # of both digests

    @property
    def headline(self) -> str:
        """The message without the digests."""
        return f"{self.what} does not match its digest"

    def lines(self) -> tuple[str, ...]:
        name = self.algorithm
        return self.headline, f"  expected {name} {self.expected}", f"  actual   {name} {self.actual}"

    def data(self) -> dict[str, object]:
        return {"what": self.what, "expected": self.expected, "actual": self.actual}


class SourceUnreachable(EnvcError, Unanswered):
    """A source that did not answer, or refused to. envc never falls back to the next source."""

    def __init__(self, source: str, what: str, reason: str, hint: str | None = None) -> None:
        super().__init__(source, what, reason)
        self.source = source  # source name; never its URL, which may hold credentials
        self.what = what  # "the page of requests"
        self.reason = reason  # "HTTP 503, 6 times", "connection refused"
        self.status: int | None = None  # of the answer, if that is the reason
        self.hint = (
            hint
            or "check the network and the source's settings, then run the command again; it continues where it stopped"
        )

    def __str__(self) -> str:
        return f"cannot get {self.what} from {self.source}: {self.reason}"


class OfflineMiss(EnvcError, Unanswered):
    """Something that is not in the cache, in a run that must not use the network."""

    hint = "run the same command once without --offline and ENVC_OFFLINE"

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} is not in the cache, and --offline forbids fetching it"


class StaleLock(SeveralLines):
    """A lock that does not match its manifest."""

    hint = "run `envc lock`"

    def __init__(self, path: Path, reasons: tuple[str, ...]) -> None:
        super().__init__(path, reasons)
        self.path = path
        self.reasons = reasons

    def lines(self) -> tuple[str, ...]:
        return f"{self.path.name} is out of date", *(f"  {reason}" for reason in self.reasons)

    def data(self) -> dict[str, object]:
        return {"lock": str(self.path), "reasons": list(self.reasons)}


class NoLock(EnvcError):
    """A manifest without a lock beside it."""

    hint = "run `envc lock`"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"there is no lock file {self.path.name} beside the manifest"


class LockFileError(EnvcError):
    """A lock file that cannot be read."""

    def __init__(self, path: Path, reason: str, hint: str | None = None) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class Unusable(EnvcError):
    """Something that cannot be used, with the reason and, if known, a way to fix it."""

    def __init__(self, what: str, reason: str, hint: str | None = None) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


class StoreError(Unusable):
    """A store that cannot be read or written."""


class Explanation(Protocol):
    """Why a problem has no solution. It holds values, and is rendered as text only when it is shown."""

    def lines(self, show: ShowPlace, /) -> list[str]:
        """The explanation as text for users, without a heading or suggestion."""

    def data(self, show: ShowPlace, /) -> dict[str, object]:
        """The explanation for ``--json``."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One problem without a solution."""

    title: str  # "step train on linux-64"
    why: Explanation
    steps: tuple[str, ...] | None = None  # the steps that have the problem; None if there are no steps
    groups: tuple[str, ...] | None = None  # groups that exclude each other; None if that was not checked
    notes: tuple[Phrase, ...] = ()  # additions from the manifest to the explanation
    suggestion: str = ""  # a change that helps

    def lines(self, show: ShowPlace) -> list[str]:
        """The refusal as text for users, without the title."""
        lines = self.why.lines(show)
        if self.groups:
            lines.append(f"groups {' and '.join(self.groups)} exclude each other: name them in separate steps")
        lines += [render(note, show) for note in self.notes]
        return [*lines, f"try: {self.suggestion}"] if self.suggestion else lines

    def data(self, show: ShowPlace) -> dict[str, object]:
        """The refusal for ``--json``."""
        data: dict[str, object] = {"title": self.title}
        if self.steps is not None:
            data["steps"] = list(self.steps)
        data |= self.why.data(show)
        if self.groups is not None:
            data["groups"] = list(self.groups)
        return data


class Unsolvable(LocatedError):
    """Problems without a solution, each shown once however many step-targets share it."""

    def __init__(self, refusals: tuple[Refusal, ...]) -> None:
        super().__init__(refusals)
        self.refusals = refusals
        if not all(refusal.suggestion for refusal in refusals):
            self.hint = "loosen one of the requirements above, or leave out the target that it fails on"

    def lines(self) -> tuple[str, ...]:
        titles: dict[tuple[str, ...], list[str]] = {}  # by the lines that they share
        for refusal in self.refusals:
            titles.setdefault(tuple(refusal.lines(self.show)), []).append(refusal.title)
        lines = []
        for shared, together in titles.items():
            lines.append(f"cannot solve {'; '.join(together)}")
            lines += [f"  {line}" for line in shared]
        return tuple(lines)

    def data(self) -> dict[str, object]:
        return {"problems": [refusal.data(self.show) for refusal in self.refusals]}
