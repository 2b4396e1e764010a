"""Progress of long work: the interface through which it is reported. The command line draws it."""

from __future__ import annotations

from typing import Protocol


class Task(Protocol):
    """One line of progress. Thread-safe."""

    def advance(self, amount: int = 1) -> None: ...
    def grow(self, amount: int) -> None:
        """Raise the total."""

    def done(self) -> None: ...


class Progress(Protocol):
    """Reports work to the user. Thread-safe."""

    def task(self, label: str, total: int | None = None, unit: str = "") -> Task:
        """Begin to report a piece of work. `unit` is "B" for bytes, else the name of the counted items."""

    def note(self, text: str) -> None:
        """Print one line about finished work, such as "locked 3 environments in 1.2 s"."""

    def warn(self, text: str, *, hint: str = "") -> None:
        """Print a warning of one line, and perhaps a hint. The same warning is printed only once."""

    def settle(self) -> None:
        """Remove what is drawn, and draw nothing more: another program is going to print."""


class SilentTask:
    """A task that is not shown."""

    def advance(self, amount: int = 1) -> None:
        pass

    def grow(self, amount: int) -> None:
        pass

    def done(self) -> None:
        pass


class Silent:
    """Progress that is not shown. It keeps notes and warnings for tests."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def task(self, label: str, total: int | None = None, unit: str = "") -> Task:
        return SilentTask()

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str, *, hint: str = "") -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def settle(self) -> None:
        pass
