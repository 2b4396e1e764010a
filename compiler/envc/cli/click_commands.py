"""click commands, built from the parameters of verbs. Imported only if click must parse a command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from envc.fetch.net.urls import redact

if TYPE_CHECKING:
    from envc.cli.parameters import Parameter


def click_command(
    name: str, help: str | None, parameters: Iterable[Parameter], callback: Callable[..., int]
) -> click.Command:
    return click.Command(name, callback=callback, help=help, params=[_click_parameter(each) for each in parameters])


def click_group(name: str, help: str, commands: Mapping[str, click.Command], default: str) -> click.Command:
    """A group that runs the verb `default` if the command line names none."""

    class GroupWithDefault(click.Group):
        def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
            is_named = bool(args) and (not args[0].startswith("-") or args[0] in ("--", *ctx.help_option_names))
            return super().parse_args(ctx, args if is_named else [default, *args])

    return GroupWithDefault(name, help=help, commands=dict(commands))


def _click_parameter(parameter: Parameter) -> click.Parameter:
    declared = parameter.declared
    settings: dict[str, Any] = {"required": parameter.is_required, "metavar": declared.metavar}
    if parameter.default and not parameter.is_required:
        settings["default"] = parameter.default
    if not parameter.is_flag:
        settings["type"] = _click_type(parameter)
    if not parameter.is_option:
        return click.Argument([parameter.key], nargs=-1 if parameter.is_repeated else 1, **settings)
    if declared.flag_value is not None:
        settings["flag_value"] = declared.flag_value
    elif parameter.is_flag:
        settings["is_flag"] = True
    return click.Option(
        [*declared.names, parameter.key], help=declared.help, multiple=parameter.is_repeated, **settings
    )


class _LocalPath(click.Path):
    """A path of this machine. pathlib would turn ``https://host`` into the path ``https:/host``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and "://" in value:
            self.fail(f"{redact(value)} is a URL; name a file or folder of this machine.", param, ctx)
        return super().convert(value, param, ctx)


def _click_type(parameter: Parameter) -> Any:
    if parameter.choices:
        return click.Choice(parameter.choices)
    if parameter.type is Path:
        return _LocalPath(path_type=Path, file_okay=not parameter.declared.is_folder)
    if parameter.type is int:
        return click.IntRange(min=parameter.declared.minimum)
    return click.STRING
