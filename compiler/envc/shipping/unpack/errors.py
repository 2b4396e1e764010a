"""Errors of artifacts that must not be installed."""

from __future__ import annotations

from envc.errors import EnvcError


class BadArtifact(EnvcError):
    """An artifact that matches its digest, but must not be installed."""

    hint = (
        "this is how its publisher made the file: choose another version of the package, or report this to its authors"
    )

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(file, reason)
        self.file = file  # file name; it begins with the package's name and version
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.file} cannot be installed: {self.reason}"

    def data(self) -> dict[str, object]:
        return {"file": self.file, "reason": self.reason}


class BadWheel(BadArtifact):
    """A wheel that violates the specification, or is unsafe to unpack."""


class FaultyRecord(BadArtifact):
    """A wheel whose RECORD does not describe it as it should, which the manifest forbids."""

    hint = (
        "choose another version of the package, report this to its authors, or remove `record` from [policy]: the lock "
        "has the sha256 of the whole file"
    )

    def __init__(self, file: str, fault: str) -> None:
        super().__init__(file, f'its RECORD {fault}, and [policy] has `record = "strict"`')


class BadPackage(BadArtifact):
    """A conda package that violates the specification, or is unsafe to unpack."""
