"""Text and JSON for users: data on standard output, everything else on standard error.

All text passes through `plain` on its way out, because any of it may quote a lock, a store, an index or an archive.
Standard output is data, so a failure to write it is an error. A failure to write to standard error is ignored: whether
the work was done does not depend on whether someone could read about it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from envc.errors import EnvcError
from envc.model.hidden import HIDDEN

if TYPE_CHECKING:
    from envc.locking.review.pythons import ChosenPython
    from envc.pipeline.lock import LockOutcome
    from envc.shipping.deliver.pack import Bundled
    from envc.shipping.deliver.ship import Shipped

_MAX_CHANGES = 40  # lines in one report
_MAX_REASONS = 10


class OutputFailed(EnvcError):
    """Standard output that cannot be written: a full disk, a closed file, or a pipe without a reader."""

    hint = "the command itself is done, and only its output is missing; write the output to another place"

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        discard(sys.stdout)
        self.reason = error.strerror or str(error)
        self.is_unread = isinstance(error, BrokenPipeError)  # the reader of a pipe closed it, as `head` does

    def __str__(self) -> str:
        return f"standard output cannot be written: {self.reason}"


COLOUR_CHOICES = ("auto", "always", "never")
_chosen = ["auto"]  # the value of --color


def choose_colours(choice: str) -> None:
    """Set what ``--color`` says, one of COLOUR_CHOICES."""
    _chosen[0] = choice


def colours(stream: Any) -> bool:
    """Whether to write colours to the stream: by ``--color``, else NO_COLOR, else FORCE_COLOR, else if it is a terminal
    that has them.
    """
    if _chosen[0] != "auto":
        return _chosen[0] == "always"
    if os.environ.get("NO_COLOR"):
        return False
    forced = os.environ.get("FORCE_COLOR", "")
    return forced not in ("", "0", "false") or (stream.isatty() and os.environ.get("TERM") != "dumb")


def plain(text: str) -> str:
    """The text as one line without hidden characters: a control character or a line end is shown as its escape.

    Hidden characters move the cursor, rename a window, change the direction of text, or are invisible. Tabs are kept.
    """
    if text.isascii() and text.isprintable():
        return text
    return _escaped(text, lambda hidden: hidden if hidden == "\t" else ascii(hidden)[1:-1])


def say(line: str) -> None:
    """Write a line to standard output. Raises OutputFailed."""
    _write(plain(line) + "\n")


def say_path(path: Path) -> None:
    """Write a path to standard output: as it is for programs that read it, and with hidden characters escaped for a
    terminal. Raises OutputFailed.
    """
    _write(f"{plain(str(path)) if sys.stdout.isatty() else path}\n")


def print_json(value: object) -> None:
    """Write JSON to standard output, with hidden characters as JSON's escapes. Raises OutputFailed."""
    try:
        text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    except UnicodeEncodeError:  # a path that is not UTF-8
        import json

        text = json.dumps(msgspec.to_builtins(value), indent=2)
    shown = text.replace("\x7f", "\\u007f") if text.isascii() else _escaped(text, _json_escape)
    _write(shown + "\n")
    flush_output()


def tell(line: str, label: str = "", colour: str = "") -> None:
    """Write a line to standard error, after a label such as ``error``. Failures are ignored."""
    try:
        print(labelled(line, label, colour), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        discard(sys.stderr)


def flush_output() -> None:
    """Write what standard output still holds. Raises OutputFailed."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise OutputFailed(error) from None


def discard(stream: TextIO) -> None:
    """Drop what a stream could not write, and all that follows, so that Python does not report it at exit."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):
        pass


def _write(text: str) -> None:
    out = sys.stdout
    try:
        try:
            out.write(text)
        except UnicodeEncodeError:
            errors = "surrogateescape" if out.encoding.lower() == "utf-8" else "backslashreplace"
            out.flush()
            out.buffer.write(text.encode(out.encoding, errors))
    except OSError as error:
        raise OutputFailed(error) from None


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    return re.sub(f"[{HIDDEN}]", lambda found: escape(found[0]), text)


def _json_escape(hidden: str) -> str:
    """As JSON writes a character in a string. The line ends of the document itself are kept."""
    import json

    return hidden if hidden == "\n" else json.dumps(hidden)[1:-1]


def labelled(line: str, label: str = "", colour: str = "") -> str:
    """A line as `tell` writes it. `colour` is a parameter of ECMA-48's SGR, for terminals with colours."""
    if colour and colours(sys.stderr):
        label = f"\x1b[{colour}m{label}\x1b[0m"
    return f"{label}: {plain(line)}" if label else plain(line)


def print_error(code: str, message: str, hint: str | None, data: Mapping[str, object] | None = None) -> None:
    """Write a failure as ``--json`` shows it."""
    print_json({"error": {"code": code, "message": message, "hint": hint, **(data or {})}})


def report_error(error: EnvcError, as_json: bool) -> None:
    """Show an expected failure: the message and the hint."""
    if as_json:
        _try_json(error.code, str(error), error.hint, error.data())
    first, *others = error.lines()
    tell(first, "error", "1;31")
    for line in others:
        tell(line)
    if error.hint:
        tell(error.hint, "  hint")


def report_bug(error: Exception, as_json: bool) -> None:
    """Show an unexpected failure in one line; with ENVC_TRACEBACK set, also its traceback."""
    if as_json:
        _try_json("internal", f"{type(error).__name__}: {error}", None)
    tell(f"unexpected failure, a bug in envc: {type(error).__name__}: {error}", "error")
    if os.environ.get("ENVC_TRACEBACK"):
        import traceback

        for line in "".join(traceback.format_exception(error)).splitlines():
            tell(line)
    else:
        tell("run it again with ENVC_TRACEBACK=1 for a traceback, and report it", "  hint")


def _try_json(code: str, message: str, hint: str | None, data: Mapping[str, object] | None = None) -> None:
    """Write a failure as JSON where standard output can be written. The failure itself decides the exit code."""
    try:
        print_error(code, message, hint, data)
    except OutputFailed:
        pass


def mebibytes(size: int) -> str:
    """``12.3 MiB`` for a number of bytes."""
    return f"{size / (1 << 20):,.1f} MiB"


def count(number: int, noun: str) -> str:
    """``1 package``, ``2 packages``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def python_lines(pythons: Iterable[ChosenPython]) -> list[str]:
    """The Pythons that the manifest leaves open, and why they were chosen."""
    return [str(one) for one in pythons if one.why != "named"]


def bundle_lines(bundled: Bundled, shipped: Shipped | None, seconds: float) -> list[str]:
    """The report of a bundle: its store, its size, and its file if there is one."""
    sizes = bundled.sizes
    made = {member.sha256 for member in bundled.made}
    new = sum(size for (artifact, _), size in sizes.items() if artifact in made)
    lines = [
        f"bundled {count(len(bundled.pointers), 'step-target')} in {count(len(bundled.records), 'environment')} "
        f"to {bundled.store}: {count(len(sizes), 'object')}, {mebibytes(sum(sizes.values()))}; "
        f"{count(len(bundled.made), 'new object')}, {mebibytes(new)} ({seconds:.1f} s)"
    ]
    if shipped is not None:
        lines.append(f"wrote {shipped.path}: {mebibytes(shipped.size)}")
    return lines


def lock_lines(outcome: LockOutcome) -> list[str]:
    """The report of a lock: its changes, its size, and the parts that are still out of date."""
    left = [f"still out of date, but not selected: {reason}" for reason in outcome.left[:_MAX_REASONS]]
    if len(outcome.left) > _MAX_REASONS:
        left.append(f"and {len(outcome.left) - _MAX_REASONS} more reasons; `envc status` shows all")
    if not outcome.changed:
        return [*python_lines(outcome.pythons), f"{outcome.path.name} is unchanged", *left]
    lines = [f"  {change}" for change in outcome.changes[:_MAX_CHANGES]]
    if len(outcome.changes) > _MAX_CHANGES:
        lines.append(f"  and {len(outcome.changes) - _MAX_CHANGES} more")
    from envc.model.graph import target_name_of  # late: most commands print no such report

    steps = {step for environment in outcome.graph.environments for step in environment.steps}
    targets = {target_name_of(key) for environment in outcome.graph.environments for key in environment.targets}
    totals = (
        f"{count(len(steps), 'step')}, {count(len(targets), 'target')}, {count(len(outcome.graph.packages), 'package')}"
    )
    return [
        *lines,
        *python_lines(outcome.pythons),
        f"{'wrote' if outcome.written else 'would write'} {outcome.path.name}: {totals} "
        f"({count(outcome.solved, 'problem')} solved in {outcome.seconds:.1f} s)",
        *left,
    ]
