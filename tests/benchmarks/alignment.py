"""alignment: packages of the example manifests with more than one version, compared with independent solves."""

from __future__ import annotations

import argparse
import re
import tempfile
import tomllib
from pathlib import Path

from tests.benchmarks.measure import clean_environment, median, program, timed, versions

EXAMPLES = Path(__file__).parents[2] / "examples"
MODES = ("off", "newest", "strong")  # "off" solves every target independently
SPREAD = """\
# Packages whose newest versions are not there for every platform, and markers that differ by platform.
[project]
name = "spread"
targets = ["linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64"]
python = "3.11"
exclude-newer = 2026-11-01T00:00:00Z

[targets.osx-64]
platform = "osx-64"
macos = "11.0"

[steps.train]
pypi = ["torch", "tensorflow", "onnxruntime", "pandas", "numba", "opencv-python", "pyarrow", "jax", "polars"]
"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="alignment", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args(arguments)
    envc = program("envc")
    print(versions("envc"))
    manifests = {path.parent.name: path.read_text() for path in sorted(EXAMPLES.glob("*/manifest.toml"))}
    manifests["spread"] = SPREAD
    print(f"{'manifest':14} {'align':8} {'packages':>8} {'several versions':>16} {'warm s':>7}")
    with tempfile.TemporaryDirectory() as folder:
        env = clean_environment()
        for name, text in manifests.items():
            # Conda packages are chosen by another solver, and have other builds on every platform anyway.
            if not re.search(r"^pypi = ", text, re.MULTILINE) or re.search(r"^conda = ", text, re.MULTILINE):
                continue
            for mode in MODES:
                work = Path(folder) / name / mode
                work.mkdir(parents=True)
                path = work / "manifest.toml"
                path.write_text(f'{text}\n[policy]\nalign = "{mode}"\n')
                lock = path.with_suffix(".lock")
                timed([envc, "lock", "--quiet", path.name], env, work)
                seconds = []
                for _ in range(chosen.runs):
                    lock.unlink()
                    seconds.append(timed([envc, "lock", "--quiet", "--offline", path.name], env, work))
                held: dict[str, set[str]] = {}
                for package in tomllib.loads(lock.read_text())["package"]:
                    held.setdefault(package["id"].partition("@")[0], set()).add(package["version"])
                several = sorted(name for name, found in held.items() if len(found) > 1)
                print(f"{name:14} {mode:8} {len(held):8} {len(several):16} {median(seconds):7.2f}", flush=True)
                for package in several:
                    print(f"    {package}: {', '.join(sorted(held[package]))}")
    return 0
