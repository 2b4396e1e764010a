"""Writes a nested value as TOML in one of many styles, and records the position of each key and item."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from envc.model.manifest import KeyPath

_BARE = re.compile(r"[A-Za-z0-9_-]+")


class TomlText:
    """A TOML text under construction, with its positions. `choose(n)` picks one of n styles."""

    def __init__(self, choose: Callable[[int], int]) -> None:
        self._choose = choose
        self.text = ""
        self.places: dict[KeyPath, tuple[int, int]] = {}

    def table(self, value: dict[str, Any], path: KeyPath = ()) -> None:
        """Write the pairs of a table, then those subtables that have headers of their own."""
        below = []
        for key, item in value.items():
            if (isinstance(item, dict) and self._choose(2)) or (_is_array_of_tables(item) and self._choose(2)):
                below.append((key, item))
            else:
                self._filler()
                self._write(" " * self._choose(3))
                self._pair(key, item, path)
                self._write(self._pick("", "  ", ' # comment = ["x"]') + self._pick("\n", "\r\n"))
        for key, item in below:
            if isinstance(item, dict):
                self._header(item, (*path, key), "[", "]")
            else:
                for index, element in enumerate(item):
                    self._header(element, (*path, key, index), "[[", "]]")

    def _header(self, value: dict[str, Any], path: KeyPath, opening: str, closing: str) -> None:
        self._filler()
        self._write(opening + self._pick("", " "))
        at: KeyPath = ()
        place = (1, 1)
        for part in path:
            at = (*at, part)
            if isinstance(part, int):
                self.places.setdefault(at, place)
                continue
            self._write("." if len([p for p in at if isinstance(p, str)]) > 1 else "")
            place = self._here()
            self._note(at)
            self._key(part)
        self._write(closing + "\n")
        self.table(value, path)

    def _pair(self, key: str, value: Any, path: KeyPath) -> None:
        self._note((*path, key))
        self._key(key)
        if isinstance(value, dict) and len(value) == 1 and self._choose(2):
            self._write(self._pick(".", " . "))
            inner, item = next(iter(value.items()))
            self._pair(inner, item, (*path, key))
            return
        self._write(self._pick(" = ", "=", " =\t"))
        self._value(value, (*path, key))

    def _value(self, value: Any, path: KeyPath) -> None:
        if isinstance(value, dict):
            self._write("{")
            for index, (key, item) in enumerate(value.items()):
                self._write(", " if index else " ")
                self._pair(key, item, path)
            self._write(" }")
        elif isinstance(value, list):
            self._write("[")
            for index, item in enumerate(value):
                self._write(self._pick("", " ", "\n  ", " # ] comment\n\t"))
                self._note((*path, index))
                self._value(item, (*path, index))
                last = index == len(value) - 1
                self._write(self._pick("", ",", "\n,\n") if last else self._pick(",", " ,", ", # , \n"))
            self._write(self._pick("", "\n") + "]")
        elif isinstance(value, str):
            self._write(self._string(value))
        else:
            self._write(str(value).lower() if isinstance(value, bool) else str(value))

    def _string(self, value: str) -> str:
        forms = [_basic(value)]
        printable = not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", value)
        if printable and "'" not in value:
            forms.append(f"'''\n{value}'''")
            if "\n" not in value:
                forms.append(f"'{value}'")
        forms.append('"""' + self._pick("", "\n") + "\\\n" + _basic(value)[1:-1].replace("\\n", "\n") + '"""')
        return forms[self._choose(len(forms))] if not value[:1].isspace() else forms[0]

    def _key(self, key: str) -> None:
        plain = [key] if _BARE.fullmatch(key) else []
        literal = [f"'{key}'"] if "'" not in key and key.isprintable() else []
        self._write(self._pick(*plain, *literal, _basic(key)))

    def _filler(self) -> None:
        self._write(self._pick("", "\n", "# [not.a.table]\n", "  \t\n", "# key = 'value'\r\n"))

    def _pick(self, *ways: str) -> str:
        return ways[self._choose(len(ways))]

    def _note(self, path: KeyPath) -> None:
        self.places.setdefault(path, self._here())

    def _here(self) -> tuple[int, int]:
        return self.text.count("\n") + 1, len(self.text) - self.text.rfind("\n")

    def _write(self, text: str) -> None:
        self.text += text


def _is_array_of_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _basic(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\u{ord(match.group()):04x}", escaped) + '"'
