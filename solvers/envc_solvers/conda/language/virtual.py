"""Virtual packages: facts of a machine that packages depend on like packages (conda documentation, CEP-30)."""

from __future__ import annotations

from collections.abc import Iterable

from envc_solvers.conda.language.record import Record
from envc_solvers.conda.language.version import InvalidVersion, parse_version
from envc_solvers.target import Family, Target

_LINUX = "5.10"  # kernel; a floor that every distribution with glibc 2.28 or newer exceeds in practice
_WINDOWS = "10"
_BARE: dict[Family, tuple[str, ...]] = {
    "linux": ("__unix", f"__linux={_LINUX}"),
    "macos": ("__unix",),
    "windows": (f"__win={_WINDOWS}",),
}


def virtual_packages(target: Target, overrides: Iterable[str] = ()) -> tuple[Record, ...]:
    """What a target offers, sorted by name. An override (see `parse_virtual_package`) takes the place of its namesake.

    Raises ValueError for an override that is none.
    """
    texts = [*_BARE[target.facts.family]]
    for name, version in (("__glibc", target.glibc), ("__osx", target.macos), ("__cuda", target.cuda)):
        if version is not None:
            texts.append(f"{name}={version}")
    if target.archspec is not None:
        texts.append(f"__archspec=1={target.archspec}")
    named = {record.name: record for record in map(parse_virtual_package, (*texts, *overrides))}
    return tuple(named[name] for name in sorted(named))


def parse_virtual_package(text: str) -> Record:
    """Read ``__name``, ``__name=version`` or ``__name=version=build``. Raises ValueError."""
    name, _, rest = text.strip().partition("=")
    version, _, build = rest.partition("=")
    if not name.startswith("__") or len(name) < 3 or not name.replace("_", "").isalnum():
        raise ValueError(f"{text[:80]!r} is not a virtual package: its name starts with two underscores")
    try:
        parse_version(version or "0")
    except InvalidVersion as error:
        raise ValueError(f"{text[:80]!r} is not a virtual package: {error}") from None
    return Record(name=name.lower(), version=version or "0", build=build or "0")
