"""The newer releases that a lock does not have, as lines for users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envc.cli.output import count

if TYPE_CHECKING:
    from envc.cli.progress import Terminal
    from envc.locking.review.passed_over import PassedOverPackage
    from envc.pipeline.lock import LockOutcome

_MOST = 10  # lines in one report
_WARNED_OF = frozenset({"sdist", "url", "no-file"})  # another file would do; all else is a matter of versions
# Reasons that need no explanation for each package: they are listed in one line.
_COLLECTED = {
    "locked": "newer than the locked versions (`envc lock -U` upgrades)",
    "cut-off": "newer, and uploaded after the cut-off",
}


def tell_passed_over(outcome: LockOutcome, terminal: Terminal) -> None:
    """Report what a lock passed over: all of it after solving, its number if the lock is unchanged."""
    packages = outcome.passed_over
    if outcome.solved:
        for line in collected_lines(packages):
            terminal.note(line)
        tell_each(packages, terminal)
    elif packages:
        number = count(len(packages), "newer release")
        terminal.note(f"{number} {'was' if len(packages) == 1 else 'were'} passed over; `envc status` says why")


def tell_each(packages: tuple[PassedOverPackage, ...], terminal: Terminal) -> None:
    """Report each package with a reason of its own, with the way to get the newer release."""
    told = [one for one in packages if one.reason not in _COLLECTED]
    for one in told[:_MOST]:
        if one.reason in _WARNED_OF:
            terminal.warn(str(one), hint=one.hint)
        else:
            terminal.note(f"{one}; {one.hint}" if one.hint else str(one))
    if len(told) > _MOST:
        terminal.note(f"and {len(told) - _MOST} more newer releases; `envc status` lists all")


def collected_lines(packages: tuple[PassedOverPackage, ...]) -> list[str]:
    """One line for all packages that the lock keeps, and one for those that the cut-off excludes."""
    lines = []
    for reason, words in _COLLECTED.items():
        names = sorted({f"{one.name} {one.newer}" for one in packages if one.reason == reason})
        more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
        if names:
            lines.append(f"{words}: {', '.join(names[:_MOST])}{more}")
    return lines


def lines_of(packages: tuple[PassedOverPackage, ...]) -> list[str]:
    """Each package as one line, with the way to get the newer release."""
    return [f"{one}; {one.hint}" if one.hint else str(one) for one in packages]
