"""What a wheel states in its own METADATA, compared with what the lock says of it.

An index states the metadata of a wheel before the wheel is downloaded, and the solver has to believe it. `pack`
compares it with every wheel that it uses: with the wheel itself when it derives the object, else with METADATA in the
object. So a lock that was made from other metadata never reaches a store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from envc.errors import SeveralLines
from envc.model.environment import Environment, EnvironmentMember
from envc.model.lock_lines import Extra, StatedRequirement
from envc_solvers.pypi.language.requirement import Metadata, canonicalize_name
from envc_solvers.pypi.language.specifier import python_fits


class MetadataMismatch(SeveralLines):
    """The metadata of an artifact differs from the metadata it was locked with."""

    hint = (
        "the metadata of the index belongs to another file: run `envc lock --refresh --upgrade`, and report it to its "
        "operators"
    )

    def __init__(
        self, file: str, missing: tuple[str, ...], unlocked: tuple[str, ...], others: tuple[str, ...] = ()
    ) -> None:
        super().__init__(file, missing, unlocked, others)
        self.file = file
        self.missing = missing  # requirements that are locked, and not stated by the artifact
        self.unlocked = unlocked  # requirements that are stated by the artifact, and not locked
        self.others = others  # other differences, each in words

    def lines(self) -> tuple[str, ...]:
        lines = [f"the metadata in {self.file} differs from the metadata it was locked with"]
        lines += [f"  {difference}" for difference in self.others]
        lines += [f"  the lock says it requires {requirement}; the file does not" for requirement in self.missing]
        lines += [f"  the file requires {requirement}; the lock does not say that" for requirement in self.unlocked]
        return tuple(lines)

    def data(self) -> dict[str, object]:
        found: dict[str, object] = {
            "file": self.file,
            "missing": list(self.missing),
            "unlocked": list(self.unlocked),
        }
        return found | {"others": list(self.others)} if self.others else found


class Stated(msgspec.Struct, frozen=True):
    """What METADATA states that decides about a lock."""

    name: str  # normalised
    version: str
    requires: tuple[str, ...]  # in canonical form, without those that name a URL, which no lock holds
    requires_python: str

    @classmethod
    def of(cls, metadata: Metadata) -> Stated:
        requires = tuple(str(each) for each in metadata.requires if not each.url)
        return cls(metadata.name, metadata.version, requires, metadata.requires_python)


class Use(msgspec.Struct, frozen=True):
    """An artifact as one environment uses it. The other fields are for wheels."""

    member: EnvironmentMember
    pythons: tuple[str, ...] = ()  # versions of the environment's Python; the wheel has to support one of them
    extras: frozenset[str] = frozenset()  # of the wheel, that the environment requests

    def without_content(self) -> Use:
        """The same use, without the content digest that the lock demands."""
        return msgspec.structs.replace(self, member=msgspec.structs.replace(self.member, content=None))

    def check(self, stated: Stated) -> None:
        """Raise MetadataMismatch unless the wheel states what it was locked with.

        The lock contains all requirements, except those of extras that are not requested and those with a URL.
        """
        member = self.member
        others = []
        if canonicalize_name(member.name) != stated.name or not _same_version(member.version, stated.version):
            own = f"{stated.name} {stated.version}"
            others.append(f"the lock says it is {member.name} {member.version}; the file says it is {own}")
        if not any(python_fits(stated.requires_python, python) for python in self.pythons):
            others.append(
                f"the file requires Python {stated.requires_python}, and it is locked for Python {self.pythons[0]}"
            )
        locked = set(member.depends)
        missing = locked.difference(stated.requires)
        unlocked = {text for text in stated.requires if text not in locked and self._needs(text)}
        if missing or unlocked or others:
            raise MetadataMismatch(member.file, tuple(sorted(missing)), tuple(sorted(unlocked)), tuple(others))

    def _needs(self, requirement: str) -> bool:
        """Whether a lock must hold this requirement of the wheel."""
        only_for = StatedRequirement.read(requirement).only_for
        return not only_for or not self.extras.isdisjoint(only_for)


def uses_of(environment: Environment, requested: Iterable[Extra]) -> Iterator[Use]:
    """The wheels of an environment. `requested` are the extras that its steps request themselves."""
    extras: dict[str, set[str]] = {}
    for project, extra in requested:
        extras.setdefault(project, set()).add(extra)
    wheels = [member for member in environment.members if member.kind == "pypi"]
    for member in wheels:
        for text in member.depends:
            if "[" in text:
                for project, extra in StatedRequirement.read(text).requested_extras:
                    extras.setdefault(project, set()).add(extra)
    pythons = _pythons(environment)
    for member in wheels:
        yield Use(member, pythons, frozenset(extras.get(member.name, ())))


def _pythons(environment: Environment) -> tuple[str, ...]:
    """The Python that was solved for, and that of the environment itself if it has one."""
    own = (
        member.version
        for member in environment.members
        if member.kind == "interpreter" or (member.kind == "conda" and member.name == "python")
    )
    return tuple(dict.fromkeys((environment.python.full_version, *own)))


def _same_version(one: str, other: str) -> bool:
    """Whether two spellings are the same version (PEP 440)."""
    if one == other:
        return True
    from envc.fetch.pypi.wheel_metadata import same_version

    return same_version(one, other)
