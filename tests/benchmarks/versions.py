"""versions: the versions that `envc solve` and `uv pip compile` choose for each set, one target at a time."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from datetime import datetime
from pathlib import Path

from envc.locking.manifest.python import choose_python, parse_python
from envc.locking.plan.python_releases import with_newest_release
from tests.benchmarks.measure import TARGETS, benchmark_sets, clean_environment, program, versions

_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="versions", description=__doc__)
    parser.add_argument("--set", action="append", help="only these sets")
    parser.add_argument("--hard", action="store_true", help="the sets in hard_sets.json, for linux-64 alone")
    chosen = parser.parse_args(arguments)
    data = benchmark_sets(hard=chosen.hard)
    targets = list(TARGETS.items())[:1] if chosen.hard else list(TARGETS.items())
    envc, uv = program("envc"), program("uv")
    env = clean_environment()
    print(versions("envc", "uv"))
    differences = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, content in data["sets"].items():
            if chosen.set and name not in chosen.set:
                continue
            requirements = Path(folder) / f"{name}.in"
            requirements.write_text("\n".join(content["requirements"]) + "\n")
            for target, platform in targets:
                ours = _envc(envc, env, content["requirements"], platform, data)
                theirs = _uv(uv, env, requirements, data["targets"][target]["uv_platform"], data)
                if ours is None or theirs is None:
                    verdicts = " and ".join("unsatisfiable" if v is None else "solved" for v in (ours, theirs))
                    differences += (ours is None) != (theirs is None)
                    print(f"{name:17} {platform:14} envc and uv: {verdicts}", flush=True)
                    continue
                names = sorted(ours.keys() | theirs.keys())
                different = [n for n in names if ours.get(n) != theirs.get(n)]
                differences += len(different)
                print(f"{name:17} {platform:14} {len(ours):4} packages, {len(different)} different", flush=True)
                for package in different:
                    print(f"    {package}: envc {ours.get(package, '-')}, uv {theirs.get(package, '-')}")
    return 1 if differences else 0


def _envc(
    envc: str, env: dict[str, str], requirements: list[str], platform: str, data: dict[str, str]
) -> dict[str, str] | None:
    command = [envc, "solve", "--json", "--platform", platform, "--python", data["python"]]
    command += ["--exclude-newer", data["exclude_newer"]]
    for requirement in requirements:
        command += ["--pypi", requirement]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode == 1 and "unsolvable" in done.stdout:
        return None
    if done.returncode != 0:
        raise SystemExit(f"envc exited {done.returncode}:\n{done.stderr}")
    return {package["name"]: package["version"] for package in json.loads(done.stdout)["packages"]}


def _uv(uv: str, env: dict[str, str], requirements: Path, platform: str, data: dict[str, str]) -> dict[str, str] | None:
    command = [uv, "pip", "compile", "--no-config", "--only-binary", ":all:", "--no-header", "--no-annotate"]
    # For uv, a minor version means its first patch release.
    cut_off = int(datetime.fromisoformat(data["exclude_newer"]).timestamp())
    python = with_newest_release(choose_python(parse_python(data["python"])), cut_off).full_version
    command += ["--python-version", python, "--exclude-newer", data["exclude_newer"]]
    command += ["--python-platform", platform, str(requirements)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode == 1 and "No solution found" in done.stderr:
        return None
    if done.returncode != 0:
        raise SystemExit(f"uv exited {done.returncode}:\n{done.stderr}")
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in _PINNED.findall(done.stdout)}
