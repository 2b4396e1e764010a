"""Virtual packages: properties of a machine that packages depend on as if they were packages (conda docs, CEP-30)."""

from __future__ import annotations

from collections.abc import Iterable

from envc_solvers.conda.language.record import Record
from envc_solvers.conda.language.version import InvalidVersion, parse_version
from envc_solvers.target import Family, Target

_LINUX = "5.10"  # kernel; in practice every distribution with glibc 2.28 or newer has a newer one
_WINDOWS = "10"
_BARE: dict[Family, tuple[str, ...]] = {
    "linux": ("__unix", f"__linux={_LINUX}"),
    "macos": ("__unix",),
    "windows": (f"__win={_WINDOWS}",),
}


def virtual_packages(target: Target, overrides: Iterable[str] = ()) -> tuple[Record, ...]:
    """The virtual packages of a target, sorted by name. An override replaces the package of the same name.

    Overrides are texts for `parse_virtual_package`. Raises ValueError for an invalid one.
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
    """Parse ``__name``, ``__name=version`` or ``__name=version=build``. Raises ValueError."""
    name, _, rest = text.strip().partition("=")
    version, _, build = rest.partition("=")
    if not name.startswith("__") or len(name) < 3 or not name.replace("_", "").isalnum():
        raise ValueError(f"{text[:80]!r} is not a virtual package: its name starts with two underscores")
    try:
        parse_version(version or "0")
    except InvalidVersion as error:
        raise ValueError(f"{text[:80]!r} is not a virtual package: {error}") from None
    return Record(name=name.lower(), version=version or "0", build=build or "0")
