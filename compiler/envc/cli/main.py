"""The command line: options in, one call of the pipeline, text or JSON out.

Verbs are imported when they are called: start-up is part of the product.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

from envc import __version__

# verb: module below envc.cli (and the command in it), and its line in the help
VERBS = {
    "init": ("edit:init", "Write a first manifest."),
    "add": ("edit:add", "Add requirements to a step or a group, and lock."),
    "remove": ("edit:remove", "Remove requirements from a step or a group, and lock."),
    "lock": ("lock", "Compile the manifest into its lock file."),
    "status": ("status", "Show steps, environments, ids and what is stale."),
    "bundle": ("bundle", "Write the packages of locked environments to the store."),
    "hydrate": ("hydrate", "Rebuild a step's environment from the store alone."),
    "run": ("run", "Run a step in its environment."),
    "verify": ("verify", "Check what a store or a prefix holds, to its last byte."),
    "gc": ("gc", "Find, and remove, what nothing in a store leads to."),
    "tag": ("tag", "Give the lock a name in the store, so that its environments are kept."),
    "cache": ("cache", "Show or prune the cache of this machine."),
    "solve": ("solve", "Resolve requirements once, without a manifest."),
}


class _Verbs(click.Group):
    """A group whose commands are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module, _, attribute = VERBS[name][0].partition(":")
        command = getattr(importlib.import_module(f"envc.cli.{module}"), attribute or "command")
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in VERBS:
            import difflib

            near = difflib.get_close_matches(name, VERBS, n=1)
            hint = f"; did you mean `envc {near[0]}`?" if near else ""
            raise click.UsageError(f"there is no command {name!r}{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="envc %(version)s")
def envc() -> None:
    """Compile a manifest of steps into environments that can be reviewed, shipped and rebuilt."""


def main() -> None:
    """The console command. Exit codes: 0 done, 1 expected failure, 2 usage or unexpected error, 130 interrupted."""
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Run one command line and return its exit code; never raises, never shows a traceback unless asked to."""
    from envc.cli.output import report_bug, report_error
    from envc.errors import EnvcError

    as_json = "--json" in (args[: args.index("--")] if "--" in args else args)
    try:
        result = envc.main(args=args, prog_name="envc", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except EnvcError as error:
        report_error(error, as_json)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("interrupted: nothing is half-written; run the same command again and it goes on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output stopped; Python would complain again while it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        report_bug(error, as_json)
        return 2
