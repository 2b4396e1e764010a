"""Runs conda-index without conda: ``python -m tests.support.run_conda_index [options] FOLDER``.

conda-index imports two names of conda, which is not on PyPI. This module replaces both: one is only used for
``channeldata.json``, the other lists the subdirs.
"""

from __future__ import annotations

import runpy
import sys
from types import ModuleType

from envc_solvers.conda.language.version import parse_version

SUBDIRS = ("noarch", "linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64", "win-arm64")


def _stand_in(name: str, **names: object) -> None:
    module = sys.modules[name] = ModuleType(name)
    vars(module).update(names)


# Its worker processes import this module too, under another name than __main__.
for _package in ("conda", "conda.models", "conda.base"):
    _stand_in(_package)
_stand_in("conda.models.version", VersionOrder=parse_version)
_stand_in("conda.base.constants", PLATFORM_DIRECTORIES=SUBDIRS)

if __name__ == "__main__":
    runpy.run_module("conda_index", run_name="__main__")
