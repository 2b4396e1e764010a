"""Requests for a Python: "3.12", "3.12.7", "3.13t", "pypy3.10", ">=3.11,<3.13"."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from envc.model.manifest import PythonRequest
from envc_solvers.pypi.language import requirement as requirements
from envc_solvers.target import Implementation, Python

# The minors that have been released, oldest first. A range picks the newest one that it allows.
MINORS: dict[Implementation, tuple[tuple[int, int], ...]] = {
    "cpython": tuple((3, minor) for minor in range(8, 16)),
    "pypy": tuple((3, minor) for minor in range(8, 13)),
}

_VERSION = re.compile(
    r"(?P<pypy>pypy)?(?P<minor>3\.(?:0|[1-9][0-9]?))(?P<patch>\.(?:0|[1-9][0-9]{0,3}))?(?P<threads>t)?"
)
_EXACT = re.compile(
    r"==(?P<major>[0-9]{1,9})\.(?P<minor>[0-9]{1,9})\.(?P<patch>[0-9]{1,9}|\*)"
)  # as `parse_python` writes versions
_PATCH = re.compile(r"[0-9]\.[0-9]+\.[0-9]")  # a version with a patch release
_MOST_PATCHES = 100  # of one minor; no Python has had more than about 20
_FORMS = 'write "3.12", "3.12.7", "3.13t", "pypy3.10" or a range such as ">=3.11,<3.13"'


class BadPython(ValueError):
    """A request that cannot be parsed. `suggestion` says what to write."""

    def __init__(self, reason: str, suggestion: str = _FORMS) -> None:
        super().__init__(reason)
        self.suggestion = suggestion


def parse_python(text: str) -> PythonRequest:
    """Parse a request. Whether such a Python exists is not checked here. Raises BadPython."""
    match = _VERSION.fullmatch(text.strip())
    if match is not None:
        free_threaded = match["threads"] is not None
        if free_threaded and (match["pypy"] or int(match["minor"][2:]) < 13):
            raise BadPython(f"there is no free-threaded {text.strip()[:-1]}", 'free threading begins with "3.13t"')
        return PythonRequest(
            text=text,
            implementation="pypy" if match["pypy"] else "cpython",
            free_threaded=free_threaded,
            specifier=f"=={match['minor']}{match['patch'] or '.*'}",
        )
    if not re.match(r"\s*[<>=!~]", text):
        raise BadPython(f"{text!r} is not a Python version")
    try:
        specifier = requirements.canonical_specifier(text)
    except requirements.InvalidSpecifier as error:
        raise BadPython(str(error)) from None
    return PythonRequest(text=text, specifier=specifier)


@lru_cache(maxsize=1024)
def choose_python(request: PythonRequest) -> Python:
    """The newest minor that the request allows. If it states a floor in this minor, `release` is that floor.

    Raises BadPython if it allows no released minor.
    """
    minors = MINORS[request.implementation]
    exact = _EXACT.fullmatch(request.specifier)
    if exact is not None:
        minor = (int(exact["major"]), int(exact["minor"]))
        patch = None if exact["patch"] == "*" else int(exact["patch"])
        if minor in minors:
            return _python(request, minor, patch)
    else:
        for minor in reversed(minors):
            python = python_of_minor(request, minor)
            if python is not None:
                return python
    known = ", ".join(f"{major}.{minor}" for major, minor in minors)
    raise BadPython(f"no Python that envc knows satisfies {request.text!r}", f"it knows {known}")


def is_range(request: PythonRequest) -> bool:
    """Whether a request leaves open which minor version is meant."""
    return _EXACT.fullmatch(request.specifier) is None


@lru_cache(maxsize=1024)
def python_of_minor(request: PythonRequest, minor: tuple[int, int]) -> Python | None:
    """The Python of a minor version that a range allows; None if it allows none, or is no range."""
    from envc_solvers.pypi.language.specifier import allows

    if not is_range(request) or minor not in MINORS[request.implementation]:
        return None
    for patch in range(_MOST_PATCHES):
        if allows(request.specifier, f"{minor[0]}.{minor[1]}.{patch}"):
            limits = _limits(request.specifier, minor)
            chosen = _python(request, minor, None)
            return msgspec.structs.replace(chosen, release=patch, limits=limits) if limits else chosen
    return None


def _limits(specifier: str, minor: tuple[int, int]) -> str:
    """The clauses of a range that exclude patch releases of a minor, by naming one.

    ``<=3.12`` is meant for the minor, although it excludes 3.12.1 (PEP 440).
    """
    from envc_solvers.pypi.language.specifier import allows

    named = [clause for clause in specifier.split(",") if _PATCH.search(clause)]
    versions = [f"{minor[0]}.{minor[1]}.{patch}" for patch in range(_MOST_PATCHES)]
    return ",".join(clause for clause in named if not all(allows(clause, version) for version in versions))


def _python(request: PythonRequest, minor: tuple[int, int], patch: int | None) -> Python:
    return Python(implementation=request.implementation, minor=minor, patch=patch, free_threaded=request.free_threaded)
