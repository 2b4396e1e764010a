"""PEP 508 markers: the environment of a target and a Python, and the results of markers in it.

The result of a marker in one environment depends only on the requested extras, so it is computed once and can be
stored. A warm solve reads stored results and never imports packaging's marker parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, MutableMapping

import msgspec

from envc_solvers.malformed import FOREIGN, malformed
from envc_solvers.pypi.language.requirement import PARSER_LOCK, canonicalize_name
from envc_solvers.target import Python, Target

# sys.implementation.version of PyPy. Almost no marker compares it.
_PYPY_VERSION = "7.3.0"
_EXTRA_SEPARATORS = re.compile(r"[\s,|]+")
_LITERAL = re.compile(r"""'([^']*)'|"([^"]*)\"""")


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Whether a marker holds in one environment, for every choice of extras."""

    default: bool  # the result without extras
    exceptions: tuple[str, ...] = ()  # extras with the opposite result, normalised, sorted


def marker_environment(target: Target, python: Python) -> dict[str, str]:
    """The eleven marker variables of PEP 508, without ``extra``.

    ``platform_release`` and ``platform_version`` are empty, as in uv for a foreign platform: a target covers every
    machine above its floors, whatever its kernel.
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
    """A short name for the marker environment. Equal keys imply equal environments, so answers are stored under it.

    >>> from envc_solvers.target import default_target
    >>> environment_key(default_target("win-64"), Python(minor=(3, 12)))
    'cpython3.12.0-win-64'
    """
    return f"{python.implementation}{python.full_version}-{target.platform}"


class Markers:
    """The results of markers in one environment."""

    __slots__ = ("answers", "environment")

    def __init__(self, environment: dict[str, str], answers: MutableMapping[str, Answer]) -> None:
        self.environment = environment
        self.answers = answers  # by marker text; new ones are added; may be stored under `environment_key`

    def answer(self, marker: str) -> Answer:
        """The result of a marker. The empty marker always holds.

        A marker that cannot be parsed or evaluated never holds. In pip it is an error, and in uv it holds. But a
        requirement that may have been meant for an extra or another platform must not apply everywhere.
        """
        known = self.answers.get(marker)
        if known is None:
            known = self.answers[marker] = _evaluate(marker, self.environment)
        return known

    def holds(self, marker: str, extras: Iterable[str] = ()) -> bool:
        """Whether a marker holds without extras or with one of the given extras (normalised)."""
        if not marker:
            return True
        answer = self.answer(marker)
        if answer.default:
            return True
        return any(extra in answer.exceptions for extra in extras)


def _evaluate(text: str, environment: dict[str, str]) -> Answer:
    from packaging.markers import Marker

    if not text:
        return Answer(True)
    try:
        with PARSER_LOCK:
            marker = Marker(text)
        default = marker.evaluate({**environment, "extra": ""})
        exceptions = [
            extra
            for extra in sorted(_mentioned_extras(text))
            if marker.evaluate({**environment, "extra": extra}) != default
        ]
    except malformed(*FOREIGN):
        return Answer(False)
    return Answer(default, tuple(exceptions))


def _mentioned_extras(marker: str) -> set[str]:
    """All names that a marker may compare with ``extra``, and perhaps others; normalised (PEP 685)."""
    if "extra" not in marker:
        return set()
    found: set[str] = set()
    for single, double in _LITERAL.findall(marker):
        # In `extra in "a b"` the string lists several names.
        found.update(canonicalize_name(name) for name in _EXTRA_SEPARATORS.split(single or double) if name)
    return found
