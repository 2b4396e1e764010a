"""PEP 508 markers: the environment of a target and a Python, and answers that are kept.

A marker's truth for one environment depends on nothing but the extras asked for, so it is worked out once and can be
stored; a warm solve reads answers and never loads packaging's marker parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, MutableMapping

import msgspec

from envc_solvers.pypi.language.requirement import ONE_READER, canonicalize_name
from envc_solvers.target import Python, Target

# sys.implementation.version of the PyPy line that implements a Python; markers that ask for it are all but unknown.
_PYPY_VERSION = "7.3.0"
_EXTRA_SEPARATORS = re.compile(r"[\s,|]+")
_LITERAL = re.compile(r"""'([^']*)'|"([^"]*)\"""")


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Whether a marker holds in one environment, for every choice of extras."""

    default: bool  # the truth when no extra is asked for
    exceptions: tuple[str, ...] = ()  # extras for which the truth differs, normalised, sorted


def marker_environment(target: Target, python: Python) -> dict[str, str]:
    """The eleven marker variables of PEP 508, without ``extra``.

    ``platform_release`` and ``platform_version`` are empty, as uv has them for a foreign platform: a target is every
    machine above its floors, not one kernel.
    """
    facts = target.facts
    pypy = python.implementation == "pypy"
    return {
        "implementation_name": "pypy" if pypy else "cpython",
        "implementation_version": _PYPY_VERSION if pypy else python.full_version,
        "os_name": facts.os_name,
        "platform_machine": facts.machine,
        "platform_python_implementation": "PyPy" if pypy else "CPython",
        "platform_release": "",
        "platform_system": facts.platform_system,
        "platform_version": "",
        "python_full_version": python.full_version,
        "python_version": f"{python.minor[0]}.{python.minor[1]}",
        "sys_platform": facts.sys_platform,
    }


def environment_key(target: Target, python: Python) -> str:
    """A short name for the marker environment: equal keys have equal environments. Answers are stored by it.

    >>> from envc_solvers.target import default_target
    >>> environment_key(default_target("win-64"), Python(minor=(3, 12)))
    'cpython3.12.0-win-64'
    """
    return f"{python.implementation}{python.full_version}-{target.platform}"


class Markers:
    """Answers questions about markers for one environment."""

    __slots__ = ("answers", "environment")

    def __init__(self, environment: dict[str, str], answers: MutableMapping[str, Answer]) -> None:
        self.environment = environment
        self.answers = answers  # by marker text; grows, and may be stored under `environment_key`

    def answer(self, marker: str) -> Answer:
        """What is known of a marker; the empty one always holds.

        A marker that cannot be parsed or evaluated never holds. pip stops there with an error, uv lets it hold; but a
        requirement that only an extra or another platform may have meant must not reach everybody.
        """
        known = self.answers.get(marker)
        if known is None:
            known = self.answers[marker] = _evaluate(marker, self.environment)
        return known

    def holds(self, marker: str, extras: Iterable[str] = ()) -> bool:
        """Whether a marker holds with no extra, or with one of the given ones (normalised)."""
        if not marker:
            return True
        answer = self.answer(marker)
        if answer.default:
            return True
        return any(extra in answer.exceptions for extra in extras)


def _evaluate(text: str, environment: dict[str, str]) -> Answer:
    from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
    from packaging.version import InvalidVersion

    if not text:
        return Answer(True)
    try:
        with ONE_READER:
            marker = Marker(text)
        default = marker.evaluate({**environment, "extra": ""})
        exceptions = [
            extra
            for extra in sorted(_mentioned_extras(text))
            if marker.evaluate({**environment, "extra": extra}) != default
        ]
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName, InvalidVersion):
        return Answer(False)
    return Answer(default, tuple(exceptions))


def _mentioned_extras(marker: str) -> set[str]:
    """Every name that a marker could compare with ``extra``, normalised (PEP 685). It may hold more."""
    if "extra" not in marker:
        return set()
    found: set[str] = set()
    for single, double in _LITERAL.findall(marker):
        # `extra in "a b"` is a containment test in a string that lists names.
        found.update(canonicalize_name(name) for name in _EXTRA_SEPARATORS.split(single or double) if name)
    return found
