"""Core metadata (PEP 566, 643, 639) as solver and lock need it, read tolerantly from the files that exist."""

from __future__ import annotations

import re
from pathlib import Path

from envc.fetch.zipped import name_and_version, read_metadata_file, same_version
from envc_solvers.errors import MetadataUnusable
from envc_solvers.pypi.requirement import Metadata, Requirement, canonicalize_name, parse, specifiers

_LICENCE_LENGTH = 100  # characters; a longer License field is the text of a licence, not its name
_HEADER = re.compile(r"([A-Za-z][A-Za-z0-9-]*):[ \t]*(.*)")
_CLASSIFIER = "License :: "

# Requirements of files that were uploaded before anything checked them, and what they mean. uv repairs the same.
_REPAIRS = (
    (re.compile(r"((?:[<>=~!]=|[<>])\s*\d[\d.*]*)\s*(?=[<>=~!])"), r"\1,"),  # ">=7.2.0<8.0.0", ">=1.0 <2"
    (re.compile(r"(>=|<=|>|<)\s*(\d+(?:\.\d+)*)\.\*"), r"\1\2"),  # ">=3.6.*"
    (re.compile(r"(==|!=)\s*(\d+(?:\.\d+)*)\*"), r"\1\2.*"),  # "!=3.0*"
    (re.compile(r"~=\s*(\d+)(?=\s*(?:[,)]|$))"), r"~=\1.0"),  # "~=3"
    (re.compile(r"""([<>=~!]=|[<>])\s*["']([\w.*]+)["']"""), r"\1\2"),  # ">='1.0'"
    (re.compile(r",\s*(?=[,)]|$)"), ""),  # trailing and doubled commas
)


def parse_metadata(file: str, data: bytes) -> Metadata:
    """Read the METADATA of a wheel (or the PKG-INFO of an sdist) of that file name.

    Raises MetadataUnusable when a required field is missing, when name or version contradict a wheel's file name, or
    when a requirement means nothing even after the usual repairs.
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
    requires = tuple(_requirement(file, text) for text in fields.get("requires-dist", ()))
    return Metadata(
        name=canonicalize_name(name),
        version=version,
        requires=requires,
        requires_python=_requires_python(fields.get("requires-python", [""])[0].strip()),
        extras=tuple(sorted({canonicalize_name(extra) for extra in fields.get("provides-extra", ()) if extra})),
        license=_licence(fields),
    )


def wheel_metadata(path: Path) -> Metadata:
    """The metadata of a wheel on disk; its bytes have been verified. Raises MetadataUnusable and OSError."""
    try:
        data = read_metadata_file(path)
    except ValueError as error:
        raise MetadataUnusable(path.name, str(error)) from None
    return parse_metadata(path.name, data)


def _fields(text: str) -> dict[str, list[str]]:
    """The header fields, by lower-case name, in order; the description after the first empty line is left out.

    A field goes on in lines that begin with white space (RFC 822 as the core metadata specification uses it).
    """
    fields: dict[str, list[str]] = {}
    values: list[str] | None = None
    for line in text.removeprefix("\ufeff").split("\n"):
        line = line.rstrip("\r")
        if not line:
            break
        if line[0] in " \t":
            if values is not None:
                values[-1] += "\n" + line
            continue
        match = _HEADER.fullmatch(line)
        if match is None:
            break  # as email parsers do: what is no header begins the body
        values = fields.setdefault(match[1].lower(), [])
        values.append(match[2].rstrip())
    return fields


def _single(file: str, fields: dict[str, list[str]], name: str) -> str:
    values = fields.get(name, [])
    if len(values) != 1 or not values[0].strip():
        raise MetadataUnusable(file, f"it states {len(values) or 'no'} values of {name.title()}")
    return values[0].strip()


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


def _parsed(text: str) -> Requirement | None:
    from packaging.requirements import InvalidRequirement

    try:
        return parse(text)
    except (InvalidRequirement, RecursionError):
        return None


def _requires_python(text: str) -> str:
    """As stated; repaired like a requirement where it would mean nothing, and then perhaps still meaningless."""
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
    named = fields.get("license", [""])[0].strip()
    if named and named != "UNKNOWN" and "\n" not in named and len(named) <= _LICENCE_LENGTH:
        return named
    classifiers = [
        text.rpartition("::")[2].strip() for text in fields.get("classifier", ()) if text.startswith(_CLASSIFIER)
    ]
    return ", ".join(name for name in dict.fromkeys(classifiers) if name != "OSI Approved")
