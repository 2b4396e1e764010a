"""How long work reports itself. The command line draws it; everything else hands it on."""

from __future__ import annotations

from typing import Protocol


class Task(Protocol):
    """One line of progress. Thread-safe."""

    def advance(self, amount: int = 1) -> None: ...
    def grow(self, amount: int) -> None:
        """More work turned up."""

    def done(self) -> None: ...


class Progress(Protocol):
    """Where tasks are announced. Thread-safe; silent unless standard error is a terminal."""

    def task(self, label: str, total: int | None = None, unit: str = "") -> Task:
        """Announce work. `unit` is "B" for bytes, else what is counted."""

    def note(self, text: str) -> None:
        """One line that stays: what was done, such as "locked 3 environments in 1.2 s"."""

    def warn(self, text: str) -> None:
        """One line of warning, shown once however often it is given."""


class SilentTask:
    """A task that nobody sees."""

    def advance(self, amount: int = 1) -> None:
        pass

    def grow(self, amount: int) -> None:
        pass

    def done(self) -> None:
        pass


class Silent:
    """Progress that nobody sees; it keeps notes and warnings, which tests read."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def task(self, label: str, total: int | None = None, unit: str = "") -> Task:
        return SilentTask()

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)
