"""Which Python each step has, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from envc.locking.manifest.python import choose_python, is_range, python_of_minor
from envc.locking.plan.expand import StepTarget
from envc.model.manifest import Manifest
from envc_solvers.target import Python

# "named": the manifest names its minor version; "newest": the newest one that a range allows; "gave-way": a newer one
# has no files of direct requirements; "locked": the one in the lock, and the range allows a newer one as well.
WhyPython = Literal["named", "newest", "gave-way", "locked"]


class ChosenPython(msgspec.Struct, frozen=True, kw_only=True):
    """The Python of some steps."""

    steps: tuple[str, ...]  # in the order of the manifest
    python: str  # "3.14"
    requested: str  # as the manifest writes it: ">=3.11"
    why: WhyPython
    because: str = ""  # why a newer one gave way

    def __str__(self) -> str:
        reason = {
            "named": "as named",
            "newest": f"the newest that `{self.requested}` allows",
            "gave-way": f"a newer one gave way, because {self.because}",
            "locked": f"as locked; `{self.requested}` allows newer ones (`envc lock -U`)",
        }[self.why]
        return f"Python {self.python} for {', '.join(self.steps)}: {reason}"


def line_for_machine(manifest: Manifest, step: str, versions: Iterable[str]) -> str:
    """The line for the manifest with the newest of these versions that the range of a step allows; "" if it states no
    range, or allows none of them.
    """
    own = manifest.steps[step].python
    request = own or manifest.python
    minors = (
        {(int(x), int(y)) for x, y, *_ in (version.split(".") for version in versions)} if is_range(request) else ()
    )
    for minor in sorted(minors, reverse=True):
        if python_of_minor(request, minor) is not None:
            table = f"[steps.{step}]" if own is not None else "[project]"
            return f'write python = "{minor[0]}.{minor[1]}" under {table}'
    return ""


def line_for_older(python: Python, versions: Iterable[str]) -> str:
    """The line for the manifest with which the newest of these versions serves, if all of the same minor version are
    older patch releases than the lock holds for; "" if there are none.
    """
    x, y = python.minor
    patches = [int(version.split(".")[2]) for version in versions if version.startswith(f"{x}.{y}.")]
    return f'write python = ">={x}.{y}.{max(patches)},<{x}.{y + 1}"' if patches and python.patch is None else ""


def chosen_pythons(
    manifest: Manifest, step_targets: Iterable[StepTarget], gave_way: Mapping[str, str] | None = None
) -> tuple[ChosenPython, ...]:
    """The Pythons of these step-targets, in the order of the manifest. `gave_way` has reasons by step."""
    steps: dict[tuple[str, str, WhyPython, str], dict[str, None]] = {}
    pythons = {step_target.step: step_target.python for step_target in step_targets}  # the same on all targets
    for step, python in pythons.items():
        request = manifest.steps[step].python or manifest.python
        because = (gave_way or {}).get(step, "")
        why: WhyPython = "named"
        if is_range(request):
            is_newest = python.minor == choose_python(request).minor
            why = "gave-way" if because else "newest" if is_newest else "locked"
        steps.setdefault((python.text, request.text, why, because), {})[step] = None
    return tuple(
        ChosenPython(steps=tuple(names), python=python, requested=requested, why=why, because=because)
        for (python, requested, why, because), names in steps.items()
    )
