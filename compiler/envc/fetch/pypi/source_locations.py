"""The locations of the sources of a manifest: URL and cache key of each. Credentials are kept separately."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import msgspec

from envc.errors import UsageError
from envc.fetch.net.credentials import Keyring, split_credentials
from envc.fetch.net.settings import FetchSettings, is_usable
from envc.model.digest import short_digest
from envc.model.manifest import Source


class SourceLocation(msgspec.Struct, frozen=True):
    """A source with its URL."""

    name: str  # the only field that may be shown
    key: str  # in the cache: "default", or name and digest of the URL without credentials
    kind: Literal["pypi", "find-links"]
    url: str | None  # without credentials and trailing slash; None: the default index, looked up when it is needed
    projects: tuple[str, ...] = ()  # globs over normalised names
    missing: tuple[int, ...] = ()  # statuses of pages that mean "does not have it", like 404

    @property
    def is_local(self) -> bool:
        return self.url is not None and self.url.startswith("file:")

    def page_url(self, project: str) -> str:
        """The URL of a project's page. A find-links source has one page for all projects."""
        url = self.url or default_index_url()
        return url if self.kind == "find-links" else f"{url}/{quote(project)}/"


def resolve_sources(
    sources: Mapping[str, Source], settings: FetchSettings, keyring: Keyring, root: Path | None = None
) -> dict[str, SourceLocation]:
    """The locations of all sources of PyPI projects, by name. Their credentials are added to the keyring.

    Paths are relative to `root`, or to the working directory. Raises UsageError for a URL that envc cannot read from.
    """
    locations = {}
    for name, source in sources.items():
        if source.kind == "conda":
            continue
        url = source.url if source.url is not None else settings.index_url
        if url is None:
            key = "-".join(("default", *map(str, source.missing)))
            locations[name] = SourceLocation(name, key, source.kind, None, source.projects, source.missing)
            continue
        if "://" not in url:
            url = Path(root or "", url).absolute().as_uri()
        if not is_usable(url):
            raise UsageError(
                f"the url of source {name} cannot be used", "write https://…, http://…, file://… or a path"
            )
        plain, login = split_credentials(url)
        plain = plain.partition("#")[0].rstrip("/")
        keyring.declare(name, plain, login, origin=settings.index_origin if source.url is None else "its URL")
        if source.kind == "find-links" and not plain.startswith("file:"):
            plain += "/" if url.partition("#")[0].endswith("/") else ""
        # With other statuses, cached answers have another meaning.
        key = "-".join((name, short_digest(plain), *map(str, source.missing)))
        locations[name] = SourceLocation(name, key, source.kind, plain, source.projects, source.missing)
    return locations


@cache
def default_index_url() -> str:
    """The URL of the default index, from unearth. Takes 0.2 s, because unearth imports an HTTP client."""
    from unearth import PackageFinder

    return str(PackageFinder().sources[0]["url"]).rstrip("/")
