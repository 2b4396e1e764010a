"""The errors of the solvers. They carry data and render it in ``__str__``."""

from __future__ import annotations


class SolverError(Exception):
    """Base of all errors of the solvers."""


class Unanswered(Exception):
    """Base of the errors of an index that cannot answer: a source is down, or the network must not be used.

    It ends a search. If the search was only made for an explanation, it ends that part of the explanation.
    """


class ProjectNotFound(SolverError):
    """None of the sources that may supply the project knows it."""

    def __init__(self, name: str, sources: tuple[str, ...], nearest: str | None = None) -> None:
        super().__init__(name, sources, nearest)
        self.name = name
        self.sources = sources  # names of the sources that were searched
        self.nearest = nearest  # a project that exists and has a similar name

    def __str__(self) -> str:
        where = " or ".join(self.sources) or "any source"
        hint = f"; did you mean {self.nearest}?" if self.nearest else ""
        return f"there is no project {self.name} in {where}{hint}"


class MetadataUnusable(SolverError):
    """The core metadata of a file cannot be read. The candidate is skipped, and the reason is kept."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(file, reason)
        self.file = file
        self.reason = reason

    def __str__(self) -> str:
        return f"the metadata of {self.file} cannot be used: {self.reason}"
