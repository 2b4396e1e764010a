"""Platforms, targets and Pythons: what a solver knows about the machine it solves for, never the one it runs on."""

from __future__ import annotations

from typing import Literal

import msgspec

Family = Literal["linux", "macos", "windows"]
Implementation = Literal["cpython", "pypy"]


class Platform(msgspec.Struct, frozen=True):
    """An operating system and CPU, named as conda names its subdirs."""

    name: str  # "linux-64"
    family: Family
    machine: str  # `platform_machine` of PEP 508 as that system spells it: "x86_64", "arm64", "AMD64"
    arch: str  # the CPU as wheel tags spell it: "x86_64", "aarch64", "arm64", "amd64"

    @property
    def sys_platform(self) -> str:
        return {"linux": "linux", "macos": "darwin", "windows": "win32"}[self.family]

    @property
    def platform_system(self) -> str:
        return {"linux": "Linux", "macos": "Darwin", "windows": "Windows"}[self.family]

    @property
    def os_name(self) -> str:
        return "nt" if self.family == "windows" else "posix"


PLATFORMS: dict[str, Platform] = {
    platform.name: platform
    for platform in (
        Platform("linux-32", "linux", "i686", "i686"),
        Platform("linux-64", "linux", "x86_64", "x86_64"),
        Platform("linux-aarch64", "linux", "aarch64", "aarch64"),
        Platform("linux-armv7l", "linux", "armv7l", "armv7l"),
        Platform("linux-ppc64le", "linux", "ppc64le", "ppc64le"),
        Platform("linux-riscv64", "linux", "riscv64", "riscv64"),
        Platform("linux-s390x", "linux", "s390x", "s390x"),
        Platform("osx-64", "macos", "x86_64", "x86_64"),
        Platform("osx-arm64", "macos", "arm64", "arm64"),
        Platform("win-32", "windows", "x86", "win32"),
        Platform("win-64", "windows", "AMD64", "amd64"),
        Platform("win-arm64", "windows", "ARM64", "arm64"),
    )
}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A named kind of machine: a platform and the floors that an environment may rely on."""

    name: str
    platform: str  # a key of PLATFORMS
    glibc: str | None = None  # "2.28"; Linux only, never together with musl
    musl: str | None = None  # "1.2"; Linux only
    macos: str | None = None  # "13.0"; macOS only
    cuda: str | None = None  # "12.4"; only when declared
    archspec: str | None = None  # "x86_64_v2"
    # What `platform_release` of PEP 508 is, if the manifest says so. It is compared with, and no machine is checked.
    platform_release: str | None = None

    @property
    def facts(self) -> Platform:
        return PLATFORMS[self.platform]

    @property
    def text(self) -> str:
        """The canonical one-line form: the platform unless it is the name, then the floors.

        ``"linux-64 glibc=2.28 cuda=12.4"`` for a target ``gpu``; ``"glibc=2.28"`` for the target ``linux-64``.
        """
        parts = [] if self.name == self.platform else [self.platform]
        for field in FLOORS:
            value = getattr(self, field)
            if value is not None:
                parts.append(f"{field}={value}")
        if self.platform_release is not None:
            parts.append(f"platform-release={self.platform_release}")
        return " ".join(parts)

    @property
    def release(self) -> str:
        """The value of `platform_release` in markers; "" if it is not known.

        On macOS, it is the version of the kernel (Darwin) of the oldest macOS that the target includes. The release of
        a Linux kernel is rarely a valid version, so comparisons with it fail as they do with an empty one, and no floor
        of a target implies a release of Windows.
        """
        if self.platform_release is not None or self.macos is None:
            return self.platform_release or ""
        major, minor, *_ = (*(int(part) for part in self.macos.split(".")), 0)
        return f"{_darwin(major, minor)}.0.0"

    @property
    def declared(self) -> dict[str, str]:
        """The floors that differ from the defaults of the platform."""
        default = default_target(self.platform)
        floors = {field: getattr(self, field) for field in FLOORS}
        return {field: value for field, value in floors.items() if value not in (None, getattr(default, field))}


def _darwin(major: int, minor: int) -> int:
    """The major version of Darwin in a macOS: 10.15 has 19, 11 has 20, 15 has 24, and 26, which follows it, has 25."""
    if major <= 10:
        return minor + 4
    return major + 9 if major < _FIRST_MACOS_OF_A_YEAR else major - 1


_FIRST_MACOS_OF_A_YEAR = 26  # numbered by the year that follows its release
FLOORS = ("glibc", "musl", "macos", "cuda", "archspec")
DEFAULT_FLOORS: dict[Family, dict[str, str]] = {
    "linux": {"glibc": "2.28"},
    "macos": {"macos": "13.0"},
    "windows": {},
}
DEFAULT_ARCHSPEC = {"x86_64": "x86_64_v2", "amd64": "x86_64_v2"}


def default_target(platform: str) -> Target:
    """The implicit target of that name, with the default floors. Raises KeyError for an unknown platform."""
    facts = PLATFORMS[platform]
    return Target(
        name=platform,
        platform=platform,
        archspec=DEFAULT_ARCHSPEC.get(facts.arch),
        **DEFAULT_FLOORS[facts.family],
    )


_PREFIXES: dict[Implementation, str] = {"cpython": "cp", "pypy": "pp"}  # of `Python.key`
_PYPY_8 = (3, 11, 16)  # the first Python version that PyPy 8 implements


class Python(msgspec.Struct, frozen=True, kw_only=True):
    """The Python to solve for. The minor version is always fixed, the patch release only if the user named one."""

    implementation: Implementation = "cpython"
    minor: tuple[int, int]  # (3, 12)
    patch: int | None = None
    free_threaded: bool = False
    # Without `patch`: the patch release that markers and Requires-Python are evaluated for. In an environment it is the
    # oldest one with the same answers, and older interpreters do not serve.
    release: int = 0
    limits: str = ""  # without `patch`: the clauses of a range that exclude patch releases of the minor: ">=3.12.3"

    @property
    def key(self) -> str:
        """The abbreviation used in wheel tags: ``cp312``, ``cp313t``, ``pp310``. `parse_python_key` reads it back."""
        return f"{_PREFIXES[self.implementation]}{self.minor[0]}{self.minor[1]}{'t' if self.free_threaded else ''}"

    @property
    def pypy_abi(self) -> str:
        """The ABI in the wheel tags of PyPy: every Python from 3.6 on had that of 7.3 until PyPy 8."""
        return "pp80" if (*self.minor, self.answered_for) >= _PYPY_8 else "pp73"

    @property
    def answered_for(self) -> int:
        """The patch release that markers and Requires-Python are evaluated for."""
        return self.release if self.patch is None else self.patch

    def serves_on(self, patch: int) -> bool:
        """Whether environments for this Python run on that patch release of its minor version."""
        if self.patch is not None:
            return patch == self.patch
        if patch < self.release or not self.limits:
            return patch >= self.release
        from envc_solvers.pypi.language.specifier import allows  # late: few manifests limit patch releases

        return allows(self.limits, f"{self.minor[0]}.{self.minor[1]}.{patch}")

    @property
    def full_version(self) -> str:
        """The version for markers and Requires-Python."""
        return f"{self.minor[0]}.{self.minor[1]}.{self.answered_for}"

    @property
    def text(self) -> str:
        """As a manifest may write it: ``3.12``, ``3.12.7``, ``3.13t``, ``pypy3.10``, ``==3.12.*,>=3.12.3``."""
        if self.limits and self.patch is None:
            return f"=={self.minor[0]}.{self.minor[1]}.*,{self.limits}"
        prefix = "pypy" if self.implementation == "pypy" else ""
        patch = "" if self.patch is None else f".{self.patch}"
        return f"{prefix}{self.minor[0]}.{self.minor[1]}{patch}{'t' if self.free_threaded else ''}"


def implementation_of(name: str) -> Implementation:
    """The implementation that an interpreter or a table names. Every one but PyPy is treated as CPython."""
    return "pypy" if name == "pypy" else "cpython"


def parse_python_key(key: str) -> Python:
    """Read a `Python.key`, which holds no patch release. Raises ValueError for any other text.

    >>> parse_python_key("cp313t")
    Python(implementation='cpython', minor=(3, 13), patch=None, free_threaded=True)
    """
    prefix, digits, free_threaded = key[:2], key[2:].removesuffix("t"), key.endswith("t")
    major, minor = digits[:1], digits[1:]
    is_number = digits.isascii() and digits.isdecimal() and (minor == "0" or not minor.startswith("0"))
    for implementation, expected in _PREFIXES.items():
        if prefix == expected and 1 <= len(minor) <= 3 and is_number:
            return Python(implementation=implementation, minor=(int(major), int(minor)), free_threaded=free_threaded)
    raise ValueError(f"{key[:20]!r} is not the key of a Python")
