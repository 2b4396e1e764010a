"""edit: changes to the text of a manifest that keep the author's layout. Text in, text out."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from envc.errors import UsageError
from envc.locking.manifest.direct import project_name_of
from envc.locking.manifest.requirement_lists import Entry
from envc.model.kinds import DependencyKind
from envc.model.manifest import KeyPath
from envc_solvers.pypi.language.requirement import InvalidRequirement, parse

if TYPE_CHECKING:
    from tomlkit import TOMLDocument
    from tomlkit.items import Array

_NEW = """\
[project]
name = "{name}"
targets = [{targets}]
python = "{python}"

[steps.main]
pypi = []
run = "python main.py"
"""


def new_manifest(name: str, targets: Iterable[str], python: str) -> str:
    """A first manifest: one step without packages."""
    quoted = ", ".join(f'"{target}"' for target in targets)
    return _NEW.format(name=name, targets=quoted, python=python)


def change_bytes(data: bytes, change: Callable[[str], str]) -> bytes:
    """The bytes of a manifest, in UTF-8, with its text changed. A byte order mark and Windows line endings are kept."""
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    text = data[len(mark) :].decode()
    if text.count("\r\n") < text.count("\n"):
        return mark + change(text).encode()
    # New lines get the same line ending as the others.
    return mark + change(text.replace("\r\n", "\n")).replace("\n", "\r\n").encode()


def add(text: str, table: KeyPath, kind: DependencyKind, entries: Iterable[Entry]) -> str:
    """The manifest with these requirements in ``table.kind``. Those on the same project with the same marker are
    replaced.

    `table` is the key path, from the root of the text, of a step, of a group, or of a step's additions for a target. It
    is created if it is missing. Raises UsageError for a requirement that cannot be parsed.
    """
    document = _parse(text)
    array = _array(document, table, kind)
    for entry in entries:
        said = entry if isinstance(entry, str) else "".join(entry.values())
        if any("\ud800" <= letter <= "\udfff" for letter in said):  # from an argument that is not UTF-8
            raise UsageError(f"{said!r} is not a requirement", "write it in UTF-8")
        identity = _identity(entry, kind) if isinstance(entry, str) else _identity_of(entry, kind)
        matches = [index for index, old in enumerate(array) if _identity_of(old, kind) == identity]
        if matches:
            array[matches[0]] = _item(entry)
            for index in reversed(matches[1:]):
                del array[index]
        else:
            _append(array, entry)
    return document.as_string()


def _item(entry: Entry) -> Any:
    """An entry as tomlkit writes it: a string, or an inline table."""
    if isinstance(entry, str):
        return entry
    import tomlkit

    table = tomlkit.inline_table()
    table.update(entry)
    return table


def with_lower_bound(entry: str, kind: DependencyKind, version: str) -> str:
    """A requirement that limits nothing, with a lower bound."""
    if kind == "conda":
        return f"{entry.strip()} >={version}"
    requirement, semicolon, marker = entry.partition(";")
    return f"{requirement.strip()}>={version}" + (f"; {marker.strip()}" if semicolon else "")


def unbounded_name(entry: Entry, kind: DependencyKind) -> str | None:
    """The normalised name in a requirement that limits nothing; None for every other entry."""
    if not isinstance(entry, str):
        return None
    if kind == "conda":
        words = entry.rpartition("::")[2].split()
        return words[0].lower() if len(words) == 1 and not set(words[0]) & set("=<>!~*[") else None
    requirement = parse(entry)
    return None if requirement.specifier or requirement.url else requirement.name


def remove(text: str, table: KeyPath, kind: DependencyKind, names: Iterable[str]) -> str:
    """The manifest without requirements on these projects in ``table.kind``. A name with a marker removes only those
    with the same marker. Raises UsageError if there is none.
    """
    document = _parse(text)
    array = _array(document, table, kind)
    for name in names:
        removed, marker = _identity(name, kind)
        found = [_identity_of(old, kind) for old in array]
        matches = [index for index, of in enumerate(found) if of[0] == removed and marker in ("", of[1])]
        if not matches:
            listed = ", ".join(f"{of[0]}; {of[1]}" if of[1] else of[0] for of in found)
            removed = f"{removed}; {marker}" if marker else removed
            where = ".".join(str(part) for part in (*table, kind))
            raise UsageError(f"{where} has no {removed}", f"it has {listed}" if listed else "it is empty")
        for index in reversed(matches):
            del array[index]
    return document.as_string()


def allow_builds(text: str, prefix: KeyPath, names: Iterable[str]) -> str:
    """The manifest with these projects in ``policy.build``. `prefix` is the key path of the manifest's own root.

    Raises UsageError for a name that is none.
    """
    document = _parse(text)
    array = _array(document, (*prefix, "policy"), "build")
    for name in names:
        project, _ = _identity(name, "pypi")
        if project not in [_identity_of(old, "pypi")[0] for old in array]:
            _append(array, project)
    return document.as_string()


def _parse(text: str) -> TOMLDocument:
    import tomlkit

    return tomlkit.parse(text)


def _array(document: TOMLDocument, table: KeyPath, key: str) -> Array:
    import tomlkit

    place: Any = document
    for part in table:
        if part not in place:
            place[part] = tomlkit.table(is_super_table=part in ("steps", "groups", "on"))
        place = place[part]
    if key not in place:
        place[key] = tomlkit.array()
    array: Array = place[key]
    return array


def _append(array: Array, entry: Entry) -> None:
    """Add an entry in the layout of the others: one on each line, or all on one line."""
    if "\n" in array.as_string():
        array.add_line(_item(entry), indent=_indent(array))
    else:
        array.append(_item(entry))


def _indent(array: Array) -> str:
    lines = [line for line in array.as_string().splitlines()[1:] if line.strip() not in ("", "]")]
    return lines[0][: len(lines[0]) - len(lines[0].lstrip())] if lines else "  "


def _identity_of(entry: object, kind: DependencyKind) -> tuple[str, str]:
    """As `_identity`, for an entry of the manifest, which is a string or a table. ("", "") for a mistake, which the
    parser of the manifest reports.
    """
    text = str(entry)
    if isinstance(entry, dict):
        text = str(entry.get("name", ""))
        if kind == "pypi" and not text:
            text = project_name_of(str(entry.get("url") or "").partition("#")[0] or str(entry.get("path") or ""))
        if kind == "pypi" and entry.get("marker"):
            text = f"{text}; {entry['marker']}"
    try:
        return _identity(text, kind)
    except UsageError:
        return "", ""


def _identity(text: str, kind: DependencyKind) -> tuple[str, str]:
    """The normalised name of the project or package of a requirement, and its canonical marker, "" without one.

    A project may be required several times with different markers, for different platforms.
    """
    if kind == "conda":
        words = text.rpartition("::")[2].replace("=", " ").replace("<", " ").replace(">", " ").split()
        if not words:
            raise UsageError(f"{text!r} names no package", "write name >=version")
        return words[0].lower(), ""
    try:
        requirement = parse(text)
    except InvalidRequirement:
        raise UsageError(f"{text!r} is not a requirement", "write name[extras]>=version") from None
    return requirement.name, requirement.marker
