"""Pages of projects, from the cache while they are fresh, otherwise from the source; each at most once per process."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial

import msgspec

from envc.errors import OfflineMiss, SourceUnreachable, UsageError
from envc.fetch.cache.index_cache import Cache, PageState
from envc.fetch.context import FetchContext
from envc.fetch.net.http import Reply, max_age
from envc.fetch.net.urls import local_path
from envc.fetch.pypi.listing import ACCEPT, ListedFile, Listing, list_folder, listed, parse_page
from envc.fetch.pypi.source_locations import SourceLocation
from envc.model.digest import sha256
from envc.model.limits import PAGE_BYTES
from envc.model.progress import Task
from envc.system.once import Once
from envc.system.regular_file import open_regular
from envc_solvers.pypi.language.index import View
from envc_solvers.pypi.language.tags import Tags, rank_names, tag_key, version_of, wheel_tags
from envc_solvers.target import Python, Target

_REMOVED = "removed"  # the generation of a page that was answered with 410
_FLAT = ""  # the project name under which a find-links page is cached
_NOTHING = Listing("", ())
_SDISTS = (".tar.gz", ".zip")


class Pages:
    """The pages of all sources. Thread-safe."""

    def __init__(
        self,
        locations: Mapping[str, SourceLocation],
        cache: Cache,
        context: FetchContext,
        task: Task,
    ) -> None:
        self._locations = locations
        self._cache = cache
        self._client = context.client
        self._now = context.now  # seconds since the epoch
        self._offline = context.offline
        self._refresh = context.refresh
        self._task = task
        self._states: Once[tuple[str, str], PageState] = Once()
        self._views: Once[tuple[str, str, str], View | None] = Once()
        self._listings: dict[tuple[str, str], Listing] = {}
        self._progress = context.progress
        self._odd: set[str] = set()  # sources of whose pages a warning was shown

    def view(self, source: str, project: str, target: Target, python: Python) -> View | None:
        """The project with the files that those wheel tags allow; None if the source does not know it.

        Raises SourceUnreachable, and OfflineMiss if requests are forbidden.
        """
        tags = tag_key(target, python)
        return self._views.get((source, project, tags), lambda: self._view(source, project, tags, target, python))

    def _view(self, source: str, project: str, tags: str, target: Target, python: Python) -> View | None:
        location = self._location(source)
        if location.kind == "find-links":
            listing = self.listing(source, project)
            return _rank(project, source, listing, wheel_tags(target, python)) if listing.entries else None
        known = self._cache.view(location.key, project, tags)
        if known is not None and self._is_fresh(location, known[0]):
            state, view = known
        else:
            state, view = self.state(source, project), None
            if known is not None and known[0].generation == state.generation:
                view = known[1]
        if not state.generation:
            return None
        if view is None:
            listing = self.listing(source, project)
            view = _rank(project, source, listing, wheel_tags(target, python))
            self._cache.save_view(location.key, tags, state.generation, view)
        return view

    def knows(self, source: str, project: str) -> bool:
        """Whether a source knows a project, even if it lists no files for it. Errors as for `view`."""
        if self._location(source).kind == "find-links":
            return bool(self.listing(source, project).entries)
        return bool(self.state(source, project).generation)

    def listing(self, source: str, project: str) -> Listing:
        """Every file of a project, in the order of its page; empty if the source does not know it."""
        location = self._location(source)
        if location.kind == "find-links":
            everything = self._all(location)
            own = tuple(entry for entry in everything.entries if _belongs(entry.filename, project))
            return Listing(everything.url, own)
        state = self.state(source, project)
        return self._stored(location, project) if state.generation else _NOTHING

    def find(self, source: str, project: str, file: str, sha256: str) -> ListedFile | None:
        """A file by name and digest, from the cached page whatever its age, otherwise from a fresh page.

        An old page is good enough, since the digest identifies the file.
        """
        location = self._location(source)
        if location.kind == "pypi" and not location.is_local and (location.name, project) not in self._states:
            state = self._cache.page(location.key, project)
            if state is not None and state.generation:
                found = _pick(self._stored(location, project), file, sha256)
                if found is not None:
                    return found
        return _pick(self.listing(source, project), file, sha256)

    def digests(self, source: str, project: str, file: str) -> tuple[str, ...]:
        """The sha256 digests under which a page lists a file, sorted; without those that are not stated."""
        listing = self.listing(source, project)
        entries = (listed(entry, listing.url) for entry in listing.entries if entry.filename == file)
        return tuple(sorted({entry.file.sha256 for entry in entries if entry is not None and entry.file.sha256}))

    def state(self, source: str, project: str) -> PageState:
        """The fresh state of a page. Its generation is "" if the source does not know the project."""
        return self._states.get((source, project), lambda: self._state(self._location(source), project))

    def _state(self, location: SourceLocation, project: str) -> PageState:
        state = self._cache.page(location.key, project)
        if state is not None and self._is_fresh(location, state):
            return state
        if self._offline and not location.is_local:
            raise OfflineMiss(f"the page of {project or location.name}")
        return self._fetch(location, project, state)

    def _fetch(self, location: SourceLocation, project: str, old: PageState | None) -> PageState:
        what = f"the page of {project}" if project else "its page"
        url = location.page_url(project)
        if location.is_local:
            reply = _read_local(url, location, what)
        else:
            self._task.grow(1)
            headers = {"Accept": ACCEPT}
            if old is not None and old.generation and old.etag:
                headers["If-None-Match"] = old.etag
            elif old is not None and old.generation and old.modified:
                headers["If-Modified-Since"] = old.modified
            try:
                reply = self._client.get(
                    location.name, what, url, limit=PAGE_BYTES, headers=headers, missing=location.missing
                )
            except SourceUnreachable as error:
                if location.kind == "pypi" and not location.projects and error.status is not None:
                    from envc.fetch.net.refused_logins import with_missing

                    error.hint = with_missing(error.hint or "", error.status, location.name, projects=True)
                raise
            self._task.advance()
        age = max_age(reply.headers)
        if reply.status == 304 and old is not None:
            state = msgspec.structs.replace(old, fetched_at=self._now, max_age=age)
            self._cache.save_page(location.key, project, state)
            return state
        if reply.status == 404:
            state = PageState("", "", "", self._now, age)
            self._cache.save_page(location.key, project, state)
            return state
        if reply.status == 410 and location.kind == "pypi":
            # Only a 404 means that a source does not know a project. This one had it, and now lists no files.
            state = PageState(_REMOVED, "", "", self._now, age)
            self._listings[location.key, project] = _NOTHING
            self._cache.save_page(location.key, project, state, _NOTHING)
            return state
        if reply.status != 200:
            raise SourceUnreachable(location.name, what, f"unexpected HTTP {reply.status}")
        etag, modified = reply.headers.get("etag", ""), reply.headers.get("last-modified", "")
        # The generation is derived from the content, so an unchanged page is not parsed again, even without validators.
        state = PageState(sha256(reply.body)[:20], etag, modified, self._now, age)
        if old is not None and old.generation == state.generation:
            self._cache.save_page(location.key, project, state)
            return state
        try:
            note = partial(self._note, location.name)
            listing = parse_page(reply.body, reply.headers.get("content-type", ""), reply.url, note)
        except ValueError as error:
            raise SourceUnreachable(location.name, what, str(error)) from None
        self._listings[location.key, project] = listing
        self._cache.save_page(location.key, project, state, listing)
        return state

    def _note(self, source: str, file: str, key: str) -> None:
        """Warn once for each source about keys that count as absent."""
        if source not in self._odd:
            self._odd.add(source)
            self._progress.warn(
                f"{source} states for {file[:100]} a {key} that the specification does not allow; "
                "such keys count as absent"
            )

    def _location(self, source: str) -> SourceLocation:
        try:
            return self._locations[source]
        except KeyError:
            raise UsageError(
                f"there is no source {source} that holds PyPI projects",
                f"declare [sources.{source}] in the manifest again, or lock again without it",
            ) from None

    def _is_fresh(self, location: SourceLocation, state: PageState) -> bool:
        if location.is_local:
            return False  # reading the file costs no more than reading the cache, and is always right
        if self._offline:
            return True
        # If the clock was set back, the time of a page may be in the future. It then expires after the same interval.
        return not self._refresh and abs(self._now - state.fetched_at) < state.max_age

    def _all(self, location: SourceLocation) -> Listing:
        if location.is_local:
            folder = local_path(location.url or "")
            if folder.is_dir():
                try:
                    return list_folder(folder)
                except OSError as error:
                    raise SourceUnreachable(location.name, "its files", error.strerror or "unreadable") from None
        state = self.state(location.name, _FLAT)
        return self._stored(location, _FLAT) if state.generation else _NOTHING

    def _stored(self, location: SourceLocation, project: str) -> Listing:
        """The files of a page: from memory, else from the cache, or from the source if the cached row is damaged."""
        listing = self._listings.get((location.key, project))
        if listing is None:
            listing = self._cache.listing(location.key, project)
            if listing is None:
                if self._offline and not location.is_local:
                    raise OfflineMiss(f"the page of {project or location.name}")
                self._fetch(location, project, None)
                listing = self._listings.get((location.key, project), _NOTHING)
            self._listings[location.key, project] = listing
        return listing


def _rank(project: str, source: str, listing: Listing, tags: Tags) -> View:
    return rank_names(project, source, [entry.filename for entry in listing.entries], listing.at, tags)


def _pick(listing: Listing, file: str, sha256: str) -> ListedFile | None:
    for entry in listing.entries:
        if entry.filename == file:
            found = listed(entry, listing.url)
            if found is not None and found.file.sha256 in (sha256, ""):
                return found
    return None


def _belongs(file: str, project: str) -> bool:
    return file.endswith((".whl", *_SDISTS)) and version_of(file, project) is not None


def _read_local(url: str, location: SourceLocation, what: str) -> Reply:
    """The page of a source on disk: ``index.html`` in the project's folder, or a find-links page itself."""
    path = local_path(url)
    if location.kind == "pypi" or path.is_dir():
        path = path / "index.html"
    try:
        with io.BufferedReader(open_regular(path)) as file:
            body = file.read(PAGE_BYTES + 1)
        if len(body) > PAGE_BYTES:
            raise SourceUnreachable(location.name, what, f"it has more than {PAGE_BYTES:,} bytes")
        return Reply(200, {"content-type": "text/html"}, body, path.resolve().as_uri())
    except (FileNotFoundError, NotADirectoryError):
        if location.kind == "pypi" and local_path(location.url or "").is_dir():
            return Reply(404, {}, b"", url)
        raise SourceUnreachable(
            location.name, what, "there is no such folder", "correct the URL or path of that source"
        ) from None
    except OSError as error:
        raise SourceUnreachable(location.name, what, error.strerror or "unreadable") from None
