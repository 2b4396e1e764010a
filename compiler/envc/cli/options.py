"""Options that several verbs share, and the values built from them."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from envc.cli.parameters import option
from envc.cli.progress import Terminal
from envc.context import Context, Limits
from envc.errors import UsageError

Manifest = Annotated[
    str | None,
    option(
        "-m",
        "--manifest",
        metavar="FILE",
        help="Use this manifest. Default: ENVC_MANIFEST, else the nearest manifest.toml or pyproject.toml.",
    ),
]
Store = Annotated[
    str | None,
    option(
        "--store",
        metavar="URL",
        help="Use this store, a folder or an fsspec URL. Default: ENVC_STORE, else the manifest's `store`.",
    ),
]
Steps = Annotated[tuple[str, ...], option("--step", metavar="STEP", help="Select this step. Repeatable.")]
Targets = Annotated[
    tuple[str, ...],
    option("--platform", "--target", metavar="TARGET", help="Select this target or platform. Repeatable."),
]
Frozen = Annotated[bool, option("--frozen", help="Use the lock as it is, even if it is out of date.")]
Force = Annotated[
    bool, option("--force", help="Continue even if this machine does not meet the environment's requirements.")
]
Offline = Annotated[bool, option("--offline", help="Do not use the network. ENVC_OFFLINE=1 does the same.")]
Refresh = Annotated[bool, option("--refresh", help="Query the indexes again, however recent the cached data is.")]
TimeLimit = Annotated[
    str | None,
    option(
        "--time-limit",
        metavar="SPAN",
        help='Stop solving a problem after this time, such as "90s". Default: 15 minutes.',
    ),
]
MaxCandidates = Annotated[
    int | None,
    option(
        "--max-candidates",
        metavar="N",
        minimum=1,
        help="Stop solving a problem after trying this many candidates. Default: 200000.",
    ),
]
Quiet = Annotated[bool, option("-q", "--quiet", help="Print only errors and warnings.")]
AsJson = Annotated[bool, option("--json", help="Write JSON to standard output.")]

_SPANS = 'write a span of time such as "90s", "12 hours" or "7 days"'


def span(value: str, option: str) -> timedelta:
    """Parse a time span in any form that manifests accept. Raises UsageError, which names `option`."""
    from envc.locking.manifest.cutoffs import BadCutoff, parse_cutoff

    try:
        length = parse_cutoff(value)
    except BadCutoff as error:
        raise UsageError(f"{option}: {error}", _SPANS) from None
    if not isinstance(length, timedelta):
        raise UsageError(f"{option}: {value!r} is a point in time, not a span", _SPANS)
    return length


def choose_manifest(argument: str | None, option: str | None) -> str | None:
    """The manifest of a verb that takes it as an argument or as ``--manifest``. Raises UsageError if both are given."""
    if argument is not None and option is not None:
        raise UsageError("the manifest is given twice", "leave out --manifest")
    return argument if option is None else option


def limits(time_limit: str | None, max_candidates: int | None) -> Limits:
    """The limits that `TimeLimit` and `MaxCandidates` set."""
    given: dict[str, Any] = {}
    if time_limit is not None:
        given["seconds"] = span(time_limit, "--time-limit").total_seconds()
    if max_candidates is not None:
        given["candidates"] = max_candidates
    return Limits(**given)


def is_bundle_file(argument: str) -> bool:
    """Whether an argument names a file rather than a step: it holds a separator, or ends in ``.zst``.

    Raises UsageError for a URL.
    """
    if "://" in argument:
        from envc.fetch.net.urls import redact

        hint = "download it first, or name the store in which the step is: --store URL"
        raise UsageError(f"{redact(argument)} is a URL, and a bundle is a file of this machine", hint)
    return "/" in argument or "\\" in argument or argument.endswith(".zst")


def refuse_with_bundle(file: str, **options: object) -> None:
    """Raise UsageError if any of the `options`, by name and value, is set for a single-file bundle."""
    given = [name for name, value in options.items() if value]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"{names} cannot be used with {file}: a bundle holds one target and needs no store")


def make_context(
    terminal: Terminal,
    *,
    offline: bool = False,
    refresh: bool = False,
    force: bool = False,
    limits: Limits | None = None,
    uses_cache: bool = True,
) -> Context:
    """Make the context of a pipeline call from this process and the command-line options.

    Without `uses_cache`, the command looks after the cache, and does not count as one of its users.
    """
    environ = dict(os.environ)
    return Context(
        environ=environ,
        find_cache=_cache_opener(environ, terminal, is_used=uses_cache),
        cwd=Path.cwd(),
        progress=terminal,
        offline=offline or os.environ.get("ENVC_OFFLINE", "") not in ("", "0", "false"),
        refresh=refresh,
        force=force,
        limits=limits or Limits(),
    )


def _cache_opener(environ: dict[str, str], terminal: Terminal, *, is_used: bool) -> Callable[[], Path]:
    """As `cache_folder.cache_opener`, which is imported by the first call: `lock --check` needs no cache."""
    openers: list[Callable[[], Path]] = []

    def find() -> Path:
        if not openers:
            from envc.system.cache_folder import cache_opener

            openers.append(cache_opener(environ, terminal, is_used=is_used))
        return openers[0]()

    return find
