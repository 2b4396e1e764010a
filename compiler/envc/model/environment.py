"""The environment: the closure of pins for one step on one target, and the id that names its content."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from envc.model.digest import Sha256, sha256
from envc.model.kinds import ArtifactKind, InterpreterKind
from envc_solvers.target import Python, Target

if TYPE_CHECKING:
    from envc.model.graph import Artifact, BuildRequirement, Package, SourceFile

ENVIRONMENT_FORMAT = 1


class EnvironmentMember(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One artifact in one layout, with what is needed to fetch and verify it."""

    kind: ArtifactKind
    name: str
    version: str
    source: str  # source name
    file: str
    size: int  # bytes as downloaded
    sha256: Sha256
    layout: str  # "py3.11-posix", "pypy3.10-posix", "nt-own-arm64", "any"; see `model.layout_names`
    subdir: str = ""  # of a conda package: its folder in the channel
    depends: tuple[str, ...] = ()  # the locked requirements; `bundle` compares them with the artifact's own
    content: Sha256 | None = None  # the content digest the lock demands, if it records one

    @classmethod
    def of_locked(cls, package: Package, artifact: Artifact, layout: str, platform: str) -> EnvironmentMember:
        """A package of a lock with the artifact that serves a target of that platform.

        `layout` is that of the environment. An artifact that does not depend on where Python keeps packages has the
        same object in every environment.
        """
        own = layout if package.kind == "pypi" or artifact.noarch == "python" else "any"
        subdir = ("noarch" if artifact.noarch else platform) if package.kind == "conda" else ""
        return cls(
            kind=package.kind,
            name=package.name,
            version=package.version,
            source=package.source,
            file=artifact.file,
            size=artifact.size,
            sha256=artifact.sha256,
            layout=own,
            subdir=subdir,
            depends=package.depends if artifact.depends is None else artifact.depends,
            content=artifact.content.get(own),
        )

    @classmethod
    def of_build_requirement(cls, requirement: BuildRequirement, layout: str) -> EnvironmentMember:
        """A wheel of a build environment."""
        return cls(
            kind="pypi",
            name=requirement.name,
            version=requirement.version,
            source=requirement.source,
            file=requirement.file,
            size=requirement.size,
            sha256=requirement.sha256,
            layout=layout,
        )

    def replaced_by(self, sdist: SourceFile) -> EnvironmentMember:
        """The source distribution that this wheel was built from, from the same source. It has no layout."""
        return msgspec.structs.replace(
            self, file=sdist.file, size=sdist.size, sha256=sdist.sha256, layout="", depends=(), content=None
        )


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The artifacts of one step on one target, in the form that pack and hydrate use."""

    target: Target
    python: Python
    interpreter: InterpreterKind
    members: tuple[EnvironmentMember, ...]  # sorted

    @property
    def id(self) -> Sha256:
        """Equal for environments of equal content, whichever steps use them."""
        return environment_id(
            platform=self.target.platform,
            python=self.python,
            interpreter=self.interpreter,
            members=((member.sha256, member.layout) for member in self.members),
        )

    @property
    def demanded(self) -> Sha256 | None:
        """A digest of the content that the lock demands of the members; None if it demands none."""
        rows = [(member.sha256, member.layout, member.content) for member in self.members if member.content]
        return sha256(msgspec.json.encode(sorted(rows))) if rows else None


def environment_id(
    *, platform: str, python: Python, interpreter: InterpreterKind, members: Iterable[tuple[Sha256, str]]
) -> Sha256:
    """The id of the environment whose members are these (artifact, layout) pairs, in any order."""
    identity = {
        "format": ENVIRONMENT_FORMAT,
        "interpreter": interpreter,
        "platform": platform,
        "python": f"{python.implementation}{python.minor[0]}.{python.minor[1]}{'t' if python.free_threaded else ''}",
        "members": sorted(members),
    }
    return sha256(msgspec.json.encode(identity, order="sorted"))
