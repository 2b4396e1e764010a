"""``.envc/relocate.sh``, which makes a tree unpacked by `tar` runnable, and a ``bin/python`` that calls it if needed.

The script does what `venv.make_prefix` does, and needs only a POSIX shell and the Python that it finds. It may be run
again after the tree was moved to another machine, or its interpreter was removed. Windows has no such shell; there,
`envc hydrate` unpacks bundles.

The texts below are bytes of bundles: changing one changes the format (FORMAT.md).
"""

from __future__ import annotations

from collections.abc import Mapping

from envc.shipping.machine.interpreter import python_text
from envc.shipping.prefix.venv import made_paths
from envc.shipping.unpack.launchers import OWN_FOLDER
from envc_solvers.target import Platform, Python

_MOST_PATCHES = 100  # of one minor version
SCRIPT = ".envc/relocate.sh"
STAND_IN = "bin/python"  # until the script replaces it with a link to the interpreter

_SCRIPT = """\
#!/bin/sh
# Makes the tree that this file stands in a virtual environment: bin/python and pyvenv.cfg, on a Python of this machine.
# Usage: sh .envc/relocate.sh [PYTHON]; else ENVC_PYTHON, else what fits among @NAMES@ on PATH.
case $0 in */*) here=${0%/*} ;; *) here=. ;; esac
root=$(CDPATH= cd -- "$here/.." && pwd -P) || exit 1
if [ $# -eq 0 ]; then
    if [ -n "${ENVC_PYTHON:-}" ]; then set -- "$ENVC_PYTHON"; else set -- @NAMES@; fi
fi
for python; do
    command -v "$python" >/dev/null || continue
    ENVC_RELOCATING=1 "$python" -I - "$root" <<'END'
@PROGRAM@END
    case $? in
        0) exit 0 ;;
        1) exit 1 ;;
    esac
done
echo "relocate.sh: this machine has no @WANTED@ among: $*" >&2
exit 1
"""

# Checks the machine for both kinds of trees. Ends the program with 1 if the machine cannot run the tree.
CHECKS = """\
def numbers(version):
    return [int(part) for part in version.split(".") if part.isdigit()]


def check_machine(needs):
    import os, sys

    def refuse(name, needs, has):
        sys.exit("relocate.sh: the environment needs %s %s; this machine has %s" % (name, needs, has or "none"))

    if "glibc" in needs or "musl" in needs:
        try:
            library, _, has = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        except (OSError, ValueError):  # musl
            library = has = ""
        if "glibc" in needs and numbers(has) < numbers(needs["glibc"]):
            refuse("glibc", needs["glibc"], has)
        if "musl" in needs and library == "glibc":
            refuse("musl", needs["musl"], "glibc " + has)
    if "macos" in needs:
        import platform

        has = platform.mac_ver()[0]
        if numbers(has) < numbers(needs["macos"]):
            refuse("macos", needs["macos"], has)
"""

# Ends with 3 on a Python that does not fit, and with 1 if the fitting Python cannot be used.
_PROGRAM = """\
import os, sys, sysconfig

free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
is_wanted = (sys.implementation.name, sys.version_info[:@PARTS@], free_threaded) == @PYTHON@
if not is_wanted or (sys.platform, sys.maxsize > 2**32) != @SYSTEM@ or os.uname()[4] not in @MACHINES@:
    sys.exit(3)


@CHECKS@

check_machine(@NEEDS@)
root = sys.argv[1]
base = getattr(sys, "_base_executable", None) or sys.executable
# A name that will not mean another minor after an upgrade: python3.12, not python3.
steady = os.path.join(os.path.dirname(base), "@STEADY@")
if os.path.exists(steady) and os.path.samefile(steady, base):
    base = steady


def put(path, write):
    # A rename: whoever runs the old file at this moment is not disturbed.
    path = os.path.join(root, path)
    draft = "%s.%d" % (path, os.getpid())
    write(draft)
    os.replace(draft, path)


def configure(path):
    with open(path, "w", encoding="utf-8") as stream:
        stream.write("home = %s\\n" % os.path.dirname(base))
        stream.write("implementation = %s\\n" % sys.implementation.name)
        stream.write("version = %d.%d.%d\\n" % sys.version_info[:3])
        stream.write("include-system-site-packages = false\\n")


try:
    os.makedirs(os.path.join(root, "bin"), exist_ok=True)
    put("pyvenv.cfg", configure)
    for name in @LINKS@:
        put(os.path.join("bin", name), lambda path: os.symlink("python", path))
    put(os.path.join("bin", "python"), lambda path: os.symlink(base, path))
except OSError as error:
    sys.exit("relocate.sh: %s" % error)
"""

_STAND_IN = b"""\
#!/bin/sh
# Stands here until .envc/relocate.sh has put the interpreter in its place, which the first call does.
[ -z "${ENVC_RELOCATING:-}" ] || exit 3
bin=$(
@OWN_FOLDER@)
# Another first call may have put the interpreter in our place since we were started.
[ -e "$bin/../.envc/relocate.sh" ] || [ -n "${ENVC_AGAIN:-}" ] || exec /usr/bin/env ENVC_AGAIN=1 "$0" "$@"
if /bin/sh "$bin/../.envc/relocate.sh"; then exec "$bin/python" "$@"; fi
exit 127
""".replace(b"@OWN_FOLDER@", OWN_FOLDER)


def relocate_script(platform: Platform, python: Python, requirements: Mapping[str, str]) -> bytes | None:
    """The script for one kind of environment, with the `requirements` of its record. None for Windows."""
    if platform.family == "windows":
        return None
    minor = f"{python.minor[0]}.{python.minor[1]}"
    flag = "t" if python.free_threaded else ""
    links = [path.removeprefix("bin/") for path in made_paths(platform, python) if path.startswith("bin/")]
    links.remove("python")
    names = (
        (f"pypy{minor}", "pypy3") if python.implementation == "pypy" else (f"python{minor}{flag}", "python3", "python")
    )
    bits = 32 if platform.arch in ("i686", "armv7l") else 64
    # A 32-bit Python may run on a 64-bit system. It then reports the name of that system.
    machines = {"i686": ("i686", "i386", "x86_64"), "armv7l": ("armv7l", "armv8l", "aarch64")}
    version = python.minor if python.patch is None else (*python.minor, python.patch)
    values = {
        "PROGRAM": _PROGRAM,
        "CHECKS": CHECKS,
        "NAMES": " ".join(names),
        "WANTED": f"{python_text(python)} for {platform.name}",
        "PARTS": str(len(version)),
        "PYTHON": repr((python.implementation, version, python.free_threaded)) + _patch_check(python),
        "SYSTEM": repr((platform.sys_platform, bits == 64)),
        "MACHINES": repr(machines.get(platform.arch, (platform.arch,))),
        "NEEDS": repr(dict(sorted(requirements.items()))),
        "STEADY": f"python{minor}{flag}",
        "LINKS": repr(links),
    }
    text = _SCRIPT
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text.encode()


def _patch_check(python: Python) -> str:
    """The rest of the condition on the version, if some patch releases of the minor version do not serve."""
    if python.patch is not None or not (python.release or python.limits):
        return ""
    oldest = f" and sys.version_info[2] >= {python.release}"
    excluded = tuple(patch for patch in range(python.release, _MOST_PATCHES) if not python.serves_on(patch))
    return oldest + (f" and sys.version_info[2] not in {excluded}" if excluded else "")


def stand_in(platform: Platform) -> bytes | None:
    """The file ``bin/python`` of a bundle. None for Windows."""
    return None if platform.family == "windows" else _STAND_IN
