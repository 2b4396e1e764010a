"""The environment: the closure of pins for one step on one target, and the id that names its content."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from envc.model.digest import Sha256, sha256
from envc.model.kinds import ArtifactKind, InterpreterKind
from envc_solvers.target import Python, Target

ENVIRONMENT_FORMAT = 1


class EnvironmentMember(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One artifact in one layout, with what is needed to find and check it."""

    kind: ArtifactKind
    name: str
    version: str
    source: str  # source name
    file: str
    size: int  # bytes as downloaded
    sha256: Sha256
    layout: str  # "py3.11-posix", "py3.13t-posix", "pypy3.10-posix", "nt", "nt-own-arm64", "any"; see `python_layout`
    subdir: str = ""  # of a conda package: where its channel has it
    depends: tuple[str, ...] = ()  # the requirements that were locked; `bundle` compares the artifact's own
    content: Sha256 | None = None  # the content digest the lock demands, if it records one


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What pack and hydrate work on."""

    target: Target
    python: Python
    interpreter: InterpreterKind
    members: tuple[EnvironmentMember, ...]  # sorted

    @property
    def id(self) -> Sha256:
        """Equal content, equal id, whichever steps use it (DESIGN section 1)."""
        return environment_id(
            platform=self.target.platform,
            python=self.python,
            interpreter=self.interpreter,
            members=((member.sha256, member.layout) for member in self.members),
        )

    @property
    def demanded(self) -> Sha256 | None:
        """Names the content that the lock demands of the members; None where it demands none."""
        rows = [(member.sha256, member.layout, member.content) for member in self.members if member.content]
        return sha256(msgspec.json.encode(sorted(rows))) if rows else None


def environment_id(*, platform: str, python: Python, interpreter: str, members: Iterable[tuple[Sha256, str]]) -> Sha256:
    """The id of the environment whose members are these (artifact, layout) pairs, in any order."""
    implementation = "pypy" if python.implementation == "pypy" else "cpython"
    identity = {
        "format": ENVIRONMENT_FORMAT,
        "interpreter": interpreter,
        "platform": platform,
        "python": f"{implementation}{python.minor[0]}.{python.minor[1]}{'t' if python.free_threaded else ''}",
        "members": sorted(members),
    }
    return sha256(msgspec.json.encode(identity, order="sorted"))


def python_layout(target: Target, python: Python, interpreter: InterpreterKind, site: str = "") -> str:
    """The layout of wheels and noarch conda packages for that Python on that target.

    Windows puts their files below ``Lib/site-packages`` whatever the version, but launchers are programs for one kind
    of CPU, and look for Python beside themselves (``nt``, ``nt-arm64``, ``nt-x86``) or, where the environment brings
    its own interpreter, in the folder above (``nt-own``, ``nt-own-arm64``, ``nt-own-x86``). On POSIX the path holds
    the version and Python is always beside the launchers.

    `site` is the folder where an interpreter keeps packages, if it is not the layout's own (CEP-17); the name then
    ends with it: ``py3.14-posix--lib-python-site.2dpackages``.
    """
    if target.facts.family == "windows":
        own = "" if interpreter == "host" else "-own"
        name = f"nt{own}" + {"amd64": "", "arm64": "-arm64", "win32": "-x86"}[target.facts.arch]
    else:
        minor = f"{python.minor[0]}.{python.minor[1]}"
        if python.implementation == "pypy":
            name = f"pypy{minor}-posix"
        else:
            name = f"py{minor}{'t' if python.free_threaded else ''}-posix"
    return f"{name}--{_spell(site)}" if site and site != usual_site(target, python) else name


def usual_site(target: Target, python: Python) -> str:
    """Where that Python keeps packages, relative to the prefix, unless somebody says otherwise."""
    if target.facts.family == "windows":
        return "Lib/site-packages"
    minor = f"{python.minor[0]}.{python.minor[1]}"
    if python.implementation == "pypy":
        return f"lib/pypy{minor}/site-packages"
    return f"lib/python{minor}{'t' if python.free_threaded else ''}/site-packages"


def _spell(path: str) -> str:
    """A path in the letters that names of layouts may have: ``/`` as ``-``, what else they lack as ``.`` and two hex
    digits for each byte.
    """
    return "".join(_LETTERS.get(byte) or f".{byte:02x}" for byte in path.encode())


_LETTERS = {ord(letter): letter for letter in "abcdefghijklmnopqrstuvwxyz0123456789"} | {ord("/"): "-"}
