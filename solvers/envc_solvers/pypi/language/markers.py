"""PEP 508 markers: the environment of a target and a Python, and the results of markers in it.

The result of a marker in one environment depends only on the requested extras, so it is computed once and can be
stored. packaging's marker parser is imported only for markers in an unusual form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, MutableMapping

import msgspec

from envc_solvers.malformed import FOREIGN, malformed
from envc_solvers.pypi.language.requirement import PARSER_LOCK, canonicalize_name
from envc_solvers.pypi.language.specifier import allows
from envc_solvers.target import Python, Target

# sys.implementation.version of PyPy. Almost no marker compares it.
_PYPY_VERSION = "7.3.0"
_EXTRA_SEPARATORS = r"[\s,|]+"
_LITERAL = r"""'([^']*)'|"([^"]*)\""""

_TEXTS = frozenset({"os_name", "platform_machine", "platform_system", "sys_platform", "implementation_name"})
_TEXTS |= {"platform_python_implementation"}
_VERSIONS = frozenset({"python_version", "python_full_version"})
_COMPARISONS = frozenset(("==", "!=", "<", "<=", ">", ">=", "~="))
_MOST_TOKENS = 100
_LONGEST_NUMBER = 40  # characters; int() raises for thousands of digits


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Whether a marker holds in one environment, for every choice of extras."""

    default: bool  # the result without extras
    exceptions: tuple[str, ...] = ()  # extras with the opposite result, normalised, sorted


def marker_environment(target: Target, python: Python) -> dict[str, str]:
    """The eleven marker variables of PEP 508, without ``extra``.

    ``platform_release`` follows from the floor of macOS (see `Target.release`). It is empty elsewhere, as is
    ``platform_version`` everywhere: a target covers every machine above its floors, whatever its kernel.
    """
    facts = target.facts
    pypy = python.implementation == "pypy"
    return {
        "implementation_name": "pypy" if pypy else "cpython",
        "implementation_version": _PYPY_VERSION if pypy else python.full_version,
        "os_name": facts.os_name,
        "platform_machine": facts.machine,
        "platform_python_implementation": "PyPy" if pypy else "CPython",
        "platform_release": target.release,
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
    >>> environment_key(default_target("osx-64"), Python(minor=(3, 12)))
    'cpython3.12.0-osx-64-22.0.0'
    """
    release = f"-{target.release}" if target.release else ""
    return f"{python.implementation}{python.full_version}-{target.platform}{release}"


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
    plain = evaluate_plain(text, environment)
    return plain if plain is not None else evaluate_any(text, environment)


def evaluate_plain(text: str, environment: dict[str, str]) -> Answer | None:
    """The result of a marker in the usual form, as `evaluate_any`; None for any other. Imports no parser.

    Nearly all markers compare a variable of text with a word, a version of Python with a number, or ``extra`` with a
    name.
    """
    tokens: list[tuple[str, ...]] = []
    pieces = text.split('"')  # every second one was in quotes
    if "'" in text or "\\" in text or len(pieces) > _MOST_TOKENS:
        return None
    for outside, value in zip(pieces[::2], [*pieces[1::2], None], strict=False):
        words = outside.replace("(", " ( ").replace(")", " ) ").split()
        tokens += [(word,) for word in (words if value is None else words[:-2])]
        if value is not None:
            tokens.append((*words[-2:], value))
    if len(tokens) > _MOST_TOKENS:
        return None  # perhaps nested too deeply
    extras = {canonicalize_name(token[2]) for token in tokens if len(token) == 3 and token[0] == "extra"}
    if "" in extras:
        return None
    results: dict[str, bool] = {}
    for extra in ("", *sorted(extras)):
        result = _Plain(tokens, environment, extra).result()
        if result is None:
            return None
        results[extra] = result
    default = results.pop("")
    return Answer(default, tuple([extra for extra, result in results.items() if result != default]))


class _Plain:
    """One evaluation of a plain marker: ``and`` binds more tightly than ``or`` (PEP 508)."""

    def __init__(self, tokens: list[tuple[str, ...]], environment: dict[str, str], extra: str) -> None:
        self._tokens = tokens
        self._environment = environment
        self._extra = extra
        self._at = 0

    def result(self) -> bool | None:
        """None if the tokens are no marker, or one of another form."""
        result = self._any()
        return result if self._at == len(self._tokens) else None

    def _next(self, word: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == (word,):
            self._at += 1
            return True
        return False

    def _any(self) -> bool | None:
        result = self._all()
        while result is not None and self._next("or"):
            other = self._all()
            result = None if other is None else result or other
        return result

    def _all(self) -> bool | None:
        result = self._one()
        while result is not None and self._next("and"):
            other = self._one()
            result = None if other is None else result and other
        return result

    def _one(self) -> bool | None:
        if self._next("("):
            result = self._any()
            return result if self._next(")") else None
        token = self._tokens[self._at] if self._at < len(self._tokens) else ()
        if len(token) != 3 or token[1] not in _COMPARISONS:
            return None
        self._at += 1
        variable, operator, value = token
        if variable in _VERSIONS:
            return self._compare_versions(variable, operator, value)
        if operator not in ("==", "!="):
            return None
        if variable == "extra":
            return (canonicalize_name(value) == self._extra) == (operator == "==")
        # packaging compares what may be a version as a version.
        if variable in _TEXTS and value[:1].isalpha() and value.isascii() and value[0] not in "vV":
            return (self._environment[variable] == value) == (operator == "==")
        return None

    def _compare_versions(self, variable: str, operator: str, value: str) -> bool | None:
        release = value.removesuffix(".*")
        numbers = release.split(".")
        if not release.isascii() or len(release) > _LONGEST_NUMBER or not all(map(str.isdecimal, numbers)):
            return None
        if (release != value and operator not in ("==", "!=")) or (operator == "~=" and len(numbers) == 1):
            return None
        return allows(operator + value, self._environment[variable])


def evaluate_any(text: str, environment: dict[str, str]) -> Answer:
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
    for single, double in re.findall(_LITERAL, marker):
        # In `extra in "a b"` the string lists several names.
        found.update(canonicalize_name(name) for name in re.split(_EXTRA_SEPARATORS, single or double) if name)
    return found
