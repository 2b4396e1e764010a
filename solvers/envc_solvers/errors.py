"""What solvers raise. Errors carry data and render it in ``__str__``."""

from __future__ import annotations


class SolverError(Exception):
    """Anything a solver says no with."""


class Unanswered(Exception):
    """Base of what an index raises when it cannot answer now: a source that is down, or leave to ask that was refused.

    It ends a search. Where a search only served an explanation, it ends that part of the explanation.
    """


class ProjectNotFound(SolverError):
    """No source that may supply the project knows it."""

    def __init__(self, name: str, sources: tuple[str, ...], nearest: str | None = None) -> None:
        super().__init__(name, sources, nearest)
        self.name = name
        self.sources = sources  # names of the sources that were asked
        self.nearest = nearest  # a project name that exists and is spelt alike

    def __str__(self) -> str:
        where = " or ".join(self.sources) or "any source"
        hint = f"; did you mean {self.nearest}?" if self.nearest else ""
        return f"there is no project {self.name} in {where}{hint}"


class MetadataUnusable(SolverError):
    """A file's core metadata cannot be read; the candidate is skipped and the reason kept."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(file, reason)
        self.file = file
        self.reason = reason

    def __str__(self) -> str:
        return f"the metadata of {self.file} cannot be used: {self.reason}"
