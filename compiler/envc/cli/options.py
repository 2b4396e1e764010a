"""Options that several verbs share, spelt once."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from envc.cli import lazy_click as click
from envc.cli.progress import Terminal
from envc.context import Context, Limits
from envc.errors import UsageError

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_SPANS = 'write a span of time such as "90s", "12 hours" or "7 days"'


def span(value: str, option: str) -> timedelta:
    """A length of time, in all the ways in which a manifest may write one. Raises UsageError, naming the option."""
    from envc.locking.manifest.moments import BadMoment, parse_cutoff

    try:
        length = parse_cutoff(value)
    except BadMoment as error:
        raise UsageError(f"{option}: {error}", _SPANS) from None
    if not isinstance(length, timedelta):
        raise UsageError(f"{option}: {value!r} is a moment", _SPANS)
    return length


def one_manifest(argument: str | None, option: str | None) -> str | None:
    """The manifest of verbs that take it as an argument and, like all others, as ``--manifest``. Raises UsageError."""
    if argument is not None and option is not None:
        raise UsageError("the manifest is named twice", "leave out --manifest")
    return argument if option is None else option


def manifest_option(key: str = "manifest") -> Decorator:
    return click.option(
        "-m",
        "--manifest",
        key,
        metavar="FILE",
        help="The manifest; else ENVC_MANIFEST, else manifest.toml or pyproject.toml here or above.",
    )


def store_option() -> Decorator:
    return click.option(
        "--store", metavar="URL", help="A folder or an fsspec URL; else ENVC_STORE, else the manifest's `store`."
    )


def offline_option() -> Decorator:
    return click.option("--offline", is_flag=True, help="Never touch the network; ENVC_OFFLINE does the same.")


def json_option() -> Decorator:
    return click.option("--json", "as_json", is_flag=True, help="Write JSON to standard output.")


def quiet_option() -> Decorator:
    return click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors and warnings.")


def frozen_option() -> Decorator:
    return click.option("--frozen", is_flag=True, help="Use the lock as it is, without asking whether it is stale.")


def force_option() -> Decorator:
    return click.option(
        "--force", is_flag=True, help="Go on where this machine lacks what the environment was solved for."
    )


def resolution_option() -> Decorator:
    return click.option(
        "--resolution",
        type=click.Choice(["highest", "lowest", "lowest-direct"]),
        help="Which versions of PyPI projects to prefer, instead of what the manifest says.",
    )


def limit_options() -> Decorator:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option(
                "--time-limit",
                metavar="SPAN",
                help='Stop solving a problem after such as "90s"; else 15 minutes.',
            ),
            click.option(
                "--max-candidates",
                type=click.IntRange(min=1),
                metavar="N",
                help="Stop solving a problem after this many candidates; else 200000.",
            ),
        ):
            function = option(function)
        return function

    return decorate


def limits(time_limit: str | None, max_candidates: int | None) -> Limits:
    """What `limit_options` mean."""
    given: dict[str, Any] = {}
    if time_limit is not None:
        given["seconds"] = span(time_limit, "--time-limit").total_seconds()
    if max_candidates is not None:
        given["candidates"] = max_candidates
    return Limits(**given)


def refuse_beside_a_file(file: str, **options: object) -> None:
    """Raise UsageError for options that mean nothing to a single-file bundle."""
    given = [name for name, value in options.items() if value]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"{names} cannot be given with {file}: a bundle holds one target, and needs no store")


def surroundings(
    terminal: Terminal,
    *,
    offline: bool = False,
    refresh: bool = False,
    force: bool = False,
    limits: Limits | None = None,
) -> Context:
    """What a verb hands to the pipeline: the environment variables, the clock and where to report."""
    return Context(
        environ=dict(os.environ),
        cwd=Path.cwd(),
        progress=terminal,
        offline=offline or os.environ.get("ENVC_OFFLINE", "") not in ("", "0", "false"),
        refresh=refresh,
        force=force,
        limits=limits or Limits(),
    )
