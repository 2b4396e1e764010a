"""Queries for testing the conda solver: shared ones, generated ones, and the oracle's verdicts."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from envc_solvers.conda.language.matchspec import parse_matchspec
from envc_solvers.conda.language.record import Record
from envc_solvers.conda.language.version import version_key
from envc_solvers.conda.language.virtual import parse_virtual_package
from envc_solvers.conda.problem import ChannelPriority, CondaProblem, CondaRoot
from envc_solvers.solution import Solution
from tests.support.channels import SHARED

_LINUX = ("__unix", "__linux=5.10.0", "__glibc=2.28", "__archspec=1=x86_64_v3")
_MACHINES: dict[str, tuple[str, ...]] = {
    "linux-64": _LINUX,
    "linux-aarch64": ("__unix", "__linux=5.10.0", "__glibc=2.28", "__archspec=1=aarch64"),
    "osx-64": ("__unix", "__osx=13.6", "__archspec=1=x86_64"),
    "osx-arm64": ("__unix", "__osx=14.5", "__archspec=1=m1"),
    "win-64": ("__win=10.0.22631", "__archspec=1=x86_64_v3"),
}
_ANCHORS = ("python 3.10.*", "python 3.11.*", "python 3.12.*", "python 3.13.*", "python >=3.9,<3.13", "numpy", "")


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """One query in the oracle's input format."""

    id: str
    platform: str
    specs: tuple[str, ...]
    virtual_packages: tuple[str, ...]
    channels: tuple[str, ...]
    channel_priority: ChannelPriority = "strict"

    @property
    def problem(self) -> CondaProblem:
        return CondaProblem(
            target=self.platform,
            specs=tuple(CondaRoot(parse_matchspec(spec), spec, ("specs", n)) for n, spec in enumerate(self.specs)),
            channels=self.channels,
            priority=self.channel_priority,
            virtual=tuple(map(parse_virtual_package, self.virtual_packages)),
        )


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The oracle's answer to one query."""

    id: str
    solvable: bool
    packages: tuple[tuple[str, str | None], ...] = ()  # channel/subdir/file and sha256, sorted
    error: str = ""

    @property
    def files(self) -> set[str]:
        return {path for path, _ in self.packages}


def shared_queries() -> list[Query]:
    return msgspec.json.decode((SHARED / "queries.json").read_bytes(), type=list[Query])


def ask_oracle(queries: Iterable[Query], folder: Path) -> dict[str, Verdict]:
    """Return the oracle's verdicts by query id."""
    queries_file, answers_file = folder / "queries.json", folder / "answers.json"
    queries_file.write_bytes(msgspec.json.encode(list(queries)))
    command = [sys.executable, str(SHARED / "oracle.py"), "--batch", str(queries_file), "--out", str(answers_file)]
    subprocess.run(command, check=True, capture_output=True)
    return {answer.id: answer for answer in msgspec.json.decode(answers_file.read_bytes(), type=list[Verdict])}


def files_of(solution: Solution, records: Iterable[Record]) -> set[str]:
    """Return a solution as the oracle spells it: channel/subdir/file."""
    subdirs = {(record.channel, record.file): record.subdir for record in records}
    return {f"{pin.source}/{subdirs[pin.source, pin.file]}/{pin.file}" for pin in solution.pins}


def generate(records: Iterable[Record], platform: str, channels: tuple[str, ...], seed: int) -> Iterator[Query]:
    """Yield queries without end: a few names of these channels, each with a random range of its versions."""
    versions: dict[str, set[str]] = {}
    for record in records:
        versions.setdefault(record.name, set()).add(record.version)
    names = sorted(versions)
    rng = random.Random(seed)
    for number in range(sys.maxsize):
        anchor = rng.choice(_ANCHORS)
        chosen = rng.sample(names, rng.randint(1, 6))
        ranges = [f"{name} {_range(rng, sorted(versions[name], key=version_key))}".strip() for name in chosen]
        specs = [anchor, *ranges] if anchor else ranges
        yield Query(
            id=f"{platform}-{seed}-{number}",
            platform=platform,
            specs=tuple(specs),
            virtual_packages=_MACHINES[platform],
            channels=channels,
        )


def _range(rng: random.Random, versions: list[str]) -> str:
    low = rng.randrange(len(versions))
    high = rng.randrange(low, len(versions))
    match rng.randrange(8):
        case 0:
            return f">={versions[low]}"
        case 1:
            return f"<={versions[high]}"
        case 2:
            return f">={versions[low]},<={versions[high]}"
        case 3:
            return f"=={versions[high]}"
        case 4:
            return ".".join(versions[high].split(".")[:2]) + ".*"
        case _:
            return ""


def show(query: Query) -> str:
    return json.dumps(msgspec.to_builtins(query))
