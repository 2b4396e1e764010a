"""The environment: the closure of pins for one step on one target, and the id that names its content."""

from __future__ import annotations

import msgspec

from envc.model.digest import Sha256, sha256
from envc_solvers.target import Python, Target

ENVIRONMENT_FORMAT = 1


class EnvironmentMember(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One artifact in one layout, with what is needed to find and check it."""

    kind: str  # "pypi", "conda", "interpreter"
    name: str
    version: str
    source: str  # source name
    file: str
    size: int  # bytes as downloaded
    sha256: Sha256
    layout: str  # "py3.11-posix", "py3.13t-posix", "pypy3.10-posix", "nt", "any"
    depends: tuple[str, ...] = ()  # the requirements that were locked; `bundle` compares the artifact's own
    content: Sha256 | None = None  # the content digest the lock demands, if it records one


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What pack and hydrate work on."""

    target: Target
    python: Python
    interpreter: str  # "host", "conda", "standalone"
    members: tuple[EnvironmentMember, ...]  # sorted

    @property
    def id(self) -> Sha256:
        """Equal content, equal id, whichever steps use it (DESIGN section 1)."""
        python = self.python
        implementation = "pypy" if python.implementation == "pypy" else "cpython"
        identity = {
            "format": ENVIRONMENT_FORMAT,
            "interpreter": self.interpreter,
            "platform": self.target.platform,
            "python": f"{implementation}{python.minor[0]}.{python.minor[1]}{'t' if python.free_threaded else ''}",
            "members": sorted([member.sha256, member.layout] for member in self.members),
        }
        return sha256(msgspec.json.encode(identity, order="sorted"))


def python_layout(target: Target, python: Python) -> str:
    """The layout of wheels for that Python on that target.

    `nt` puts every wheel's files below ``Lib/site-packages`` whatever the version; on POSIX the path holds the version.
    """
    if target.facts.family == "windows":
        return "nt"
    minor = f"{python.minor[0]}.{python.minor[1]}"
    if python.implementation == "pypy":
        return f"pypy{minor}-posix"
    return f"py{minor}{'t' if python.free_threaded else ''}-posix"
