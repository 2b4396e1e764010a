"""The indexes of a run, and the `Index` of each problem.

First-index rule: the first source that knows a project supplies it, for solutions as well as for explanations. Only a
404 means that a source does not know a project. A page without files, and a 410, mean that it has the project and no
files. Any other failure ends the run: if the next source were tried instead, an attacker who disturbs the first one
could choose the source of packages.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType

import msgspec

from envc.errors import UsageError
from envc.fetch.artifacts import Artifacts, Locator
from envc.fetch.cache.index_cache import Cache
from envc.fetch.context import FetchContext
from envc.fetch.lazy_task import LazyTask
from envc.fetch.pypi.facts import Facts
from envc.fetch.pypi.pages import Pages
from envc.fetch.pypi.prefetch import Hints, Prefetcher
from envc.fetch.pypi.source_locations import resolve_sources
from envc.model.digest import Sha256
from envc.model.manifest import Source
from envc.system.workers import Workers
from envc_solvers.errors import ProjectNotFound
from envc_solvers.pypi.language.index import File, View
from envc_solvers.pypi.language.markers import Answer, Markers, environment_key, marker_environment
from envc_solvers.pypi.language.requirement import Metadata, Requirement
from envc_solvers.pypi.language.tags import wheel_tags
from envc_solvers.solution import Pin, Solution
from envc_solvers.target import Python, Target

_REQUESTS = 24  # concurrent requests while prefetching
_MAX_ANSWERS = 20_000  # markers cached per environment; beyond that only those of the last run are kept

NO_HINTS = Hints()


class SourceOrder(msgspec.Struct, frozen=True):
    """The sources that may supply the projects of a problem."""

    order: tuple[str, ...]  # source names by priority
    only: Mapping[str, str] = {}  # normalised project name → the one source that may supply it
    dedicated: tuple[str, ...] = ()  # sources that supply only projects that `only` assigns or their globs match


class Indexes:
    """The indexes of a run, to be closed at its end. Thread-safe: problems may be solved in several threads."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        context: FetchContext,
        *,
        root: Path | None = None,
        locators: Mapping[str, Locator] | None = None,
    ) -> None:
        """Paths of find-links folders are relative to `root`. `locators` as for `Artifacts`.

        Raises UsageError for a source whose URL cannot be used.
        """
        self.context = context
        self._locations = resolve_sources(sources, context.settings, context.keyring, root)
        self._cache = Cache(context.cache, context.progress, now=context.now)
        self._page_task = LazyTask(context.progress, "index pages", self._go_online)
        self._metadata_task = LazyTask(context.progress, "metadata", self._go_online)
        self._pages = Pages(self._locations, self._cache, context, self._page_task)
        self.artifacts = Artifacts(self._pages, context, locators)
        self._facts = Facts(self._locations, self._pages, self._cache, self.artifacts, context, self._metadata_task)
        self._answers: dict[str, dict[str, Answer]] = {}
        self._stored_answers: dict[str, int] = {}
        self._opened: list[ProjectIndex] = []
        self._workers = Workers(_REQUESTS, "fetch")
        self._lock = threading.Lock()
        self.is_online = False  # whether this run has sent a request

    def __enter__(self) -> Indexes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop running requests, save the values of markers, and close the context's client."""
        self._workers.stop()
        self.context.client.close()
        # A worker that is waiting for a server may run until its time-out. It then finds the cache closed, which is
        # harmless.
        self._workers.join(0.2)
        for environment, answers in self._answers.items():
            stored = self._stored_answers[environment]
            if len(answers) > stored:
                self._cache.save_answers(environment, answers, replace=stored > _MAX_ANSWERS)
        self._page_task.done()
        self._metadata_task.done()
        self._cache.close()

    def index(self, target: Target, python: Python, sources: SourceOrder, hints: Hints = NO_HINTS) -> ProjectIndex:
        """The index of one problem. Raises UsageError for an unknown source."""
        for name in (*sources.order, *sources.dedicated, *sources.only.values()):
            if name not in self._locations:
                raise UsageError(f"there is no source {name} that holds PyPI projects")
        index = ProjectIndex(self, target, python, sources, hints)
        with self._lock:
            self._opened.append(index)
        if self.is_online:
            index.start_prefetching()
        return index

    def suppliers(self, project: str, sources: SourceOrder) -> tuple[str, ...]:
        """The sources that may supply a project, by name, in the order in which they are tried."""
        if project in sources.only:
            return (sources.only[project],)
        allowed = [self._locations[name] for name in (*sources.order, *sources.dedicated)]
        claimed = [
            location.name for location in allowed if any(fnmatchcase(project, glob) for glob in location.projects)
        ]
        if claimed:
            return (claimed[0],)
        return tuple(name for name in sources.order if not self._locations[name].projects)

    def answers(self, target: Target, python: Python) -> dict[str, Answer]:
        """The known values of markers on that target, as a dict that callers may extend. `close` saves it."""
        environment = environment_key(target, python)
        with self._lock:
            if environment not in self._answers:
                self._answers[environment] = found = self._cache.answers(environment)
                self._stored_answers[environment] = len(found)
            return self._answers[environment]

    def view(self, source: str, project: str, target: Target, python: Python) -> View | None:
        """A project as one source lists it; None if the source does not know it."""
        return self._pages.view(source, project, target, python)

    def knows(self, source: str, project: str) -> bool:
        """Whether a source knows a project, even if it lists no files for it."""
        return self._pages.knows(source, project)

    def files(self, source: str, project: str) -> tuple[File, ...]:
        """Every file that a source lists for a project."""
        return tuple(item.file for item in self._pages.listing(source, project))

    def metadata(self, source: str, project: str, file: File) -> Metadata:
        """The metadata of a listed file, as `Facts.metadata`."""
        return self._facts.metadata(source, project, file)

    def identify(self, source: str, project: str, file: File) -> tuple[Sha256, int]:
        """The sha256 and size in bytes of a listed file, as `Facts.identify`."""
        return self._facts.identify(source, project, file)

    def obtain(self, source: str, project: str, file: File) -> tuple[Path, Sha256, int]:
        """A listed file, downloaded, as `Facts.obtain`."""
        return self._facts.obtain(source, project, file)

    def complete(self, solution: Solution, view: Callable[[str], View]) -> Solution:
        """The solution with the digests and sizes that no page states, determined from the files themselves."""
        if all(pin.sha256 and pin.size for pin in solution.pins):
            return solution
        pins: list[Pin] = []
        for pin in solution.pins:
            if pin.kind == "pypi" and not (pin.sha256 and pin.size):
                file = next(f for release in view(pin.name).releases for f in release.files if f.name == pin.file)
                digest, size = self.identify(pin.source, pin.name, file)
                pin = msgspec.structs.replace(pin, sha256=digest, size=size)
            pins.append(pin)
        return msgspec.structs.replace(solution, pins=tuple(pins))

    def unknown(self, name: str, sources: tuple[str, ...]) -> ProjectNotFound:
        """The error for a project that none of those sources knows."""
        # Reading the shipped list takes as long as all other imports here, and is needed for errors only.
        from envc.fetch.pypi.suggestions import nearest_project

        keys = [self._locations[source].key for source in sources]
        return ProjectNotFound(name, sources, nearest_project(name, self._cache.projects(keys)))

    @property
    def workers(self) -> Workers:
        return self._workers

    def _go_online(self) -> None:
        """Start prefetching: the first request is about to be sent, so the cache does not hold everything."""
        with self._lock:
            if self.is_online:
                return
            self.is_online = True
            indexes = list(self._opened)
        for warning in self.context.settings.warnings:
            self.context.progress.warn(warning)
        for index in indexes:
            index.start_prefetching()


class ProjectIndex:
    """The index of one problem: an `envc_solvers.pypi.language.index.Index` for its target, Python and sources."""

    def __init__(self, indexes: Indexes, target: Target, python: Python, sources: SourceOrder, hints: Hints) -> None:
        self._indexes = indexes
        self._target = target
        self._python = python
        self._sources = sources
        self._hints = hints
        self._views: dict[str, View] = {}
        self._expected: list[Requirement] = []
        self._prefetcher: Prefetcher | None = None

    def view(self, name: str) -> View:
        """The project with the files that are usable on the target. Raises ProjectNotFound if no source knows it."""
        view = self._views.get(name)
        if view is None:
            view = self.find(name)
            if view is None:
                raise self._indexes.unknown(name, self._suppliers(name))
            self._views[name] = view
        return view

    def files(self, name: str) -> tuple[File, ...]:
        """All files of a project from the source that supplies it; () if no source knows it."""
        for source in self._suppliers(name):
            if self._indexes.knows(source, name):
                return self._indexes.files(source, name)
        return ()

    def metadata(self, view: View, file: File) -> Metadata:
        """The core metadata of a file of that view. Raises MetadataUnusable if the file's own metadata is broken."""
        return self._indexes.metadata(view.source, view.name, file)

    def expect(self, requirements: Iterable[Requirement]) -> None:
        """Announce requirements that will soon be looked up. This costs next to nothing unless the run is online."""
        if self._prefetcher is not None:
            self._prefetcher.expect(requirements)
        else:
            self._expected.extend(requirements)

    def expect_metadata(self, view: View, files: Iterable[File]) -> None:
        """Announce files whose metadata will soon be read."""
        if self._prefetcher is not None:
            self._prefetcher.expect_metadata(view, files)

    def find(self, name: str) -> View | None:
        """The view from the first source that knows the project. May be called from any thread."""
        for source in self._suppliers(name):
            view = self._indexes.view(source, name, self._target, self._python)
            if view is not None:
                return view
        return None

    def metadata_of(self, view: View, file: File) -> Metadata:
        """As `metadata`, for prefetching. May be called from any thread."""
        return self._indexes.metadata(view.source, view.name, file)

    def start_prefetching(self) -> None:
        """Start a prefetcher with the requirements announced so far."""
        if self._prefetcher is None:
            wheel_tags(self._target, self._python)  # computed once here, rather than in two dozen threads
            markers = Markers(
                marker_environment(self._target, self._python), self._indexes.answers(self._target, self._python)
            )
            prefetcher = Prefetcher(self, self._indexes.workers, markers, self._python, self._hints)
            prefetcher.expect(self._expected)
            self._prefetcher = prefetcher

    def _suppliers(self, name: str) -> tuple[str, ...]:
        return self._indexes.suppliers(name, self._sources)
