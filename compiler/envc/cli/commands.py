"""Verbs as values: what a verb is called, the struct of its options, and the function that takes one.

A verb declares its command line once, as a frozen struct::

    class GreetOptions(msgspec.Struct, frozen=True, kw_only=True):
        name: Annotated[str, argument()]
        loud: Annotated[bool, option("--loud", help="Use capitals.")] = False

    @verb("greet", GreetOptions)
    def command(options: GreetOptions) -> int: ...

The type of a field says how it is read: ``bool`` is a flag, a tuple may be given several times, a ``Literal`` is a
choice, ``Path`` and ``int`` are converted. A field without a default must be given. The annotations are evaluated when
the module is imported, so such a module must not postpone them (``from __future__ import annotations``).

Importing click takes longer than choosing the packages of a small environment. A command line of known words in their
usual form is therefore read here. Every other one (help, a mistake, a rare spelling) is read by click, whose commands
are made from the same parameters (``envc.cli.click_commands``). Both readers agree:
``tests/property/test_command_lines.py``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    import click

Function = Callable[[Any], int]


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """The declaration of a field of an options struct, beside its type."""

    names: tuple[str, ...] = ()  # such as "-q" and "--quiet"; () for an argument
    help: str | None = None
    metavar: str | None = None
    flag_value: str | None = None  # the field's value where this flag is given; None for a flag that stands for True
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
    choices: tuple[str, ...]  # () where any value will do
    is_repeated: bool  # the field is a tuple of values
    default: Any  # msgspec.NODEFAULT where the parameter is required

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
        """The value of a parameter that is not given. Raises _NotPlain where click must report that."""
        if self.is_required:
            raise _NotPlain
        return self.plain_value(self.default) if isinstance(self.default, str | Path) else self.default

    def plain_value(self, word: Any) -> Any:
        """The value of a word. Raises _NotPlain where click must convert or refuse it."""
        if self.choices:
            if word in self.choices:
                return word
        elif self.type is str:
            return word
        elif self.type is Path:
            # A path is taken as it is, unless something exists there that must not be used.
            path = Path(word)
            is_refused = self.declared.is_folder and not path.is_dir()
            if not os.access(path, os.F_OK) or (os.access(path, os.R_OK) and not is_refused):
                return path
        raise _NotPlain


def _parameters(options: type[msgspec.Struct]) -> Iterator[Parameter]:
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


class Command:
    """A verb."""

    def __init__(self, name: str, options: type[msgspec.Struct], function: Function) -> None:
        self.name = name
        self.options = options
        self.function = function
        self.parameters = tuple(_parameters(options))

    def call(self, **values: Any) -> int:
        """Run the verb with these fields of its options struct."""
        return self.function(self.options(**values))

    def read(self, words: Sequence[str]) -> partial[int] | None:
        """The call that a plain command line means; None where click must read it."""
        try:
            return partial(self.call, **self._read(words))
        except _NotPlain:
            return None

    def _read(self, words: Sequence[str]) -> dict[str, Any]:
        """The fields of the options struct. Raises _NotPlain where click must read the words."""
        values, arguments = self._read_options(words)
        for parameter in self.parameters:
            if parameter.is_option or not arguments:
                continue
            if parameter.is_repeated:
                values[parameter.key], arguments = tuple(map(parameter.plain_value, arguments)), []
            else:
                values[parameter.key] = parameter.plain_value(arguments.pop(0))
        if arguments:
            raise _NotPlain
        for parameter in self.parameters:
            if parameter.key not in values:
                values[parameter.key] = parameter.plain_default()
        return values

    def _read_options(self, words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """The fields that options set, and the words that are arguments. Raises _NotPlain."""
        options = {name: parameter for parameter in self.parameters for name in parameter.declared.names}
        values: dict[str, Any] = {}
        arguments: list[str] = []
        rest = iter(words)
        for word in rest:
            if word == "--":
                arguments += rest
            elif not word.startswith("-"):
                arguments.append(word)
            else:
                name, equals, text = word.partition("=") if word.startswith("--") else (word, "", "")
                option = options.get(name)
                if option is None or (equals and option.is_flag):
                    raise _NotPlain
                if option.is_flag:
                    value: Any = option.declared.flag_value or True
                    if values.get(option.key, value) != value:
                        raise _NotPlain
                else:
                    text = text if equals else next(rest, "-")
                    if not equals and text.startswith("-"):
                        raise _NotPlain
                    value = option.plain_value(text)
                values[option.key] = (*values.get(option.key, ()), value) if option.is_repeated else value
        return values, arguments

    def as_click(self) -> click.Command:
        from envc.cli.click_commands import click_command

        return click_command(self.name, self.function.__doc__, self.parameters, self.call)


class Group:
    """A verb that has verbs of its own."""

    def __init__(self, name: str, *, help: str, default: str) -> None:
        self.name = name
        self.help = help
        self.default = default  # the verb that runs where the command line names none
        self.commands: dict[str, Command] = {}

    def verb(self, name: str, options: type[msgspec.Struct]) -> Callable[[Function], Command]:
        """Make the function below a verb of this group; as the function `verb`."""

        def declare(function: Function) -> Command:
            made = self.commands[name] = Command(name, options, function)
            return made

        return declare

    def read(self, words: Sequence[str]) -> partial[int] | None:
        """As for `Command`."""
        is_named = bool(words) and not words[0].startswith("-")
        command = self.commands.get(words[0] if is_named else self.default)
        return command.read(words[is_named:]) if command is not None else None

    def as_click(self) -> click.Command:
        from envc.cli.click_commands import click_group

        commands = {name: command.as_click() for name, command in self.commands.items()}
        return click_group(self.name, self.help, commands, self.default)


def verb(name: str, options: type[msgspec.Struct]) -> Callable[[Function], Command]:
    """Make the function below a verb. Its docstring is the help of the verb."""
    return lambda function: Command(name, options, function)


class _NotPlain(Exception):
    """Click must read this command line."""
