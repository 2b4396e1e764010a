"""Verbs as values: a name, an options struct, and a function that takes an instance of it::

    @verb("greet", GreetOptions)
    def command(options: GreetOptions) -> int: ...

Importing click takes longer than choosing the packages of a small environment. Command lines of known words in their
usual form are therefore parsed here. All others (help, mistakes, rare spellings) are parsed by click, whose commands
are built from the same parameters (``envc.cli.click_commands``). ``tests/property/test_command_lines.py`` checks that
both parsers agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from envc.cli.parameters import NotPlain, parameters_of

if TYPE_CHECKING:
    import click

Function = Callable[[Any], int]


class Command:
    """A verb."""

    def __init__(self, name: str, options: type[msgspec.Struct], function: Function) -> None:
        self.name = name
        self.options = options
        self.function = function
        self.parameters = tuple(parameters_of(options))

    def call(self, **values: Any) -> int:
        """Run the verb with these fields of its options struct."""
        return self.function(self.options(**values))

    def read(self, words: Sequence[str]) -> partial[int] | None:
        """Parse a plain command line into a call. Returns None if click must parse it."""
        try:
            return partial(self.call, **self._read(words))
        except NotPlain:
            return None

    def _read(self, words: Sequence[str]) -> dict[str, Any]:
        """The fields of the options struct. Raises NotPlain if click must parse the words."""
        values, arguments = self._read_options(words)
        for parameter in self.parameters:
            if parameter.is_option or not arguments:
                continue
            if parameter.is_repeated:
                values[parameter.key], arguments = tuple(map(parameter.plain_value, arguments)), []
            else:
                values[parameter.key] = parameter.plain_value(arguments.pop(0))
        if arguments:
            raise NotPlain
        for parameter in self.parameters:
            if parameter.key not in values:
                values[parameter.key] = parameter.plain_default()
        return values

    def _read_options(self, words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """The fields that options set, and the words that are arguments. Raises NotPlain."""
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
                    raise NotPlain
                if option.is_flag:
                    value: Any = option.declared.flag_value or True
                    if values.get(option.key, value) != value:
                        raise NotPlain
                else:
                    text = text if equals else next(rest, "-")
                    if not equals and text.startswith("-"):
                        raise NotPlain
                    value = option.plain_value(text)
                values[option.key] = (*values.get(option.key, ()), value) if option.is_repeated else value
        return values, arguments

    def as_click(self) -> click.Command:
        from envc.cli.click_commands import click_command

        return click_command(self.name, self.function.__doc__, self.parameters, self.call)


class Group:
    """A verb with subcommands."""

    def __init__(self, name: str, *, help: str, default: str) -> None:
        self.name = name
        self.help = help
        self.default = default  # the verb that runs if the command line names none
        self.commands: dict[str, Command] = {}

    def verb(self, name: str, options: type[msgspec.Struct]) -> Callable[[Function], Command]:
        """Turn the decorated function into a verb of this group; see the function `verb`."""

        def declare(function: Function) -> Command:
            command = self.commands[name] = Command(name, options, function)
            return command

        return declare

    def read(self, words: Sequence[str]) -> partial[int] | None:
        """See `Command.read`."""
        is_named = bool(words) and not words[0].startswith("-")
        command = self.commands.get(words[0] if is_named else self.default)
        return command.read(words[is_named:]) if command is not None else None

    def as_click(self) -> click.Command:
        from envc.cli.click_commands import click_group

        commands = {name: command.as_click() for name, command in self.commands.items()}
        return click_group(self.name, self.help, commands, self.default)


def verb(name: str, options: type[msgspec.Struct]) -> Callable[[Function], Command]:
    """Turn the decorated function into a verb. Its docstring is the verb's help text."""
    return lambda function: Command(name, options, function)
