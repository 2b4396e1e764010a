"""Hostile text: the exceptions in which parsers end, so that each reader can end in the one error that it declares.

The parsers of the standard library and of other packages document one exception and raise many more: ValueError for a
number of 5,000 digits, OverflowError for a date of the year 9999, LookupError for an unknown encoding, RecursionError
for deep nesting, AssertionError for odd HTML. A reader catches all of them around the smallest parse, and raises its
own error with the reason::

    try:
        document = tomli.loads(text)
    except malformed() as error:
        raise LockFileError(path, reason_of(error)) from None

`malformed` is called only when an exception is raised, so an `except` clause with it costs nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Mistakes that a parser of another package, unlike one of envc, makes on hostile text.
FOREIGN: tuple[type[Exception], ...] = (AssertionError, AttributeError, NotImplementedError, SyntaxError, TypeError)
_ALWAYS: tuple[type[Exception], ...] = (
    ValueError,  # with UnicodeError, and the errors of tomli, packaging and base64
    ArithmeticError,
    LookupError,
    RecursionError,
    MemoryError,  # for a size that the text states
    EOFError,
)
# A module that is not imported, or that another thread is just importing, has raised nothing.
_OF_MODULES = {
    "msgspec": "MsgspecError",
    "struct": "error",
    "zlib": "error",
    "lzma": "LZMAError",
    "zstandard": "ZstdError",
    "zipfile": "BadZipFile",
    "tarfile": "TarError",
    "csv": "Error",
    "configparser": "Error",
    "netrc": "NetrcParseError",
}
_LONGEST = 300  # characters of a reason


def malformed(*further: type[Exception]) -> tuple[type[Exception], ...]:
    """The exceptions of parsers, for an `except` clause. `FOREIGN` are further ones."""
    loaded = (getattr(sys.modules.get(name), error, None) for name, error in _OF_MODULES.items())
    return (*_ALWAYS, *(error for error in loaded if error is not None), *further)


def reason_of(error: Exception) -> str:
    """Why a text was rejected, as one line. It completes a sentence about the text, such as ``manifest.lock: …``."""
    message = " ".join(str(error).split())
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not {error.encoding.upper()} at byte {error.start}"
    if isinstance(error, UnicodeEncodeError):
        return f"it contains {error.object[error.start : error.start + 1]!r}, which is not a character"
    if "integer string conversion" in message:
        return "it contains a number of thousands of digits"
    if isinstance(error, LookupError) and message:
        return f"{message} is unknown" if isinstance(error, KeyError) else message
    return message[:_LONGEST] or type(error).__name__


def parsed(parse: Callable[[str], T], text: str, declared: type[Exception]) -> T:
    """The result of a parser of another package, which then raises nothing but the exception that it declares."""
    try:
        return parse(text)
    except declared:
        raise
    except malformed(*FOREIGN) as error:
        raise declared(f"{text[:80]!r}: {reason_of(error)}") from None
