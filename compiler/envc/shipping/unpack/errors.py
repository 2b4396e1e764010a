"""What installing says no with."""

from __future__ import annotations

from envc.errors import EnvcError


class BadArtifact(EnvcError):
    """An artifact that matches its digest and still must not be installed."""

    hint = "the file is as its publisher made it: choose another version of the package, or report this to its authors"

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(file, reason)
        self.file = file  # file name; it begins with the package's name and version
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.file} cannot be installed: {self.reason}"

    def data(self) -> dict[str, object]:
        return {"file": self.file, "reason": self.reason}


class BadWheel(BadArtifact):
    """A wheel that is not as the specification has it."""


class BadPackage(BadArtifact):
    """A conda package that is not as the specification has it."""
