"""The click command line: help, mistakes, and everything else that `envc.cli.commands` does not parse."""

from __future__ import annotations

import io

import click

from envc import __version__
from envc.cli.output import OutputFailed, print_error, tell
from envc.cli.verbs import VERBS, load_verb

_HELP = ("help", "Show the help of a command: `envc help lock`.")


class _Verbs(click.Group):
    """A group whose commands are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        return load_verb(name).as_click()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*((name, text) for name, (_, text) in VERBS.items()), _HELP])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in VERBS:
            from envc_solvers.nearest import nearest_name

            near = nearest_name(name, VERBS)
            hint = f"; did you mean `envc {near}`?" if near else ""
            raise click.UsageError(f"there is no command {name!r}{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, "-V", "-v", "--version", message="envc %(version)s")
# These two are read by `envc.cli.global_options`; here they are part of the help.
@click.option("-C", metavar="DIR", expose_value=False, help="Change to this folder first. Stands before the command.")
@click.option(
    "--color",
    metavar="auto|always|never",
    expose_value=False,
    help="Set when to use colors. Default: on terminals, by NO_COLOR and FORCE_COLOR.",
)
def envc() -> None:
    """Compile a manifest of steps into environments that can be reviewed, shipped and rebuilt."""


def run_by_click(args: list[str], as_json: bool) -> int:
    """Run one command line and return its exit code. Usage errors are printed and give 2; other errors are raised."""
    try:
        result = envc.main(args=args, prog_name="envc", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        if as_json:
            print_error("usage", error.format_message(), None)
        shown = io.StringIO()
        error.show(shown)
        for line in shown.getvalue().splitlines():
            tell(line)
        return 2
    except OSError as error:
        if error.filename is None and (args[0] not in VERBS or {"-h", "--help"} & set(args)):
            raise OutputFailed(error) from None  # click itself writes help and versions
        raise
    except click.Abort:
        raise KeyboardInterrupt from None
