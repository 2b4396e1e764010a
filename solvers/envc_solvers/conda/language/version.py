"""Conda versions and their order (conda documentation, "Version ordering").

Each version has a key: bytes that sort as versions do. So sorting, bisection and equality are comparisons of bytes, and
keys can be stored. ``1.0`` and ``1.0.0`` have the same key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import msgspec

POST = float("inf")  # "post" sorts after every number
DEV = "DEV"  # "dev" sorts before every other word, as upper case does before lower case
TOP = b"\xff"  # greater than every key

Atom = int | float | str  # a float is always POST
Part = tuple[Atom, ...]  # the text between two dots; starts with a number, then words and numbers alternate

_PLAIN = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})*").fullmatch
_ALLOWED = re.compile(r"[*.+!_0-9a-z]+").fullmatch
_ATOMS = re.compile(r"[0-9]+|[*]+|[^0-9*]+").findall
_LONGEST = 512  # characters; real versions have at most 60

# Tags of the key format. A sequence that ends is compared as if endless zeros followed. So the possible next elements
# of a sequence have this order: a word, zeros and then a word, the end, zeros and then a number, a number.
_LEAST = b"\x00"  # below every word; only in bounds
_WORD = b"\x10"
_ZERO_THEN_WORD = b"\x20"
_EMPTY_THEN_WORD = b"\x30"  # the same for empty parts; their number follows
_END = b"\x40"
_EMPTY_THEN_NUMBER = b"\x50"
_ZERO_THEN_NUMBER = b"\x60"
_NUMBER = 0x80  # plus the number of bytes that follow
_POST = b"\xfe"
_MOST = b"\xff"  # above every number; only in bounds


class InvalidVersion(ValueError):
    """A text that is not a conda version."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text, reason)
        self.text = text
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.text[:80]!r} is not a version: {self.reason}"


class Version(msgspec.Struct, frozen=True, eq=False):
    """A version as written, compared by its key."""

    text: str
    key: bytes

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Version) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    def __lt__(self, other: Version) -> bool:
        return self.key < other.key

    def __le__(self, other: Version) -> bool:
        return self.key <= other.key

    def __gt__(self, other: Version) -> bool:
        return self.key > other.key

    def __ge__(self, other: Version) -> bool:
        return self.key >= other.key


def parse_version(text: str) -> Version:
    """Parse a version. Raises InvalidVersion."""
    return Version(text, version_key(text))


@lru_cache(maxsize=1 << 16)
def version_key(text: str) -> bytes:
    """The sort key of a version. Raises InvalidVersion."""
    if len(text) <= _LONGEST and _PLAIN(text):
        return _NO_EPOCH + _encode_numbers(text.split(".")) + _END
    (epoch, *parts), local = split_version(text)
    return _encode_epoch(epoch) + _encode_parts(parts) + _encode_parts(local)


@lru_cache(maxsize=1 << 14)
def prefix_bounds(text: str) -> tuple[bytes, bytes]:
    """The bounds of the versions that start with this one, and of no others: low < key < high.

    1.2, 1.2.3 and 1.2a start with ``1.2``; 1.2a and 1.2alpha start with ``1.2a``. Raises InvalidVersion.
    """
    (epoch, *parts), local = split_version(text)
    head = _encode_epoch(epoch)
    if local:
        # If the prefix has a local part, everything before it must be equal.
        head, parts = head + _encode_parts(parts), list(local)
    last = parts[-1][-1]
    # A word is a prefix of longer words. "~" sorts after every character of a version.
    beyond = (*parts[-1][:-1], last + "~") if isinstance(last, str) else parts[-1]
    low = head + _encode_parts(parts[:-1], (parts[-1], _LEAST))
    return low, head + _encode_parts(parts[:-1], (beyond, _MOST))


def split_version(text: str) -> tuple[list[Part], list[Part]]:
    """The parts of a version, the epoch first, and the parts of its local version. Raises InvalidVersion."""
    version = text.strip().lower()
    if not version:
        raise InvalidVersion(text, "it is empty")
    if len(version) > _LONGEST:
        raise InvalidVersion(text, f"it has more than {_LONGEST} characters")
    if "-" in version and "_" not in version:
        version = version.replace("-", "_")
    if not _ALLOWED(version):
        raise InvalidVersion(text, "it contains a character other than letters, digits and . _ - + ! *")
    epoch, mark, rest = version.rpartition("!")
    if mark and not epoch.isdecimal():
        raise InvalidVersion(text, "its epoch, before the !, is not a number")
    main, plus, local = rest.partition("+")
    if "+" in local:
        raise InvalidVersion(text, "it has more than one +")
    # An underscore at the very end belongs to the last part, so that openssl's 1.0.1_ sorts before 1.0.1a.
    tail = "_" if main.endswith("_") else ""
    pieces = main.removesuffix("_").replace("_", ".").split(".")
    pieces[-1] += tail
    parts = [(int(epoch or "0"),), *(_part(text, piece) for piece in pieces)]
    return parts, [_part(text, piece) for piece in local.replace("_", ".").split(".")] if plus else []


def _part(text: str, piece: str) -> Part:
    if not piece:
        raise InvalidVersion(text, "a part of it is empty")
    atoms = tuple(_atom(run) for run in _ATOMS(piece))
    return atoms if piece[0].isdecimal() else (0, *atoms)


def _atom(run: str) -> Atom:
    if run.isdecimal():
        return int(run)
    return POST if run == "post" else DEV if run == "dev" else run


def _encode_numbers(numbers: list[str]) -> bytes:
    """`_encode_parts` for parts that are one number each. Nine of ten versions have only such parts."""
    encoded, empty = b"", 0
    for digits in numbers:
        part = _encode_number_part(digits)
        if not part:
            empty += 1
            continue
        if empty:
            encoded += _EMPTY_THEN_NUMBER + (0xFFFF - empty).to_bytes(2, "big")
            empty = 0
        encoded += part
    return encoded + _END


@lru_cache(maxsize=1 << 12)
def _encode_number_part(digits: str) -> bytes:
    """Encode a part that is one number. Zero is b"", because a sequence that ends compares as if zeros followed."""
    number = int(digits)
    return _encode_number(number) + _END if number else b""


def _encode_epoch(epoch: Part) -> bytes:
    return _encode_number(int(epoch[0]))


def _encode_parts(parts: Iterable[Part], bound: tuple[Part, bytes] | None = None) -> bytes:
    """Encode parts and the end. For a bound, a last part with an element below or above all others is added."""
    encoded, empty = b"", 0
    items: list[tuple[Part, bytes]] = [(part, b"") for part in parts]
    if bound is not None:
        items.append(bound)
    for part, extreme in items:
        atoms = _encode_atoms(part, extreme)
        if atoms == _END:
            empty += 1
            continue
        if empty:
            if atoms < _END:
                encoded += _EMPTY_THEN_WORD + empty.to_bytes(2, "big")
            else:
                encoded += _EMPTY_THEN_NUMBER + (0xFFFF - empty).to_bytes(2, "big")
            empty = 0
        encoded += atoms
    return encoded + _END


def _encode_atoms(part: Part, extreme: bytes) -> bytes:
    """Encode one part with its end. Numbers and words alternate, so two zeros never follow each other."""
    encoded, zero = b"", False
    for atom in part:
        if atom == 0:
            zero = True
            continue
        if isinstance(atom, str):
            encoded += (_ZERO_THEN_WORD if zero else b"") + _WORD + atom.encode() + b"\x00"
        else:
            encoded += (_ZERO_THEN_NUMBER if zero else b"") + _encode_number(atom)
        zero = False
    if extreme:
        between = b"" if not zero else _ZERO_THEN_WORD if extreme == _LEAST else _ZERO_THEN_NUMBER
        encoded += between + extreme
    return encoded + _END


def _encode_number(number: int | float) -> bytes:
    if isinstance(number, float):
        return _POST
    size = (number.bit_length() + 7) // 8
    # 512 characters hold numbers of up to 213 bytes, but the tag byte has space for 112. No real version needs more.
    if size > 0x70:
        raise InvalidVersion(str(number), "it contains a number that is too large")
    return bytes((_NUMBER + size,)) + number.to_bytes(size, "big")


_NO_EPOCH = _encode_number(0)
