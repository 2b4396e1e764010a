"""What envc says no with. An expected failure (exit 1) is an ``EnvcError``; anything else is a bug (exit 2)."""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc_solvers.errors import Unanswered

if TYPE_CHECKING:
    from envc.model.manifest import KeyPath

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class EnvcError(Exception):
    """An expected failure. ``str()`` is the whole message for people; ``hint`` is the way out."""

    exit_code = 1
    hint: str | None = None

    @property
    def code(self) -> str:
        """A stable word for machines: the class name in kebab case."""
        name = type(self).__name__.removesuffix("Error")
        return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")

    def data(self) -> dict[str, object]:
        """What ``--json`` shows besides code, message and hint."""
        return {}


class UsageError(EnvcError):
    """The command line or the surroundings do not make sense together."""

    exit_code = 2

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class Unwritable(EnvcError):
    """A place on this machine that cannot be written, for want of room or of rights."""

    def __init__(self, place: Path | str, error: OSError, hint: str) -> None:
        """`hint` is the way out of everything but a full disk, where only room helps."""
        super().__init__(place, error, hint)
        self.place = place
        self.reason = error.strerror or str(error)
        self.is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        self.hint = (
            "nothing is half-written; make room there, then run the same command again" if self.is_full else hint
        )

    def __str__(self) -> str:
        return f"{self.place} cannot be written: {self.reason}"

    def data(self) -> dict[str, object]:
        return {"place": str(self.place)}


class Inaccessible(EnvcError):
    """A file or folder that this user may not use, or that a full disk does not take, where nothing else is known."""

    def __init__(self, place: str, error: OSError) -> None:
        super().__init__(place, error)
        self.place = place
        self.reason = error.strerror or str(error)
        self.hint = "see that there is room, and that your user may use it; then run the same command again"

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"

    def data(self) -> dict[str, object]:
        return {"place": self.place}


class NoSuchInterpreter(EnvcError):
    """Steps that ask for an interpreter which the rest of them cannot be on."""

    def __init__(self, what: str, where: tuple[str, ...], hint: str | None = None) -> None:
        super().__init__(what, where)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        return "\n".join([self.what, *(f"  {place}" for place in self.where)])


class BuildNotAllowed(EnvcError):
    """Projects that only a build can give, without leave to build them."""

    def __init__(self, names: tuple[str, ...], where: tuple[str, ...]) -> None:
        super().__init__(names, where)
        self.names = names
        self.where = where
        listed = ", ".join(f'"{name}"' for name in names)
        self.hint = (
            f"a build runs code of the package on this machine; to allow it, write build = [{listed}] under [policy], "
            "else name a wheel"
        )

    def __str__(self) -> str:
        lines = [f"{', '.join(self.names)} would have to be built from source, which the manifest does not allow"]
        return "\n".join([*lines, *(f"  {place}" for place in self.where)])

    def data(self) -> dict[str, object]:
        return {"names": list(self.names), "where": list(self.where)}


class Mistake:
    """One thing wrong with a manifest."""

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


class ManifestError(EnvcError):
    """Every mistake of a manifest, in one report."""

    exit_code = 2

    def __init__(self, path: Path, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__(path, mistakes)
        self.path = path
        self.mistakes = mistakes  # in the order of the file

    def __str__(self) -> str:
        lines = []
        for mistake in self.mistakes:
            place = str(self.path)
            if mistake.line is not None:
                place += f":{mistake.line}:{mistake.column or 1}"
            key = render_key_path(mistake.key_path)
            suggestion = f"\n    {mistake.suggestion}" if mistake.suggestion else ""
            lines.append(f"{place}: {key + ': ' if key else ''}{mistake.reason}{suggestion}")
        count = len(self.mistakes)
        lines.append(f"{count} mistake{'s' if count != 1 else ''} in {self.path.name}")
        return "\n".join(lines)

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


def render_key_path(key_path: KeyPath) -> str:
    """``("steps", "train", "pypi", 0)`` as ``steps.train.pypi[0]``; keys that TOML would quote are quoted."""
    text = ""
    for part in key_path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if _BARE_KEY.fullmatch(part) else msgspec.json.encode(part).decode()
            text += f"{'.' if text else ''}{shown}"
    return text


class DigestMismatch(EnvcError):
    """Bytes are not what their name says."""

    def __init__(self, what: str, expected: str, actual: str, hint: str | None = None) -> None:
        super().__init__(what, expected, actual)
        self.what = what
        self.expected = expected
        self.actual = actual
        self.hint = hint

    def __str__(self) -> str:
        return (
            f"{self.what} does not match its digest\n  expected sha256 {self.expected}\n  actual   sha256 {self.actual}"
        )

    def data(self) -> dict[str, object]:
        return {"what": self.what, "expected": self.expected, "actual": self.actual}


class SourceUnreachable(EnvcError, Unanswered):
    """A source did not answer, or refused. Never a reason to ask the next source."""

    def __init__(self, source: str, what: str, reason: str, hint: str | None = None) -> None:
        super().__init__(source, what, reason)
        self.source = source  # source name; never its URL, which may hold credentials
        self.what = what  # "the page of requests"
        self.reason = reason  # "HTTP 503 after 4 tries", "connection refused"
        self.hint = (
            hint
            or "check the network and the source's settings, then run the command again; it goes on where it stopped"
        )

    def __str__(self) -> str:
        return f"cannot get {self.what} from {self.source}: {self.reason}"


class OfflineMiss(EnvcError, Unanswered):
    """Work that must stay off the network needs something the cache does not hold."""

    hint = "run the same command once without --offline and ENVC_OFFLINE"

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} is not in the cache, and --offline forbids asking for it"


class StaleLock(EnvcError):
    """The lock does not say what the manifest asks for."""

    hint = "run `envc lock`"

    def __init__(self, path: Path, reasons: tuple[str, ...]) -> None:
        super().__init__(path, reasons)
        self.path = path
        self.reasons = reasons

    def __str__(self) -> str:
        return "\n".join([f"{self.path.name} is out of date", *(f"  {reason}" for reason in self.reasons)])

    def data(self) -> dict[str, object]:
        return {"lock": str(self.path), "reasons": list(self.reasons)}


class NoLock(EnvcError):
    """There is no lock beside the manifest."""

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


class Flaw(EnvcError):
    """One thing that cannot be used, why not, and perhaps the way out."""

    def __init__(self, what: str, reason: str, hint: str | None = None) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


class StoreError(Flaw):
    """A store that cannot be read or written."""


class Refusal:
    """One problem that has no answer: for whom, and the solver's own words and data."""

    __slots__ = ("data", "text", "title")

    def __init__(self, title: str, text: str, data: dict[str, object]) -> None:
        self.title = title  # "step train on linux-64"
        self.text = text  # where there is a way out, the last line is "try: …"
        self.data = data

    @property
    def says_what_helps(self) -> bool:
        return self.text.rpartition("\n")[2].startswith("try: ")


class Unsolvable(EnvcError):
    """Problems without a solution, each said once however many step-targets share it."""

    def __init__(self, refusals: tuple[Refusal, ...]) -> None:
        super().__init__(refusals)
        self.refusals = refusals
        if not all(refusal.says_what_helps for refusal in refusals):
            self.hint = "loosen one of the requirements above, or leave out the target that it fails on"

    def __str__(self) -> str:
        together: dict[str, list[str]] = {}
        for refusal in self.refusals:
            together.setdefault(refusal.text, []).append(refusal.title)
        parts = []
        for text, titles in together.items():
            parts.append("\n".join([f"cannot solve {'; '.join(titles)}", *(f"  {line}" for line in text.splitlines())]))
        return "\n".join(parts)

    def data(self) -> dict[str, object]:
        return {"problems": [{"title": refusal.title, **refusal.data} for refusal in self.refusals]}
