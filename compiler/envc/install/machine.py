"""What the files of an environment ask of a machine, and whether this one has it."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from envc.errors import EnvcError
from envc.install.interpreter import HostPython, Interpreter, this_python
from envc.model.record import Record

_LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}  # PEP 513, 571, 599
_PLATFORM = re.compile(r"(manylinux|musllinux|macosx)_(\d+)_(\d+)_")  # PEP 600, 656
_NAMES = {"manylinux": "glibc", "musllinux": "musl", "macosx": "macos"}

Version = tuple[int, ...]


class WrongMachine(EnvcError):
    """An environment that this machine cannot run."""

    def __init__(self, needs: str, has: str, hint: str) -> None:
        super().__init__(needs, has)
        self.needs = needs
        self.has = has
        self.hint = hint

    def __str__(self) -> str:
        return f"the environment needs {self.needs}; this machine has {self.has}"

    def data(self) -> dict[str, object]:
        return {"needs": self.needs, "has": self.has}


def machine_requirements(files: Iterable[str]) -> dict[str, str]:
    """The lowest ``glibc``, ``musl`` and ``macos`` that suffice for wheels of these file names; nothing for pure ones.

    A wheel with several platform tags asks for the most modest of them.
    """
    found: dict[str, Version] = {}
    for file in files:
        needs: dict[str, Version] = {}
        for tag in file.removesuffix(".whl").rpartition("-")[2].split("."):
            name, version = _read_tag(tag)
            if name:
                needs[name] = min(needs.get(name, version), version)
        for name, version in needs.items():
            found[name] = max(found.get(name, version), version)
    return {name: ".".join(map(str, version)) for name, version in sorted(found.items())}


def _read_tag(tag: str) -> tuple[str, Version]:
    legacy = _LEGACY.get(tag.partition("_")[0])
    if legacy is not None:
        return "glibc", legacy
    match = _PLATFORM.match(tag)
    if match is None:
        return "", ()
    return _NAMES[match[1]], (int(match[2]), int(match[3]))


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What an environment may rely on where it is to run."""

    platform: str  # conda's name of it
    glibc: str = ""  # "2.36"; "" where the C library is another one
    macos: str = ""  # "14.5"; "" elsewhere


def machine_of(interpreter: Interpreter) -> Machine:
    """The machine as that interpreter sees it; as envc's own does, for one that is not there before its environment."""
    host = interpreter if isinstance(interpreter, HostPython) else this_python()
    return Machine(platform=host.platform, glibc=host.glibc, macos=host.macos)


def check_machine(record: Record, machine: Machine) -> None:
    """Raise WrongMachine unless `machine` can run the environment: its platform, its C library, its macOS."""
    if record.platform != machine.platform:
        raise WrongMachine(
            record.platform,
            machine.platform,
            f"lock and bundle the step for {machine.platform}; with --platform its files can be looked at here",
        )
    for name, has in (("glibc", machine.glibc), ("macos", machine.macos)):
        needs = record.requirements.get(name)
        if needs is not None and (not has or _version(has) < _version(needs)):
            raise WrongMachine(
                f"{name} {needs}",
                f"{name} {has}" if has else f"no {name}",
                f"lock for a target with an older {name}, or use a newer machine",
            )
    if "musl" in record.requirements and machine.glibc:
        raise WrongMachine(
            f"musl {record.requirements['musl']}", f"glibc {machine.glibc}", "lock for a target without `musl`"
        )


def _version(text: str) -> Version:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
