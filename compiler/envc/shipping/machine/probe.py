"""Describes the running interpreter, as one line of JSON.

Run as ``python -I probe.py`` by any executable that may be a Python, and imported by envc for the Python that it runs
in. Written for Python 3.7; older versions fail to read it, and could not serve an environment anyway.
"""

from __future__ import annotations

import os
import sys


def facts() -> dict[str, object]:
    """The fields of `interpreter.HostPython`."""
    return {
        "executable": getattr(sys, "_base_executable", None) or sys.executable,
        "implementation": sys.implementation.name,
        "version": ".".join(map(str, sys.version_info[:3])),
        "free_threaded": _is_free_threaded(),
        "system": sys.platform,
        "machine": _machine(),
        "bits": 64 if sys.maxsize > 2**32 else 32,
        "glibc": _glibc(),
        "macos": _macos(),
    }


def _is_free_threaded() -> bool:
    flags = getattr(sys, "abiflags", None)
    if flags is not None:
        return "t" in flags  # PEP 703; importing sysconfig takes longer than everything else here
    import sysconfig

    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def _machine() -> str:
    if sys.platform != "win32":
        return os.uname()[4]
    import sysconfig

    return sysconfig.get_platform().rpartition("-")[2]


def _glibc() -> str:
    """Such as ``2.36``; empty for another C library."""
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
    except (AttributeError, OSError, ValueError):  # Windows; musl; a C library that does not state its version
        return ""
    return version if name == "glibc" else ""


def _macos() -> str:
    """Such as ``14.5``; empty elsewhere."""
    if sys.platform != "darwin":
        return ""
    import platform

    return platform.mac_ver()[0]


if __name__ == "__main__":
    import json

    sys.stdout.write(json.dumps(facts()))
