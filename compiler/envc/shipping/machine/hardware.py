"""The CUDA driver and the CPU of this machine. They are looked up only for environments that depend on them.

``CONDA_OVERRIDE_GLIBC``, ``CONDA_OVERRIDE_OSX``, ``CONDA_OVERRIDE_CUDA`` and ``CONDA_OVERRIDE_ARCHSPEC`` override what
is found, and mean "none" if empty, as in conda ("Managing virtual packages" in its documentation). So a container can
be prepared on a machine without a GPU.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache

_VARIABLES = {
    "glibc": "CONDA_OVERRIDE_GLIBC",
    "macos": "CONDA_OVERRIDE_OSX",
    "cuda": "CONDA_OVERRIDE_CUDA",
    "archspec": "CONDA_OVERRIDE_ARCHSPEC",
}
# The library of the driver, where its installer puts it. Toolkit libraries do not state the driver's version.
_DRIVERS = {"linux": ("libcuda.so.1", "libcuda.so", "/usr/lib/wsl/lib/libcuda.so.1"), "win32": ("nvcuda.dll",)}


def overridden(name: str, environ: Mapping[str, str]) -> str | None:
    """The value that the user states for this machine. None if not stated."""
    return environ.get(_VARIABLES.get(name, ""))


@cache
def cuda_driver() -> str:
    """The newest CUDA version that the installed driver supports, such as ``12.4``. "" without a driver."""
    import ctypes

    for name in _DRIVERS.get(sys.platform, ()):
        try:
            library = ctypes.CDLL(name)
            version = ctypes.c_int()
            # cuDriverGetVersion needs no cuInit, and returns 1000 * major + 10 * minor (CUDA Driver API).
            if library.cuDriverGetVersion(ctypes.byref(version)) == 0 and version.value:
                return f"{version.value // 1000}.{version.value % 1000 // 10}"
        except (OSError, AttributeError):
            continue
    return ""


@cache
def cpu() -> str:
    """The name of the CPU in archspec, such as ``x86_64_v4`` or ``zen4``. "" if archspec does not know it."""
    from archspec.cpu import host

    return str(host().name)


def cpu_serves(has: str, needs: str) -> bool:
    """Whether programs for the microarchitecture `needs` run on `has`. False for names that archspec does not know."""
    from archspec.cpu import TARGETS

    return has in TARGETS and needs in TARGETS and bool(TARGETS[needs] <= TARGETS[has])
