"""The values of the search: needs, and the candidates that state and meet them."""

from __future__ import annotations

from envc_solvers.pypi.language.index import File
from envc_solvers.pypi.language.requirement import Metadata
from envc_solvers.pypi.language.specifier import allows


class Need:
    """A requirement in the search: one identifier and the versions that it allows.

    Needs are interned (see `Provider.need`): packages with equal requirements share one object. So whatever is learned
    about one version of a package holds for every version with the same needs.
    """

    __slots__ = ("extra", "identifier", "name", "outside", "specifier")

    def __init__(self, name: str, extra: str, specifier: str) -> None:
        self.name = name
        self.extra = extra  # "" for the project itself
        self.identifier = f"{name}[{extra}]" if extra else name
        self.specifier = specifier
        self.outside = Outside(self)

    def __repr__(self) -> str:
        return f"{self.identifier}{self.specifier}"


class Outside:
    """The fact that a decided version is outside the versions that a need allows."""

    __slots__ = ("need",)

    def __init__(self, need: Need) -> None:
        self.need = need

    def __repr__(self) -> str:
        return f"not {self.need!r}"


class Candidate:
    """One version of a project; or, with an extra, the requirements that the extra adds to it."""

    __slots__ = ("base", "extra", "extras", "file", "identifier", "metadata", "name", "need_set", "needs", "version")

    def __init__(self, name: str, version: str, file: File, base: Candidate | None = None, extra: str = "") -> None:
        self.name = name
        self.version = version  # as written in the name of the best file
        self.file = file
        self.extra = extra
        self.identifier = f"{name}[{extra}]" if extra else name
        self.base = base or self
        self.extras: dict[str, Candidate] = {}
        self.metadata: Metadata | None = None  # of the base; None until it is read
        self.needs: tuple[Need, ...] | None = None  # None until the metadata is read
        self.need_set: frozenset[Need] = frozenset()

    def has(self, fact: Need | Candidate | Outside) -> bool:
        """Whether a fact of a nogood holds for this candidate (see `nogoods`)."""
        if isinstance(fact, Need):
            return fact in self.need_set
        if isinstance(fact, Outside):
            return not allows(fact.need.specifier, self.version)
        return fact is self

    def with_extra(self, extra: str) -> Candidate:
        """The candidate for one extra of this version. Equal extras give the same object."""
        found = self.extras.get(extra)
        if found is None:
            found = self.extras[extra] = Candidate(self.name, self.version, self.file, self, extra)
        return found

    def __repr__(self) -> str:
        return f"{self.identifier} {self.version}"
