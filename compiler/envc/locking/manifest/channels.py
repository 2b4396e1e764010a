"""Channels that no source declares: names of public channels, URLs and paths, as ``solve --channel`` takes them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from envc.fetch.conda.channel_locations import DEFAULTS, default_channels, is_place, public_name
from envc.fetch.net.urls import TOKEN_HINT, holds_token, redact, url_mistake
from envc.locking.manifest.paths import path_mistake
from envc.locking.manifest.report import Report
from envc.locking.manifest.sources import BUILT_IN
from envc.model.kinds import DIRECT_SOURCES, SourceKind
from envc.model.manifest import KeyPath, Source
from envc_solvers.nearest import nearest_name

_PUBLIC = r"(?a:[A-Za-z0-9_][\w.-]*(?:/[A-Za-z0-9_][\w.-]*)*)"
_LONGEST = 100  # characters of a name
_DECLARE = "declare it as a source with another name and this `url`, and list that name"


def read_channels(
    report: Report, texts: Iterable[str], declared: Mapping[str, SourceKind | None], platforms: Collection[str]
) -> tuple[tuple[str, ...], dict[str, Source]]:
    """The names of all channels in order, and a source for each that is not declared. Mistakes are reported.

    The name of a channel is its own, for a URL or path the last part. A lock holds only these names.
    """
    names: list[str] = []
    found: dict[str, Source] = {}
    written: set[str] = set()
    for index, text in enumerate(texts):
        at: KeyPath = ("project", "channels", index)
        if text in written:
            report.add(at, f"{redact(text)!r} is listed twice")
            continue
        written.add(text)
        if text in declared or text in BUILT_IN:
            names.append(text)
        elif text == DEFAULTS:
            for name in default_channels(platforms):
                names.append(name)
                found[name] = Source(name=name, kind="conda")
            found[DEFAULTS] = Source(name=DEFAULTS, kind="conda")
        else:
            mistakes = list(_mistakes(text, declared))
            for mistake, suggestion in mistakes:
                report.add(at, mistake, suggestion)
            source = _source(text)
            if mistakes:
                continue
            name = source.name
            if name in declared or name in DIRECT_SOURCES or name in found or (name in names and source.url):
                report.add(at, f"the name of this channel would be {name!r}, which is another source", _DECLARE)
                continue
            names.append(name)
            if source.url is not None or name not in BUILT_IN:
                found[name] = source
    return tuple(names), found


def _source(text: str) -> Source:
    public = public_name(text)
    if public:
        return Source(name=public, kind="conda")
    plain = text.partition("#")[0].partition("?")[0].rstrip("/") if "://" in text else text.rstrip("/")
    return Source(name=plain.rpartition("/")[2], kind="conda", url=plain)


def _mistakes(text: str, declared: Mapping[str, SourceKind | None]) -> Iterator[tuple[str, str | None]]:
    """What is wrong with a channel that no source declares, and a suggestion."""
    if holds_token(text):
        yield "holds a token, which a manifest must not", TOKEN_HINT
        return
    if "://" in text:
        mistake = url_mistake(text, frozenset({"http", "https", "file"}))
    elif is_place(text):
        mistake = path_mistake(text)
    else:
        mistake = None
        channels = [name for name, kind in {**BUILT_IN, **declared}.items() if kind in ("conda", None)]
        near = nearest_name(text.casefold(), channels)
        if not re.fullmatch(_PUBLIC, text) or len(text) > _LONGEST:
            mistake = (
                f"{text[:120]!r} is not a channel",
                "write a source, the name of a public channel, a URL or ./path",
            )
        elif near is not None:
            # A mistake in the name of an internal channel must not lead to a public one that somebody else owns.
            mistake = (
                f"there is no source {text!r}",
                f"did you mean {near!r}? A public channel with this name can be written as a URL",
            )
    if mistake is not None:
        yield mistake
    elif not re.fullmatch(_PUBLIC, _source(text).name) or _source(text).name.endswith("."):
        yield f"{text[:120]!r} has no name that a lock can use", _DECLARE
