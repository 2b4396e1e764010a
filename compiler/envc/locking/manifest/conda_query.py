"""conda_query: a command line of ``envc solve --conda`` as a problem for the conda solver."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from envc.errors import UsageError
from envc.fetch.net.urls import redact
from envc_solvers.conda.language.matchspec import InvalidMatchSpec, parse_matchspec
from envc_solvers.conda.language.record import Record
from envc_solvers.conda.language.virtual import parse_virtual_package, virtual_packages
from envc_solvers.conda.problem import ChannelPriority, CondaProblem, CondaRoot
from envc_solvers.target import PLATFORMS, default_target

NOARCH = "noarch"  # accepted as a platform: noarch packages, on a machine without virtual packages
DEFAULT_CHANNELS = ("conda-forge",)


class CondaQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The options as given."""

    platform: str
    specs: tuple[str, ...]
    channels: tuple[str, ...] = ()  # names, paths or URLs, by priority; () is the default channel
    priority: ChannelPriority = "strict"
    virtual: tuple[str, ...] = ()  # if there are any, the machine has these and no others
    exclude_newer: str | None = None
    constraints: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()


def parse_conda_query(query: CondaQuery, channels: Iterable[str], now: datetime) -> CondaProblem:
    """The problem that the options describe. `channels` are the names of its channels. Raises UsageError."""
    if query.platform != NOARCH and query.platform not in PLATFORMS:
        from envc.locking.manifest.report import suggest_name

        near = suggest_name(query.platform, PLATFORMS)
        raise UsageError(f"--platform {query.platform}: there is no such platform", near or ", ".join(PLATFORMS))
    return CondaProblem(
        target=query.platform,
        specs=_roots("--conda", query.specs),
        channels=tuple(channels),
        priority=query.priority,
        virtual=_machine(query),
        constraints=_roots("--constraint", query.constraints),
        overrides=_roots("--override", query.overrides),
        exclude_newer=_cutoff(query.exclude_newer, now),
    )


def _roots(option: str, texts: Iterable[str]) -> tuple[CondaRoot, ...]:
    found = []
    for text in texts:
        try:
            spec = parse_matchspec(text)
        except InvalidMatchSpec as error:
            raise UsageError(redact(f"{option} {text}: {error.reason}"), 'such as "numpy >=1.26,<3"') from None
        found.append(CondaRoot(spec, " ".join(text.split()), (option,)))
    return tuple(found)


def _machine(query: CondaQuery) -> tuple[Record, ...]:
    if not query.virtual:
        return virtual_packages(default_target(query.platform)) if query.platform != NOARCH else ()
    found = {}
    for text in query.virtual:
        try:
            record = parse_virtual_package(text)
        except ValueError as error:
            raise UsageError(f"--virtual-package {text}: {error}", "write __glibc=2.28 or __cuda=12.4") from None
        found[record.name] = record
    return tuple(found[name] for name in sorted(found))


def _cutoff(text: str | None, now: datetime) -> int | None:
    if text is None:
        return None
    from envc.locking.manifest.cutoffs import BadCutoff, parse_cutoff

    try:
        value = parse_cutoff(text)
    except BadCutoff as error:
        raise UsageError(f"--exclude-newer {text}: {error}", error.suggestion) from None
    return int((now - value if isinstance(value, timedelta) else value).timestamp())
