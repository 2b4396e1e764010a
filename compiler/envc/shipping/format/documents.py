"""The JSON documents of a store: each value has exactly one text, and reading accepts only values of the right type."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from envc.model.decoders import decode
from envc.shipping.format.errors import CorruptBlob
from envc_solvers.malformed import malformed, reason_of

Document = TypeVar("Document")


def canonical_json(value: object) -> bytes:
    """The canonical JSON of a value: keys sorted, no white space, UTF-8, every field written.

    Default values are not omitted: msgspec recognises them by identity, so an equal number would be omitted or written
    depending on how it was computed.
    """
    return msgspec.json.encode(value, order="sorted")


def decode_json(text: bytes, form: type[Document], what: str) -> Document:
    """A value of that type. Raises CorruptBlob for anything else, including text that is nested too deeply."""
    try:
        return decode(text, form)
    except malformed() as error:
        raise CorruptBlob(what, f"cannot be read as {form.__name__} ({reason_of(error)})") from None
