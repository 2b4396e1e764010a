"""Floors: the properties that an environment requires of a machine, and whether this machine has them.

Requirements come from two places: the tags and dependencies of the chosen artifacts (`machine_requirements`), and the
target that they were chosen for, if the manifest declares other floors than the default (`Target.declared`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

import msgspec

from envc.context import Context
from envc.errors import EnvcError
from envc.model.environment import EnvironmentMember
from envc.model.kinds import InterpreterKind
from envc.shipping.machine.interpreter import HostPython, Interpreter, find_interpreter, this_python
from envc_solvers.target import PLATFORMS, Python

_LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}  # PEP 513, 571, 599
_PLATFORM = r"(manylinux|musllinux|macosx)_([0-9]{1,9})_([0-9]{1,9})_"  # PEP 600, 656
_NAMES = {"manylinux": "glibc", "musllinux": "musl", "macosx": "macos"}
_VIRTUAL = {"__glibc": "glibc", "__osx": "macos", "__cuda": "cuda", "__archspec": "archspec"}
_DEPEND = r"(__\w+)\s*(.*)"
_AT_LEAST = r"\s*(?:>=|==?|~=|>)?\s*([0-9]{1,9}(?:\.[0-9]{1,9})*)"  # one bound, after a comma or a bar
_ARCHSPEC = r"__archspec\s*(?:=?=?\s*1(?:\.\*)?)(?:\s+|=)([a-z0-9_]+)"

Version = tuple[int, ...]

_ANY: Version = (0,)  # required in any version


class WrongMachine(EnvcError):
    """This machine cannot run an environment."""

    def __init__(self, needs: str, has: str, hint: str) -> None:
        super().__init__(needs, has)
        self.needs = needs
        self.has = has
        self.hint = hint

    def __str__(self) -> str:
        return f"the environment needs {self.needs}; this machine has {self.has}"

    def data(self) -> dict[str, object]:
        return {"needs": self.needs, "has": self.has}


def machine_requirements(members: Iterable[EnvironmentMember], platform: str) -> dict[str, str]:
    """The lowest ``glibc``, ``musl``, ``macos``, ``cuda`` and ``archspec`` that suffice for these members.

    A wheel with several platform tags requires the lowest of them. A conda package requires the versions in its
    dependencies on virtual packages, and a standalone interpreter those that its project documents. Pure packages
    require nothing.
    """
    found: dict[str, Version] = {}
    cpus: set[str] = set()
    for member in members:
        if member.kind == "conda":
            needs = _read_depends(member.depends)
            cpus.update(match[1] for line in member.depends if (match := re.match(_ARCHSPEC, line)))
        elif member.kind == "interpreter":
            needs = _interpreter_needs(platform)
        else:
            needs = _read_tags(member.file)
        for name, version in needs.items():
            found[name] = max(found.get(name, version), version)
    result = {name: ".".join(map(str, version)) for name, version in found.items()}
    if cpus:
        result["archspec"] = max(cpus)  # levels sort by their numbers
    return dict(sorted(result.items()))


def _read_tags(file: str) -> dict[str, Version]:
    needs: dict[str, Version] = {}
    for tag in file.removesuffix(".whl").rpartition("-")[2].split("."):
        name, version = _read_tag(tag)
        if name:
            needs[name] = min(needs.get(name, version), version)
    return needs


def _read_tag(tag: str) -> tuple[str, Version]:
    legacy = _LEGACY.get(tag.partition("_")[0])
    if legacy is not None:
        return "glibc", legacy
    match = re.match(_PLATFORM, tag)
    if match is None:
        return "", ()
    return _NAMES[match[1]], (int(match[2]), int(match[3]))


def _read_depends(depends: Iterable[str]) -> dict[str, Version]:
    """The lower bounds on virtual packages: ``__glibc >=2.17,<3.0.a0`` requires glibc 2.17, ``__cuda`` any CUDA (0)."""
    needs: dict[str, Version] = {}
    for line in depends:
        match = re.match(_DEPEND, line)
        name = _VIRTUAL.get(match[1]) if match else None
        if match is None or name is None or name == "archspec":
            continue
        least = min(max(map(_least, either.split(","))) for either in match[2].split("|"))
        needs[name] = max(needs.get(name, least), least)
    return needs


def _least(part: str) -> Version:
    match = re.match(_AT_LEAST, part)
    return _version(match[1]) if match else _ANY


def _interpreter_needs(platform: str) -> dict[str, Version]:
    """The requirements of python-build-standalone ("Runtime Requirements" in its documentation). PyPy needs no more."""
    facts = PLATFORMS[platform]
    if facts.family == "linux":
        return {"glibc": (2, 17)}
    if facts.family == "macos":
        return {"macos": (11, 0) if facts.arch == "arm64" else (10, 15)}
    return {}


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The properties of a machine that environments depend on."""

    platform: str  # by its conda name
    glibc: str = ""  # "2.36"; "" for another C library
    macos: str = ""  # "14.5"; "" elsewhere

    def has(self, name: str, environ: Mapping[str, str]) -> str:
        """The machine's ``glibc``, ``macos``, ``cuda`` or ``archspec``. "" if it has none."""
        from envc.shipping.machine.hardware import cpu, cuda_driver, overridden

        override = overridden(name, environ)
        if override is not None:
            return override
        if name == "cuda":
            return cuda_driver()
        return cpu() if name == "archspec" else {"glibc": self.glibc, "macos": self.macos}.get(name, "")


def machine_of(interpreter: Interpreter) -> Machine:
    """The machine as that interpreter sees it. If it is an environment's own, which may not exist yet, the
    machine as envc's interpreter sees it.
    """
    host = interpreter if isinstance(interpreter, HostPython) else this_python()
    return Machine(platform=host.platform, glibc=host.glibc, macos=host.macos)


def check_platform(platform: str, machine: Machine) -> None:
    """Raise WrongMachine unless this machine is of that platform."""
    if platform != machine.platform:
        raise WrongMachine(
            platform,
            machine.platform,
            f"lock and bundle the step for {machine.platform}, or pass --platform to only unpack its files here",
        )


def check_floors(needs: Mapping[str, str], machine: Machine, environ: Mapping[str, str] | None = None) -> None:
    """Raise WrongMachine unless the machine meets these needs. For each unmet need, the error states the required and
    the present version.
    """
    environ = os.environ if environ is None else environ
    missing: list[tuple[str, str, str]] = []
    for name, version in needs.items():
        required = name if version == "0" else f"{name} {version}"
        if name == "musl":
            if machine.glibc:
                missing.append((name, required, f"glibc {machine.glibc}"))
            continue
        has = machine.has(name, environ)
        if not _suffices(name, has, version):
            missing.append((name, required, f"{name} {has}" if has else f"no {name}"))
    if missing:
        names = " and ".join(name for name, _, _ in missing)
        raise WrongMachine(
            " and ".join(required for _, required, _ in missing),
            " and ".join(has for _, _, has in missing),
            f"lock for a target with an older {names}, use a newer machine, or pass --force to continue anyway",
        )


def suitable_interpreter(
    kind: InterpreterKind, python: Python, platform: str, floors: Mapping[str, str], context: Context
) -> Interpreter:
    """The interpreter that an environment runs on here. Raises NoInterpreter, and WrongMachine unless this machine
    meets the `floors` that the target declares, or the user forces it.
    """
    found = find_interpreter(kind, python, platform, context.environ, context.cache)
    if floors and not context.force:
        check_floors(floors, machine_of(found), context.environ)
    return found


def _suffices(name: str, has: str, needs: str) -> bool:
    if name != "archspec":
        return bool(has) and _padded(has) >= _padded(needs)
    from envc.shipping.machine.hardware import cpu_serves

    return cpu_serves(has, needs)


def _version(text: str) -> Version:
    return tuple(int(part) for part in text.split(".") if part.isdecimal())


def _padded(text: str) -> Version:
    """A version padded with zeros, since 12 and 12.0 are equal."""
    return (*_version(text), 0, 0, 0)[:4]
