"""Manifests of many steps for the benchmarks of `envc lock`."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.measure import TARGETS, benchmark_sets

GROUPS = 10


def groups(name: str = "web") -> list[list[str]]:
    """Return ten different requirement lists from a shared set. Each omits other requirements."""
    requirements: list[str] = benchmark_sets()["sets"][name]["requirements"]
    return [[one for at, one in enumerate(requirements) if at % GROUPS != left_out] for left_out in range(GROUPS)]


def manifest(steps: int, targets: int, extra: str | None = None, name: str = "web") -> str:
    """Return a manifest of that many steps over ten groups of a set. Only the first step requires `extra`."""
    data: dict[str, Any] = benchmark_sets()
    platforms = ", ".join(f'"{platform}"' for platform in list(TARGETS.values())[:targets])
    text = f'[project]\nname = "benchmark"\ntargets = [{platforms}]\npython = "{data["python"]}"\n'
    text += f"exclude-newer = {data['exclude_newer']}\n"
    for number, requirements in enumerate(groups(name)):
        text += f"\n[groups.g{number}]\npypi = [\n" + "".join(f'  "{one}",\n' for one in requirements) + "]\n"
    for number in range(steps):
        text += f'\n[steps.s{number}]\ngroups = ["g{number % GROUPS}"]\n'
        if extra is not None and number == 0:
            text += f'pypi = ["{extra}"]\n'
    return text


def uv_project(steps: int) -> str:
    """Return the same requirements as a project of uv, with a dependency group for each step."""
    python = benchmark_sets()["python"]
    text = f'[project]\nname = "benchmark"\nversion = "0"\nrequires-python = "=={python}.*"\n\n[dependency-groups]\n'
    for number, requirements in enumerate(groups()):
        text += f"g{number} = [\n" + "".join(f'  "{one}",\n' for one in requirements) + "]\n"
    for number in range(steps):
        text += f's{number} = [{{ include-group = "g{number % GROUPS}" }}]\n'
    return text
