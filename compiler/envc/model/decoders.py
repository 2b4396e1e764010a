"""JSON decoders that any thread may ask for.

msgspec learns the fields of a type when it is first asked to decode it, and lets other threads see what it has learnt
so far. Two threads that decode their first value of one type at the same moment may crash the interpreter (seen with
0.22).
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_KNOWN: dict[type[Any], msgspec.json.Decoder[Any]] = {}
_LEARNING = threading.Lock()


def decode(data: bytes | memoryview, form: type[T]) -> T:
    """A value of that form. Raises what `msgspec.json.decode` raises."""
    known = _KNOWN.get(form)
    if known is None:
        with _LEARNING:
            known = _KNOWN[form] = msgspec.json.Decoder(form)
    value: T = known.decode(data)
    return value
