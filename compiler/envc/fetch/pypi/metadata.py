"""Core metadata (PEP 566, 639, 643) as the solver and the lock need it, read tolerantly."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from envc.fetch.pypi.wheel_metadata import name_and_version, read_metadata_file, same_version
from envc.model.limits import REQUIREMENTS_BYTES, REQUIRES_PYTHON_BYTES
from envc_solvers.errors import MetadataUnusable
from envc_solvers.malformed import malformed, reason_of
from envc_solvers.pypi.language.requirement import Metadata, Requirement, canonicalize_name, parse, specifiers

_LICENCE_LENGTH = 100  # characters; a longer License field is the text of a licence rather than its name
_HEADER = re.compile(r"([A-Za-z][A-Za-z0-9-]*):[ \t]*(.*)")
_CLASSIFIER = "License :: "
_OF_EXTRA = re.compile(r"""\bextra\s*==\s*["']([^"']+)["']""")
_STATIC_SINCE = (2, 2)  # Metadata-Version
_DECISIVE = frozenset({"version", "requires-dist", "requires-python", "provides-extra"})  # for a solver
_DYNAMIC_KEYS = frozenset({"version", "dependencies", "optional-dependencies", "requires-python"})  # the same, PEP 621

# Repairs of malformed requirements, as in files uploaded before indexes checked them. uv makes the same repairs.
_REPAIRS = (
    (re.compile(r"((?:[<>=~!]=|[<>])\s*\d[\d.*]*)\s*(?=[<>=~!])"), r"\1,"),  # ">=7.2.0<8.0.0", ">=1.0 <2"
    (re.compile(r"(>=|<=|>|<)\s*(\d+(?:\.\d+)*)\.\*"), r"\1\2"),  # ">=3.6.*"
    (re.compile(r"(==|!=)\s*(\d+(?:\.\d+)*)\*"), r"\1\2.*"),  # "!=3.0*"
    (re.compile(r"~=\s*(\d+)(?=\s*(?:[,)]|$))"), r"~=\1.0"),  # "~=3"
    (re.compile(r"""([<>=~!]=|[<>])\s*["']([\w.*]+)["']"""), r"\1\2"),  # ">='1.0'"
    (re.compile(r"!=\s*~\s*(\d+(?:\.\d+)*)"), r"!=\1.*"),  # "!=~5.0"
    (re.compile(r">\s*dev\b"), ">0.0.0dev"),  # ">dev"
    (re.compile(r"(\d(?:a|b|rc|\.?post|\.?dev)\d+)(?:\.0)+(?![\w.])"), r"\1"),  # ">=9.0.0a1.0"
    (re.compile(r",\s*(?=[,)]|$)"), ""),  # trailing and doubled commas
)


class _ProjectTable(msgspec.Struct, rename="kebab"):
    """The keys of ``[project]`` that the solver needs."""

    name: str
    version: str = ""
    dependencies: list[str] = []
    optional_dependencies: dict[str, list[str]] = {}
    requires_python: str = ""
    dynamic: list[str] = []


def parse_metadata(file: str, data: bytes) -> Metadata:
    """Read the METADATA of a wheel, or the PKG-INFO of an sdist, of that file name.

    A requirement of an extra that is malformed even after the usual repairs is left out, together with the extra.

    Raises MetadataUnusable if a required field is missing, if name or version contradict a wheel's file name, or if
    another requirement is malformed.
    """
    fields = _fields(data.decode("utf-8", errors="replace"))
    name, version = _single(file, fields, "name"), _single(file, fields, "version")
    if file.endswith(".whl"):
        try:
            expected = name_and_version(file)
        except ValueError as error:
            raise MetadataUnusable(file, str(error)) from None
        if canonicalize_name(name) != expected[0] or not same_version(version, expected[1]):
            raise MetadataUnusable(file, f"it calls itself {name[:100]} {version[:100]}")
    requires: list[Requirement] = []
    unusable: set[str] = set()  # extras
    for text in _bounded(file, fields.get("requires-dist", [])):
        try:
            requires.append(_requirement(file, text))
        except MetadataUnusable:
            extra = _extra_of(text)
            if extra is None:
                raise
            unusable.add(extra)
    extras = {canonicalize_name(extra) for extra in fields.get("provides-extra", ()) if extra}
    return Metadata(
        name=canonicalize_name(name),
        version=version,
        requires=tuple(requires),
        requires_python=_requires_python(file, fields.get("requires-python", [""])[0].strip()),
        extras=tuple(sorted(extras - unusable)),
        license=_licence(fields),
    )


def static_metadata(file: str, pkg_info: bytes) -> Metadata | None:
    """The metadata in an sdist's PKG-INFO if every wheel built from it must have the same; otherwise None.

    Since Metadata-Version 2.2, a field that is not listed as Dynamic is final (PEP 643). Raises MetadataUnusable.
    """
    fields = _fields(pkg_info.decode("utf-8", errors="replace"))
    try:
        version = tuple(int(part) for part in fields.get("metadata-version", ["0"])[0].split("."))
    except ValueError:
        return None
    if version < _STATIC_SINCE or _DECISIVE & {name.strip().lower() for name in fields.get("dynamic", ())}:
        return None
    return parse_metadata(file, pkg_info)


def project_metadata(file: str, pyproject: bytes) -> Metadata | None:
    """The metadata in the ``[project]`` table of a pyproject.toml (PEP 621); None if any of it is dynamic.

    Raises MetadataUnusable for an invalid table.
    """
    import tomli

    try:
        project = tomli.loads(pyproject.decode("utf-8")).get("project")
    except malformed() as error:
        raise MetadataUnusable(file, f"its pyproject.toml cannot be read ({reason_of(error)})") from None
    if not isinstance(project, dict):
        return None
    try:
        table = msgspec.convert(project, _ProjectTable)
    except msgspec.ValidationError as error:
        raise MetadataUnusable(file, f"its [project] table is invalid: {error}") from None
    if not table.version or _DYNAMIC_KEYS & set(table.dynamic):
        return None
    _bounded(file, [*table.dependencies, *(text for texts in table.optional_dependencies.values() for text in texts)])
    requires = [_requirement(file, text) for text in table.dependencies]
    extras: set[str] = set()
    for extra, texts in table.optional_dependencies.items():
        try:
            requires += [_for_extra(_requirement(file, text), canonicalize_name(extra)) for text in texts]
        except MetadataUnusable:
            continue  # left out with its requirements, as by `parse_metadata`
        extras.add(canonicalize_name(extra))
    return Metadata(
        name=canonicalize_name(table.name),
        version=table.version,
        requires=tuple(requires),
        requires_python=_requires_python(file, table.requires_python),
        extras=tuple(sorted(extras)),
    )


def _for_extra(requirement: Requirement, extra: str) -> Requirement:
    prefix = f"({requirement.marker}) and " if " or " in requirement.marker else f"{requirement.marker} and "
    marker = f'{prefix if requirement.marker else ""}extra == "{extra}"'
    return msgspec.structs.replace(requirement, marker=marker)


def wheel_metadata(path: Path) -> Metadata:
    """The metadata of a verified wheel on disk. Raises MetadataUnusable and OSError."""
    try:
        data = read_metadata_file(path)
    except malformed() as error:
        raise MetadataUnusable(path.name, reason_of(error)) from None
    return parse_metadata(path.name, data)


def _fields(text: str) -> dict[str, list[str]]:
    """The header fields by lower-case name, in order, without the description after the first empty line.

    A line that begins with white space continues a field (RFC 822, as used by the core metadata specification).
    """
    fields: dict[str, list[str]] = {}
    values: list[str] | None = None
    folded: list[str] = []  # lines of the last value; they are joined once, since a value may have a million of them
    for line in text.removeprefix("\ufeff").split("\n"):
        line = line.rstrip("\r")
        if not line:
            break
        if line[0] in " \t":
            folded.append(line)
            continue
        _unfold(values, folded)
        match = _HEADER.fullmatch(line)
        if match is None:
            break  # as in email parsers, the first line that is not a header begins the body
        values = fields.setdefault(match[1].lower(), [])
        values.append(match[2].rstrip())
    _unfold(values, folded)
    return fields


def _unfold(values: list[str] | None, folded: list[str]) -> None:
    """Append continuation lines to the last value, if there is one."""
    if folded and values is not None:
        values[-1] = "\n".join([values[-1], *folded])
    folded.clear()


def _single(file: str, fields: dict[str, list[str]], name: str) -> str:
    values = fields.get(name, [])
    if len(values) != 1 or not values[0].strip():
        raise MetadataUnusable(file, f"it states {len(values) or 'no'} values of {name.title()}")
    return values[0].strip()


def _bounded(file: str, texts: list[str]) -> list[str]:
    """The requirements, unless parsing them would take long. Raises MetadataUnusable."""
    if sum(map(len, texts)) + 16 * len(texts) > REQUIREMENTS_BYTES:
        raise MetadataUnusable(file, f"its requirements have more than {REQUIREMENTS_BYTES >> 20} MiB")
    return texts


def _requirement(file: str, text: str) -> Requirement:
    text = " ".join(text.split())
    requirement = _parsed(text)
    specifier, semicolon, marker = text.partition(";")
    for pattern, replacement in _REPAIRS:
        if requirement is not None:
            return requirement
        specifier = pattern.sub(replacement, specifier)
        requirement = _parsed(specifier.strip() + semicolon + marker)
    if requirement is None:
        raise MetadataUnusable(file, f"its requirement {text[:200]!r} is malformed")
    return requirement


def _extra_of(text: str) -> str | None:
    """The extra without which a requirement, which cannot be parsed, has no effect. None if there may be no such."""
    marker = text.partition(";")[2]
    extras = {canonicalize_name(extra) for extra in _OF_EXTRA.findall(marker)}
    return extras.pop() if len(extras) == 1 and not re.search(r"\bor\b", marker) else None


def _parsed(text: str) -> Requirement | None:
    from packaging.requirements import InvalidRequirement

    try:
        return parse(text)
    except InvalidRequirement:
        return None


def _requires_python(file: str, text: str) -> str:
    """The specifier as stated, or repaired like a requirement if it is invalid. The result may still be invalid.

    Raises MetadataUnusable if parsing it would take long.
    """
    if len(text) > REQUIRES_PYTHON_BYTES:
        raise MetadataUnusable(file, f"its Requires-Python has more than {REQUIRES_PYTHON_BYTES} characters")
    from packaging.specifiers import InvalidSpecifier

    for pattern, replacement in _REPAIRS:
        try:
            specifiers(text)
        except InvalidSpecifier:
            text = pattern.sub(replacement, text).strip()
        else:
            break
    return text


def _licence(fields: dict[str, list[str]]) -> str:
    expression = fields.get("license-expression", [""])[0].strip()
    if expression:
        return expression[:_LICENCE_LENGTH]
    name = fields.get("license", [""])[0].strip()
    if name and name != "UNKNOWN" and "\n" not in name and len(name) <= _LICENCE_LENGTH:
        return name
    classifiers = [
        text.rpartition("::")[2].strip() for text in fields.get("classifier", ()) if text.startswith(_CLASSIFIER)
    ]
    return ", ".join(name for name in dict.fromkeys(classifiers) if name != "OSI Approved")
