"""positions: the line and column of each key and value of a TOML text. Imported only if there is a mistake to show.

The scanner follows TOML 1.1 and relies on a TOML parser for checking the text. It stops at unexpected text; the
positions found so far are valid.
"""

from __future__ import annotations

import re
from bisect import bisect_left

import tomli

from envc.model.manifest import KeyPath
from envc_solvers.malformed import malformed

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")|' r"'''.*?'{3,5}(?!')|" r'"(?:\\.|[^"\\\n])*"|' r"'[^'\n]*'",
    re.DOTALL,
)
# A date and a time may be joined by one space, which no other scalar holds.
_SCALAR = re.compile(r"\d{4}-\d\d-\d\d \d\d:[^\s,\]}#]+|[^\s,\[\]{}#]+")


class _Lost(Exception):
    """The text is not the TOML that this scanner expects."""


class Positions:
    """The positions of one TOML text. The constructor scans the whole text, once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._places: dict[KeyPath, int] = {}  # of the key, or of the value for an item of an array
        self._values: dict[KeyPath, tuple[int, int]] = {}  # start and end of the value as written
        self._headers: set[KeyPath] = set()
        self._tables: dict[KeyPath, int] = {}  # arrays of tables and their length so far
        self._ends: list[int] = []  # of the lines before each line
        self.duplicate: tuple[KeyPath, tuple[int, int], tuple[int, int]] | None = None  # key, first place, second place
        try:
            self._document()
        except (_Lost, RecursionError):
            pass

    def of(self, key_path: KeyPath) -> tuple[int, int] | None:
        """Line and column, both from 1 and in characters, of a key, or of a value in an array."""
        place = self._places.get(key_path)
        return None if place is None else self._line_column(place)

    def nearest(self, key_path: KeyPath) -> tuple[int, int] | None:
        """The position of a key, or of the innermost enclosing table that is written."""
        while key_path:
            place = self.of(key_path)
            if place is not None:
                return place
            key_path = key_path[:-1]
        return None

    def source(self, key_path: KeyPath) -> str | None:
        """The value as written, such as ``3.10`` if quotes are missing."""
        span = self._values.get(key_path)
        return None if span is None else self._text[span[0] : span[1]]

    def _line_column(self, place: int) -> tuple[int, int]:
        if not self._ends:  # found once, since a manifest may have thousands of mistakes
            self._ends = [-1, *(match.start() for match in re.finditer("\n", self._text))]
        line = bisect_left(self._ends, place)
        return line, place - self._ends[line - 1]

    def _document(self) -> None:
        table: KeyPath = ()
        while True:
            self._skip(_BLANK)
            if self._at == len(self._text):
                return
            table = self._header() if self._text[self._at] == "[" else self._pair(table)

    def _header(self) -> KeyPath:
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        parts = self._key()
        path: KeyPath = ()
        for part, place in parts:
            path = self._enter((*path, part), place)
        if is_array:
            if isinstance(path[-1], int):
                path = path[:-1]
            self._tables[path] = self._tables.get(path, 0) + 1
            path = (*path, self._tables[path] - 1)
            self._places[path] = parts[-1][1]
        elif path in self._headers or path in self._values:
            self._note_duplicate(path, parts[-1][1])
        self._headers.add(path)
        self._expect("]]" if is_array else "]")
        return path

    def _enter(self, path: KeyPath, place: int) -> KeyPath:
        """Enter a table, or the last table of an array of tables."""
        self._places.setdefault(path, place)
        length = self._tables.get(path)
        return path if length is None else (*path, length - 1)

    def _pair(self, table: KeyPath) -> KeyPath:
        path = table
        parts = self._key()
        for part, place in parts[:-1]:
            path = self._enter((*path, part), place)
        name, place = parts[-1]
        path = (*path, name)
        if path in self._places:
            self._note_duplicate(path, place)
        self._places.setdefault(path, place)
        self._expect("=")
        self._skip(_SPACE)
        self._value(path)
        return table

    def _value(self, path: KeyPath) -> None:
        start = self._at
        first = self._text[start : start + 1]
        if first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            self._match(_STRING if first in ('"', "'") else _SCALAR)
        self._values.setdefault(path, (start, self._at))

    def _array(self, path: KeyPath) -> None:
        index = 0
        self._at += 1
        while not self._closes("]"):
            self._places.setdefault((*path, index), self._at)
            self._value((*path, index))
            index += 1
            self._comma("]")

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        while not self._closes("}"):
            self._pair(path)
            self._comma("}")

    def _closes(self, bracket: str) -> bool:
        self._skip(_BLANK)
        if self._text.startswith(bracket, self._at):
            self._at += 1
            return True
        return False

    def _comma(self, bracket: str) -> None:
        self._skip(_BLANK)
        if not self._text.startswith(bracket, self._at):
            self._expect(",")

    def _key(self) -> list[tuple[str, int]]:
        """The parts of a dotted key, each with its position."""
        parts = []
        while True:
            self._skip(_SPACE)
            start = self._at
            if self._text[start : start + 1] in ('"', "'"):
                raw = self._match(_STRING)
                try:
                    part = tomli.loads(f"key = {raw}")["key"]
                except malformed() as error:
                    raise _Lost from error
            else:
                part = self._match(_BARE)
            parts.append((part, start))
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return parts
            self._at += 1

    def _expect(self, mark: str) -> None:
        if not self._text.startswith(mark, self._at):
            raise _Lost
        self._at += len(mark)

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise _Lost
        self._at = match.end()
        return match.group()

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        if match is not None:
            self._at = match.end()

    def _note_duplicate(self, path: KeyPath, place: int) -> None:
        if self.duplicate is None:
            self.duplicate = (path, self._line_column(self._places[path]), self._line_column(place))
