"""The JSON documents of a store: one text for each value, and nothing but values of the right shape back."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from envc.model.decoders import decode
from envc.shipping.format.errors import CorruptBlob

Document = TypeVar("Document")


def canonical_json(value: object) -> bytes:
    """The one JSON text of a value: keys sorted, no white space, UTF-8, every field written.

    Defaults are not left out: msgspec tells them by identity, so the same number would be left out or written
    depending on how it was computed.
    """
    return msgspec.json.encode(value, order="sorted")


def decode_json(text: bytes, form: type[Document], what: str) -> Document:
    """A value of that form. Raises CorruptBlob for anything else, however wrong or deeply nested."""
    try:
        return decode(text, form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptBlob(what, f"cannot be read as {form.__name__} ({error})") from None
