"""An index that records its answers, so that an explanation can search again without fetching anything."""

from __future__ import annotations

from collections.abc import Iterable

from envc_solvers.errors import MetadataUnusable, ProjectNotFound
from envc_solvers.pypi.language.index import File, Index, View
from envc_solvers.pypi.language.requirement import Metadata, Requirement


class NotRecorded(Exception):
    """A trial search needs something that was not recorded."""


class RecordedIndex:
    """Records the answers of another index. Once `closed`, it replays them and raises NotRecorded for anything new."""

    __slots__ = ("_index", "_metadata", "_views", "closed")

    def __init__(self, index: Index) -> None:
        self._index = index
        self._views: dict[str, View | ProjectNotFound] = {}
        self._metadata: dict[tuple[str, str], Metadata | MetadataUnusable] = {}
        self.closed = False

    def view(self, name: str) -> View:
        known = self._views.get(name)
        if known is None:
            if self.closed:
                raise NotRecorded(name)
            try:
                known = self._index.view(name)
            except ProjectNotFound as error:
                known = error
            self._views[name] = known
        if isinstance(known, ProjectNotFound):
            raise known
        return known

    def metadata(self, view: View, file: File) -> Metadata:
        key = view.name, file.name
        known = self._metadata.get(key)
        if known is None:
            if self.closed:
                raise NotRecorded(file.name)
            try:
                known = self._index.metadata(view, file)
            except MetadataUnusable as error:
                known = error
            self._metadata[key] = known
        if isinstance(known, MetadataUnusable):
            raise known
        return known

    def files(self, name: str) -> tuple[File, ...]:
        return self._index.files(name)

    def expect(self, requirements: Iterable[Requirement]) -> None:
        if not self.closed:
            self._index.expect(requirements)

    def expect_metadata(self, view: View, files: Iterable[File]) -> None:
        if not self.closed:
            self._index.expect_metadata(view, files)
