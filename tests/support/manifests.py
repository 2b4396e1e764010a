"""The tables that most manifests of tests begin with. Each text ends with a line end."""

from __future__ import annotations

from collections.abc import Sequence

from envc.shipping.machine.interpreter import this_python
from tests.e2e.command import HOST_PYTHON, host_platform


def project_table(*targets: str, python: str = "3.12", **lists: Sequence[str]) -> str:
    """Return the table `[project]` of a project named demo. `lists` are further keys, such as `channels`."""
    lines = ["[project]", 'name = "demo"', f"targets = {_list(targets)}", f'python = "{python}"']
    lines += [f"{key} = {_list(values)}" for key, values in lists.items()]
    return "\n".join(lines) + "\n"


def conda_tables(*targets: str, url: str = "channel") -> str:
    """Return `[project]` and its only channel."""
    return f'{project_table(*targets, channels=["small"])}\n[sources.small]\nkind = "conda"\nurl = "{url}"\n'


def host_conda_manifest(url: str, *specs: str, step: str = "work") -> str:
    """Return a manifest of one step with these conda packages, for this machine, its Python and the channel at `url`.

    The text ends in the table of the step.
    """
    return f"""\
{project_table("here", python=HOST_PYTHON, channels=["made"])}
[targets.here]
platform = "{host_platform()}"
glibc = "{this_python().glibc}"

[sources.made]
kind = "conda"
url = "{url}"

[steps.{step}]
conda = {_list(specs)}
run = "python -c 'import sys; print(sys.prefix)'"
"""


def _list(values: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"
