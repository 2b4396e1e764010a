"""Text and JSON for users: data on standard output, everything else on standard error."""

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

_MAX_CHANGES = 40  # lines in one report
_MAX_REASONS = 10
# Characters that move the cursor, rename a window or change the direction of text; line ends and tabs are kept.
_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"


def colours(stream: Any) -> bool:
    """Whether the stream is a terminal with colours, by the NO_COLOR convention."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
    sys.stdout.flush()


def plain(text: str) -> str:
    """The text with its control characters escaped, because messages may quote untrusted text."""
    if text.isprintable():
        return text
    return re.sub(_CONTROL, lambda found: repr(found[0])[1:-1], text)


def print_error(code: str, message: str, hint: str | None, data: Mapping[str, object] | None = None) -> None:
    """Write a failure as ``--json`` shows it."""
    print_json({"error": {"code": code, "message": message, "hint": hint, **(data or {})}})


def report_error(error: EnvcError, as_json: bool) -> None:
    """Show an expected failure: the message and the hint."""
    if as_json:
        print_error(error.code, str(error), error.hint, error.data())
    label = "\x1b[1;31merror\x1b[0m" if colours(sys.stderr) else "error"
    print(f"{label}: {plain(str(error))}", file=sys.stderr)
    if error.hint:
        print(f"  hint: {plain(error.hint)}", file=sys.stderr)


def report_bug(error: Exception, as_json: bool) -> None:
    """Show an unexpected failure in one line; with ENVC_TRACEBACK set, also its traceback."""
    if as_json:
        print_error("internal", f"{type(error).__name__}: {error}", None)
    description = plain(f"{type(error).__name__}: {error}")
    print(f"error: unexpected failure, a bug in envc: {description}", file=sys.stderr)
    if os.environ.get("ENVC_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    else:
        print("  hint: run it again with ENVC_TRACEBACK=1 for a traceback, and report it", file=sys.stderr)


def mebibytes(size: int) -> str:
    """``12.3 MiB`` for a number of bytes."""
    return f"{size / (1 << 20):,.1f} MiB"


def count(number: int, noun: str) -> str:
    """``1 package``, ``2 packages``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def lock_lines(outcome: LockOutcome) -> list[str]:
    """The report of a lock: its changes, its size, and the parts that are still out of date."""
    left = [f"still out of date, but not selected: {reason}" for reason in outcome.left[:_MAX_REASONS]]
    if len(outcome.left) > _MAX_REASONS:
        left.append(f"and {len(outcome.left) - _MAX_REASONS} more reasons; `envc status` shows all")
    if not outcome.changed:
        return [f"{outcome.path.name} is unchanged", *left]
    lines = [f"  {change}" for change in outcome.changes[:_MAX_CHANGES]]
    if len(outcome.changes) > _MAX_CHANGES:
        lines.append(f"  and {len(outcome.changes) - _MAX_CHANGES} more")
    totals = f"{count(len(outcome.graph.environments), 'environment')}, {count(len(outcome.graph.packages), 'package')}"
    return [
        *lines,
        f"{'wrote' if outcome.written else 'would write'} {outcome.path.name}: {totals} "
        f"({count(outcome.solved, 'problem')} solved in {outcome.seconds:.1f} s)",
        *left,
    ]
