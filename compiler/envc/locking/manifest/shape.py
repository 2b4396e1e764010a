"""shape: compares a document with the types of `document`. It finds every mistake; msgspec stops at the first.

Runs only if msgspec has rejected a document. It returns the well-formed part, so that its meaning can be
checked in the same report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Any

import msgspec.inspect as types

from envc.locking.manifest.report import Report, suggest_name
from envc.model.manifest import KeyPath

_ABSENT: Any = object()  # marks a value that is left out
_STAND_INS: Mapping[str, Mapping[str, object]] = {
    # Used in place of missing required keys, which are already reported.
    "ManifestDocument": {"project": {"name": "project", "targets": ["linux-64"], "python": "3.12"}},
    "ProjectTable": {"name": "project", "python": "3.12"},
}


class Shaper:
    """One comparison of a document with its type."""

    def __init__(self, report: Report, source_text: Callable[[KeyPath], str | None]) -> None:
        self._report = report
        self._source_text = source_text
        self._kept: dict[KeyPath, list[int]] = {}  # by array that lost items: the indexes of those that remain

    def shape(self, value: object, expected: type) -> dict[str, Any]:
        """The well-formed part of a table."""
        part: dict[str, Any] = self._check(value, types.type_info(expected), ())
        return part

    def original(self, key_path: KeyPath) -> KeyPath:
        """A key path of the well-formed part, as a key path of the document."""
        path: KeyPath = ()
        for part in key_path:
            kept = self._kept.get(path)
            path = (*path, kept[part] if kept is not None and isinstance(part, int) else part)
        return path

    def _check(self, value: object, expected: types.Type, at: KeyPath) -> Any:
        match expected:
            case types.Metadata(type=inner):
                return self._check(value, inner, at)
            case types.UnionType(types=options):
                return self._check_union(value, options, at)
            case types.StructType() if isinstance(value, dict):
                return self._check_struct(value, expected, at)
            case types.DictType(value_type=inner) if isinstance(value, dict):
                items = {key: self._check(item, inner, (*at, key)) for key, item in value.items()}
                return {key: item for key, item in items.items() if item is not _ABSENT}
            case types.VarTupleType(item_type=inner) if isinstance(value, list):
                return self._check_array(value, inner, at)
            case types.LiteralType(values=values) if isinstance(value, str):
                if value in values:
                    return value
                allowed = ", ".join(f'"{choice}"' for choice in values)
                suggestion = suggest_name(value, map(str, values))
                hint = suggestion if suggestion and suggestion.startswith("did") else None
                self._report.add(at, f'expected one of {allowed}, found "{value[:80]}"', hint)
                return _ABSENT
            case _ if _fits(value, expected):
                return value
            case _:
                return self._wrong(value, (expected,), at)

    def _check_union(self, value: object, options: tuple[types.Type, ...], at: KeyPath) -> Any:
        fitting = [option for option in options if _fits(value, option)]
        return self._check(value, fitting[0], at) if fitting else self._wrong(value, options, at)

    def _check_struct(self, value: dict[str, object], expected: types.StructType, at: KeyPath) -> Any:
        fields = {field.encode_name: field for field in expected.fields}
        table = {}
        for key, item in value.items():
            if key not in fields:
                self._report.add((*at, key), "unknown key", suggest_name(key, fields))
                continue
            checked = self._check(item, fields[key].type, (*at, key))
            if checked is not _ABSENT:
                table[key] = checked
        stand_ins = _STAND_INS.get(expected.cls.__name__, {})
        complete = True
        for key, field in fields.items():
            if not field.required or key in table:
                continue
            if key not in value:
                example = stand_ins.get(key)
                hint = f'for example, add {key} = "{example}"' if isinstance(example, str) else None
                self._report.add(at, f"lacks `{key}`", hint)
            if key in stand_ins:
                table[key] = stand_ins[key]
            else:
                complete = False
        return table if complete else _ABSENT

    def _check_array(self, value: list[object], item_type: types.Type, at: KeyPath) -> list[Any]:
        items = [self._check(item, item_type, (*at, index)) for index, item in enumerate(value)]
        kept = [index for index, item in enumerate(items) if item is not _ABSENT]
        if len(kept) < len(items):
            self._kept[at] = kept
        return [items[index] for index in kept]

    def _wrong(self, value: object, expected: tuple[types.Type, ...], at: KeyPath) -> Any:
        names = [name for name in (_describe(option) for option in expected) if name]
        suggestion = None
        bare = [option.type if isinstance(option, types.Metadata) else option for option in expected]
        if any(isinstance(option, types.StrType) for option in bare) and isinstance(value, int | float | date | time):
            suggestion = f'put it in quotes: "{self._source_text(at) or value}"'
        elif isinstance(value, str) and any(isinstance(option, types.VarTupleType) for option in bare):
            suggestion = f'put it in brackets: ["{value[:80]}"]'
        self._report.add(at, f"expected {' or '.join(names)}, found {_describe_value(value)}", suggestion)
        return _ABSENT


def _fits(value: object, expected: types.Type) -> bool:
    """Whether the outermost type matches."""
    match expected:
        case types.Metadata(type=inner):
            return _fits(value, inner)
        case types.AnyType():
            return True
        case types.StrType() | types.LiteralType():
            return isinstance(value, str)
        case types.BoolType():
            return isinstance(value, bool)
        case types.IntType():
            return isinstance(value, int) and not isinstance(value, bool)
        case types.StructType() | types.DictType():
            return isinstance(value, dict)
        case types.VarTupleType():
            return isinstance(value, list)
        case _:
            return False


def _describe(expected: types.Type) -> str:
    match expected:
        case types.Metadata(type=inner):
            return _describe(inner)
        case types.StrType():
            return "a string"
        case types.LiteralType(values=values):
            return "one of " + ", ".join(f'"{choice}"' for choice in values)
        case types.BoolType():
            return "true or false"
        case types.IntType():
            return "a whole number"
        case types.StructType() | types.DictType():
            return "a table"
        case types.VarTupleType():
            return "an array"
        case _:
            return ""


def _describe_value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case datetime():
            return "a date-time"
        case date():
            return "a date"
        case time():
            return "a time"
        case list():
            return "an array"
        case _:
            return "a table"
