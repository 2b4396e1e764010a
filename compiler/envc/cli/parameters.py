"""The options and arguments of a verb, declared as fields of a struct.

A verb declares its command line once, as a frozen struct::

    class GreetOptions(msgspec.Struct, frozen=True, kw_only=True):
        name: Annotated[str, argument()]
        loud: Annotated[bool, option("--loud", help="Use capitals.")] = False

The type of a field determines how it is parsed: ``bool`` is a flag, a tuple may be given several times, a ``Literal``
is a choice, ``Path`` and ``int`` are converted. A field without a default must be given. The annotations are evaluated
when the module is imported, so such a module must not postpone them (``from __future__ import annotations``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec


class NotPlain(Exception):
    """click must parse this command line."""


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """The command-line form of a field of an options struct, apart from its type."""

    names: tuple[str, ...] = ()  # such as "-q" and "--quiet"; () for an argument
    help: str | None = None
    metavar: str | None = None
    flag_value: str | None = None  # the field's value if this flag is given; None for a flag that means True
    minimum: int | None = None  # of a number
    is_folder: bool = False  # a path that must not be a file


def option(
    *names: str,
    help: str | None = None,
    metavar: str | None = None,
    flag_value: str | None = None,
    minimum: int | None = None,
) -> Declaration:
    return Declaration(names=names, help=help, metavar=metavar, flag_value=flag_value, minimum=minimum)


def argument(*, metavar: str | None = None, is_folder: bool = False) -> Declaration:
    return Declaration(metavar=metavar, is_folder=is_folder)


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """An option or an argument of a verb."""

    key: str  # the field of the options struct
    declared: Declaration
    type: Any  # of one value: bool, str, int or Path
    choices: tuple[str, ...]  # () if any value is accepted
    is_repeated: bool  # the field is a tuple of values
    default: Any  # msgspec.NODEFAULT if the parameter is required

    @property
    def names(self) -> tuple[str, ...]:
        return self.declared.names or (self.key,)

    @property
    def is_option(self) -> bool:
        return bool(self.declared.names)

    @property
    def is_flag(self) -> bool:
        return self.type is bool or self.declared.flag_value is not None

    @property
    def is_required(self) -> bool:
        return self.default is msgspec.NODEFAULT

    def plain_default(self) -> Any:
        """The value of an omitted parameter. Raises NotPlain if click must report the omission."""
        if self.is_required:
            raise NotPlain
        return self.plain_value(self.default) if isinstance(self.default, str | Path) else self.default

    def plain_value(self, word: Any) -> Any:
        """Convert a word to a value. Raises NotPlain if click must convert or reject it."""
        if self.choices:
            if word in self.choices:
                return word
        elif self.type is str:
            return word
        elif self.type is Path and "://" not in str(word):
            # A path that exists must be readable, and must be a folder where one is required.
            path = Path(word)
            is_refused = self.declared.is_folder and not path.is_dir()
            if not os.access(path, os.F_OK) or (os.access(path, os.R_OK) and not is_refused):
                return path
        raise NotPlain


def parameters_of(options: type[msgspec.Struct]) -> Iterator[Parameter]:
    """The parameters that an options struct declares, in order; several for a field with several flags."""
    annotations: dict[str, Any] = {}
    for base in reversed(options.__mro__):
        annotations |= getattr(base, "__annotations__", {})
    fields, defaults = options.__struct_fields__, options.__struct_defaults__
    required = (msgspec.NODEFAULT,) * (len(fields) - len(defaults))
    for key, default in zip(fields, required + defaults, strict=True):
        kind = annotations[key].__origin__
        is_repeated = getattr(kind, "__origin__", None) is tuple
        if is_repeated or type(None) in getattr(kind, "__args__", ()):
            kind = kind.__args__[0]
        choices = kind.__args__ if getattr(kind, "__origin__", None) is Literal else ()
        for declared in annotations[key].__metadata__:
            yield Parameter(
                key=key,
                declared=declared,
                type=str if choices else kind,
                choices=choices,
                is_repeated=is_repeated,
                default=default,
            )
