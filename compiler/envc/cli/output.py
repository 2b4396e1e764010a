"""What people and machines read: data on standard output, everything else on standard error."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from envc.errors import EnvcError

if TYPE_CHECKING:
    from envc.pipeline.lock import LockOutcome

_MOST_CHANGES = 40  # shown one by one
_MOST_REASONS = 10
# What moves a cursor, renames a window or turns text around; line ends and tabs stay.
_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"


def colours(stream: Any) -> bool:
    """Whether that stream is a terminal that may be coloured (the NO_COLOR convention)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
    sys.stdout.flush()


def plain(text: str) -> str:
    """The text with its control characters spelled out: messages quote what others wrote."""
    if text.isprintable():
        return text
    return re.sub(_CONTROL, lambda found: repr(found[0])[1:-1], text)


def print_error(code: str, message: str, hint: str | None, data: Mapping[str, object] | None = None) -> None:
    """A failure as ``--json`` shows it."""
    print_json({"error": {"code": code, "message": message, "hint": hint, **(data or {})}})


def report_error(error: EnvcError, as_json: bool) -> None:
    """An expected failure: the message and the way out."""
    if as_json:
        print_error(error.code, str(error), error.hint, error.data())
    label = "\x1b[1;31merror\x1b[0m" if colours(sys.stderr) else "error"
    print(f"{label}: {plain(str(error))}", file=sys.stderr)
    if error.hint:
        print(f"  hint: {plain(error.hint)}", file=sys.stderr)


def report_bug(error: Exception, as_json: bool) -> None:
    """Something nobody expected: one line, and the traceback only where it was asked for."""
    if as_json:
        print_error("internal", f"{type(error).__name__}: {error}", None)
    what = plain(f"{type(error).__name__}: {error}")
    print(f"error: envc failed in a way it should not: {what}", file=sys.stderr)
    if os.environ.get("ENVC_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    else:
        print("  hint: set ENVC_TRACEBACK=1 to see where, and report it", file=sys.stderr)


def mebibytes(size: int) -> str:
    """``12.3 MiB`` for a number of bytes."""
    return f"{size / (1 << 20):,.1f} MiB"


def count(number: int, noun: str) -> str:
    """``1 package``, ``2 packages``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def lock_lines(outcome: LockOutcome) -> list[str]:
    """For people: what changed, what the lock holds now, and what of it is out of date still."""
    left = [f"out of date beside what was selected: {reason}" for reason in outcome.left[:_MOST_REASONS]]
    if len(outcome.left) > _MOST_REASONS:
        left.append(f"and {len(outcome.left) - _MOST_REASONS} reasons more; `envc status` shows all")
    if not outcome.changed:
        return [f"{outcome.path.name} is unchanged", *left]
    lines = [f"  {change}" for change in outcome.changes[:_MOST_CHANGES]]
    if len(outcome.changes) > _MOST_CHANGES:
        lines.append(f"  and {len(outcome.changes) - _MOST_CHANGES} more")
    held = f"{count(len(outcome.graph.environments), 'environment')}, {count(len(outcome.graph.packages), 'package')}"
    return [
        *lines,
        f"{'wrote' if outcome.written else 'would write'} {outcome.path.name}: {held} "
        f"({count(outcome.solved, 'problem')} solved in {outcome.seconds:.1f} s)",
        *left,
    ]
