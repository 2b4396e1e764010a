"""What of a machine only the machine knows: its CUDA driver and its CPU. Asked only for environments that care.

``CONDA_OVERRIDE_GLIBC``, ``CONDA_OVERRIDE_OSX``, ``CONDA_OVERRIDE_CUDA`` and ``CONDA_OVERRIDE_ARCHSPEC`` win over what
is found, and when empty say that there is none, as in conda ("Managing virtual packages" in its documentation): a
container may be prepared where there is no GPU.
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
# The driver's own library, where its installer puts it; toolkits bring others, which say nothing of the driver.
_DRIVERS = {"linux": ("libcuda.so.1", "libcuda.so", "/usr/lib/wsl/lib/libcuda.so.1"), "win32": ("nvcuda.dll",)}


def overridden(name: str, environ: Mapping[str, str]) -> str | None:
    """What the user says the machine has; None where nothing is said."""
    return environ.get(_VARIABLES.get(name, ""))


@cache
def cuda_driver() -> str:
    """The newest CUDA that the installed driver serves, such as ``12.4``; "" without a driver."""
    import ctypes

    for name in _DRIVERS.get(sys.platform, ()):
        try:
            library = ctypes.CDLL(name)
            version = ctypes.c_int()
            # cuDriverGetVersion needs no cuInit, and answers 1000 * major + 10 * minor (CUDA Driver API).
            if library.cuDriverGetVersion(ctypes.byref(version)) == 0 and version.value:
                return f"{version.value // 1000}.{version.value % 1000 // 10}"
        except (OSError, AttributeError):
            continue
    return ""


@cache
def cpu() -> str:
    """The CPU as archspec names it, such as ``x86_64_v4`` or ``zen4``; "" where it does not know."""
    from archspec.cpu import host

    return str(host().name)


def cpu_serves(has: str, needs: str) -> bool:
    """Whether programs for the microarchitecture `needs` run on `has`; never for a name that archspec does not know."""
    from archspec.cpu import TARGETS

    return has in TARGETS and needs in TARGETS and bool(TARGETS[needs] <= TARGETS[has])
