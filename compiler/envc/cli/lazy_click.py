"""What verbs are declared with: click's own words, recorded, and click itself only where it is needed.

To import click takes longer than to choose the packages of a small environment. So `command`, `option`, `argument` and
the types are kept as they are written. A command line of known words in their usual form is read from that; for every
other one, be it help, a mistake or a rare spelling, click's command is made of the same declaration and reads it. What
is read here is what click would read (``tests/property/test_command_lines.py``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import click

Function = Callable[..., Any]

_READ = {"help", "metavar", "multiple", "is_flag", "default", "required", "nargs", "type"}  # settings that `read` knows


class Type(msgspec.Struct, frozen=True):
    """One of click's types, by name."""

    name: str
    arguments: tuple[Any, ...]
    settings: dict[str, Any]

    def as_click(self) -> click.ParamType[Any]:
        import click

        made = getattr(click, self.name)
        found: click.ParamType[Any] = made(*self.arguments, **self.settings) if isinstance(made, type) else made
        return found


class Parameter(msgspec.Struct, frozen=True):
    """An option or an argument."""

    names: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def is_option(self) -> bool:
        return self.names[0].startswith("-")

    @property
    def key(self) -> str:
        """What the function calls it: click's rule."""
        plain = [name for name in self.names if not name.startswith("-")]
        long = [name for name in self.names if name.startswith("--")]
        return (plain or long or list(self.names))[0].lstrip("-").replace("-", "_").lower()

    @property
    def is_plain(self) -> bool:
        """Whether it can be read here at all. Of a default that is no text click would infer a type."""
        default = self.settings.get("default")
        is_usual = default is None or isinstance(default, str)
        return is_usual and not self.settings.keys() - _READ and self.settings.get("nargs", -1) == -1

    def default(self) -> Any:
        """Its value when nobody gives one. Raises _NotPlain where click must say."""
        settings = self.settings
        several = settings.get("multiple") or settings.get("nargs") == -1
        must = not self.is_option and not several and "default" not in settings
        if not self.is_plain or settings.get("required", must):
            raise _NotPlain
        if settings.get("is_flag"):
            return False
        if several:
            return ()
        value = settings.get("default")
        return value if value is None else self.value(value)

    def value(self, word: Any) -> Any:
        """What a word means. Raises _NotPlain where click must say."""
        kind = self.settings.get("type")
        if not self.is_plain:
            raise _NotPlain
        if kind is None or kind is UNPROCESSED or (_is_choice(kind) and word in kind.arguments[0]):
            return word
        # A path is taken as it is, unless something is there that must not be read.
        if _is_path(kind) and (os.access(word, os.R_OK) or not os.access(word, os.F_OK)):
            return kind.settings["path_type"](word)
        raise _NotPlain

    def as_click(self) -> Callable[[Function], Function]:
        import click

        settings = self.settings
        if isinstance(settings.get("type"), Type):
            settings = settings | {"type": settings["type"].as_click()}
        return (click.option if self.is_option else click.argument)(*self.names, **settings)


class Command:
    """A verb."""

    def __init__(self, name: str, function: Function) -> None:
        self.name = name
        self.function = function
        self.parameters: list[Parameter] = list(reversed(getattr(function, "__declared__", [])))

    def read(self, words: Sequence[str]) -> partial[Any] | None:
        """The call that a plain command line means; None where click must read it."""
        try:
            return partial(self.function, **self._read(words))
        except _NotPlain:
            return None

    def _read(self, words: Sequence[str]) -> dict[str, Any]:
        options = {name: each for each in self.parameters if each.is_option for name in each.names if name[0] == "-"}
        values: dict[str, Any] = {}
        given: list[str] = []
        rest = iter(words)
        for word in rest:
            if word == "--":
                given += rest
            elif not word.startswith("-"):
                given.append(word)
            else:
                name, equals, text = word.partition("=") if word.startswith("--") else (word, "", "")
                option = options.get(name)
                if option is None or not option.is_plain:
                    raise _NotPlain
                if option.settings.get("is_flag"):
                    if equals:
                        raise _NotPlain
                    values[option.key] = True
                    continue
                if not equals:
                    text = next(rest, "-")
                    if text.startswith("-"):
                        raise _NotPlain
                value = option.value(text)
                values[option.key] = (*values.get(option.key, ()), value) if option.settings.get("multiple") else value
        for argument in self.parameters:
            if not argument.is_option and given:
                if argument.settings.get("nargs") == -1:
                    values[argument.key], given = tuple(map(argument.value, given)), []
                else:
                    values[argument.key] = argument.value(given.pop(0))
        if given:
            raise _NotPlain
        for each in self.parameters:
            if each.key not in values:
                values[each.key] = each.default()
        return values

    def as_click(self) -> click.Command:
        import click

        function = self.function
        for each in reversed(self.parameters):
            function = each.as_click()(function)
        return click.command(self.name)(function)


class Group:
    """A verb that has verbs of its own. `otherwise` is the one that is meant where none is named."""

    def __init__(self, name: str, function: Function, otherwise: str | None) -> None:
        self.name = name
        self.function = function
        self.otherwise = otherwise
        self.commands: dict[str, Command] = {}

    def command(self, name: str) -> Callable[[Function], Command]:
        def declare(function: Function) -> Command:
            made = self.commands[name] = Command(name, function)
            return made

        return declare

    def read(self, words: Sequence[str]) -> partial[Any] | None:
        """As for `Command`."""
        is_named = bool(words) and not words[0].startswith("-")
        command = self.commands.get(words[0] if is_named else self.otherwise or "")
        return command.read(words[is_named:]) if command is not None else None

    def as_click(self) -> click.Command:
        import click

        otherwise = self.otherwise

        class Named(click.Group):
            """Puts the verb that is meant before options of its own."""

            def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
                is_named = bool(args) and (not args[0].startswith("-") or args[0] in ("--", *ctx.help_option_names))
                return super().parse_args(ctx, args if is_named or otherwise is None else [otherwise, *args])

        return Named(
            self.name,
            help=self.function.__doc__,
            commands={name: command.as_click() for name, command in self.commands.items()},
        )


def command(name: str) -> Callable[[Function], Command]:
    return lambda function: Command(name, function)


def group(name: str, otherwise: str | None = None) -> Callable[[Function], Group]:
    return lambda function: Group(name, function, otherwise)


def option(*names: str, **settings: Any) -> Callable[[Function], Function]:
    return _recorder(Parameter(names, settings))


def argument(name: str, **settings: Any) -> Callable[[Function], Function]:
    return _recorder(Parameter((name,), settings))


def _recorder(parameter: Parameter) -> Callable[[Function], Function]:
    def record(function: Function) -> Function:
        if not hasattr(function, "__declared__"):
            function.__declared__ = []  # type: ignore[attr-defined]
        function.__declared__.append(parameter)  # type: ignore[attr-defined]
        return function

    return record


UNPROCESSED = Type("UNPROCESSED", (), {})


def Choice(values: Sequence[str]) -> Any:
    return Type("Choice", (tuple(values),), {})


def IntRange(**bounds: int) -> Any:
    return Type("IntRange", (), bounds)


def Path(**settings: Any) -> Any:
    return Type("Path", (), settings)


def _is_choice(kind: object) -> bool:
    return isinstance(kind, Type) and kind.name == "Choice"


def _is_path(kind: object) -> bool:
    return isinstance(kind, Type) and kind.name == "Path" and kind.settings.keys() == {"path_type"}


class _NotPlain(Exception):
    """Click must read this."""
