"""JSON decoders that are safe to use from several threads.

msgspec collects the fields of a type when it first decodes one, and other threads can see the unfinished result. Two
threads that decode their first value of one type at the same moment may crash the interpreter (seen with 0.22).
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_DECODERS: dict[type[Any], msgspec.json.Decoder[Any]] = {}
_CREATING = threading.Lock()


def decode(data: bytes | memoryview, kind: type[T]) -> T:
    """Decode a value of that type. Raises the same errors as `msgspec.json.decode`."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        with _CREATING:
            decoder = _DECODERS[kind] = msgspec.json.Decoder(kind)
    value: T = decoder.decode(data)
    return value
