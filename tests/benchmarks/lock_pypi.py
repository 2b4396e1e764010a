"""lock-pypi: `envc lock` compared with `uv pip compile` at the same cut-off: warm, or cold with a recorded index."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.benchmarks.measure import (
    TARGETS,
    Run,
    Runs,
    alternate_runs,
    benchmark_sets,
    clean_environment,
    measured,
    memory_folder,
    program,
    recording_folder,
    verdict,
    versions,
)
from tests.support.replay import Replay

START = 0.08  # seconds: allowance for the start of Python
WARM_ONE = 1.5  # times uv
WARM_MANY = 0.7  # times the sum of uv's runs, one for each target
COLD = 1.5
HARD = 2.0  # seconds, regardless of uv
MEMORY = 200  # MB, on the largest shared set


class Scene(msgspec.Struct, frozen=True):
    """One requirement set in a separate folder."""

    work: Path
    env: dict[str, str]
    data: dict[str, Any]
    requirements: list[str]
    expect: tuple[int, ...]
    index: str | None = None  # for uv; envc reads it from the environment

    def envc(self, targets: list[str], *flags: str) -> Run:
        """Make one lock without a previous one."""
        path = self.work / f"manifest-{len(targets)}.toml"
        if not path.exists():
            platforms = [TARGETS[target] for target in targets]
            path.write_text(manifest(self.requirements, platforms, self.data["python"], self.data["exclude_newer"]))
        path.with_suffix(".lock").unlink(missing_ok=True)
        return measured([program("envc"), "lock", "--quiet", path.name, *flags], self.env, self.work, self.expect)

    def uv(self, targets: list[str], *flags: str) -> Run:
        """Run uv once for each target."""
        (self.work / "requirements.in").write_text("\n".join(self.requirements) + "\n")
        command = [program("uv"), "pip", "compile", "-q", "--no-config", "--only-binary", ":all:", "--generate-hashes"]
        command += ["--python-version", self.data["python"], "--exclude-newer", self.data["exclude_newer"], "--upgrade"]
        command += ["--index-url", self.index] if self.index else []
        total = Run(0.0, 0.0, 0)
        for target in targets:
            place = ["--python-platform", self.data["targets"][target]["uv_platform"], "-o", f"{target}.txt"]
            total += measured([*command, *flags, *place, "requirements.in"], self.env, self.work, self.expect)
        return total

    def forget(self) -> None:
        """Remove both caches."""
        for key in ("ENVC_CACHE_DIR", "UV_CACHE_DIR"):
            shutil.rmtree(self.env[key], ignore_errors=True)


def manifest(requirements: list[str], targets: list[str], python: str, cutoff: str) -> str:
    quoted = ", ".join(f'"{target}"' for target in targets)
    lines = "".join(f'  "{requirement}",\n' for requirement in requirements)
    return (
        f'[project]\nname = "benchmark"\ntargets = [{quoted}]\npython = "{python}"\nexclude-newer = {cutoff}\n\n'
        f"[steps.all]\npypi = [\n{lines}]\n"
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lock-pypi", description=__doc__)
    parser.add_argument("--set", action="append", help="only these sets")
    parser.add_argument("--hard", action="store_true", help="the sets in hard_sets.json, on one target unless told")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--targets", choices=["1", "4", "both"], default="both")
    parser.add_argument("--cold", action="store_true", help="without caches, against an index recorded on this machine")
    parser.add_argument("--latency", type=float, default=20.0, help="of the recorded index, in ms (default: 20)")
    parser.add_argument("--recording", type=Path, default=recording_folder(), help="where the recorded index is kept")
    chosen = parser.parse_args(arguments)
    data = benchmark_sets(hard=chosen.hard)
    counts = ["1", "4"] if chosen.targets == "both" and not chosen.hard else [chosen.targets.replace("both", "1")]
    print(versions("envc", "uv", "resolvelib", "packaging"))
    missed = False
    with tempfile.TemporaryDirectory(dir=memory_folder()) as folder, _index(chosen) as index:
        base = Path(folder)
        env = clean_environment(ENVC_CACHE_DIR=str(base / "envc-cache"), UV_CACHE_DIR=str(base / "uv-cache"))
        if index is not None:
            env["ENVC_INDEX_URL"] = index.url
        for name, content in data["sets"].items():
            if chosen.set and name not in chosen.set:
                continue
            work = base / name
            work.mkdir()
            place = Scene(
                work=work,
                env=env,
                data=data,
                requirements=content["requirements"],
                expect=(1,) if content.get("unsolvable", name == "unsat") else (0,),
                index=index.url if index else None,
            )
            for count in counts:
                targets = [
                    target for target in list(TARGETS)[: int(count)] if target in content.get("targets", TARGETS)
                ]
                if index is not None:
                    missed |= _cold(name, place, targets, index, chosen.runs)
                else:
                    missed |= _warm(name, place, targets, chosen.runs, hard=chosen.hard)
    return 1 if missed else 0


@contextmanager
def _index(chosen: argparse.Namespace) -> Iterator[Replay | None]:
    if not chosen.cold:
        yield None
        return
    from envc.fetch.pypi.source_locations import default_index_url

    with Replay(chosen.recording, default_index_url(), chosen.latency / 1000) as index:
        yield index


def _warm(name: str, place: Scene, targets: list[str], runs: int, *, hard: bool) -> bool:
    place.envc(targets)
    place.uv(targets)
    ours, theirs = alternate_runs(
        runs, lambda: place.envc(targets, "--offline"), lambda: place.uv(targets, "--offline")
    )
    budget = (WARM_ONE if len(targets) == 1 else WARM_MANY) * theirs.seconds + START
    if hard:
        # Explaining why there is no solution may take longer than uv takes to report it.
        budget = min(budget, HARD) if place.expect == (0,) else HARD
    missed = _print(name, "warm", targets, ours, theirs, budget)
    if name == "airflow":
        megabytes = ours.peak / 1e6
        print(f"{'':17} memory {megabytes:.0f} of {MEMORY} MB: {'met' if megabytes <= MEMORY else 'MISSED'}")
        missed |= megabytes > MEMORY
    return missed


def _cold(name: str, place: Scene, targets: list[str], index: Replay, runs: int) -> bool:
    def envc() -> Run:
        place.forget()
        index.forget()
        return place.envc(targets)

    def uv() -> Run:
        place.forget()
        return place.uv(targets)

    # The requests vary slightly from run to run, for both.
    for _ in range(2):
        uv()
        envc()
    requests, most, doubled = len(index.log), index.most_in_flight, index.doubled
    ours, theirs = alternate_runs(runs, envc, uv)
    missed = _print(name, "cold", targets, ours, theirs, COLD * theirs.seconds)
    print(f"{'':17} envc: {requests} requests, {most} at once, {len(doubled)} paths twice {' '.join(doubled[:3])}")
    return missed or bool(doubled)


def _print(name: str, how: str, targets: list[str], ours: Runs, theirs: Runs, budget: float) -> bool:
    print(
        f"{name:17} {how} {len(targets)}: envc {ours.seconds:.3f} s, uv {theirs.seconds:.3f} s"
        f", ratio {ours.seconds / theirs.seconds:.2f}; CPU at least {ours.cpu:.3f} and {theirs.cpu:.3f} s"
        f"; {verdict(ours.seconds, budget)}",
        flush=True,
    )
    return ours.seconds > budget
