"""Facts about artifacts: metadata, and digest and size if no page states them. Each is determined once and cached.

A page may list the file of another source under its right digest, with metadata of its own. So metadata is kept with
what proves it (`Proof`), and serves another source only if that source states the same digest of the metadata, or if it
was read from the verified file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from envc.errors import OfflineMiss, SourceUnreachable
from envc.fetch.artifacts import Artifacts
from envc.fetch.cache.index_cache import Broken, Cache, Proof
from envc.fetch.context import FetchContext
from envc.fetch.pypi.listing import ListedFile
from envc.fetch.pypi.pages import Pages
from envc.fetch.pypi.source_locations import SourceLocation
from envc.model.digest import Sha256, parse_sha256
from envc.model.progress import Task
from envc.system.once import Once
from envc_solvers.errors import MetadataUnusable
from envc_solvers.pypi.language.index import File
from envc_solvers.pypi.language.requirement import Metadata


class Facts:
    """Facts about the files that pages list. Thread-safe."""

    def __init__(
        self,
        locations: Mapping[str, SourceLocation],
        pages: Pages,
        cache: Cache,
        artifacts: Artifacts,
        context: FetchContext,
        task: Task,
    ) -> None:
        self._locations = locations
        self._pages = pages
        self._cache = cache
        self._artifacts = artifacts
        self._client = context.client
        self._offline = context.offline
        self._refresh = context.refresh
        self._task = task
        self._metadata: Once[tuple[str, str, str, str], Metadata] = Once()
        self._identities: Once[tuple[str, str, str], tuple[Sha256, int]] = Once()

    def metadata(self, source: str, project: str, file: File) -> Metadata:
        """The metadata of a listed file.

        Raises MetadataUnusable if the file's own metadata is broken; SourceUnreachable, OfflineMiss, DigestMismatch.
        """
        key = (source, file.name, file.sha256, file.metadata)
        return self._metadata.get(key, lambda: self._find_metadata(source, project, file))

    def identify(self, source: str, project: str, file: File) -> tuple[Sha256, int]:
        """The sha256 and size in bytes of a listed file, determined from the file if its page does not state them.

        Without a stated digest the whole file is downloaded, and stays in the cache. Raises SourceUnreachable,
        OfflineMiss, Unwritable.
        """
        if file.sha256 and file.size:
            return parse_sha256(file.sha256), file.size
        key = (source, project, file.name)
        return self._identities.get(key, lambda: self._find_identity(source, project, file))

    def obtain(self, source: str, project: str, file: File) -> tuple[Path, Sha256, int]:
        """A listed file, downloaded: path, digest and size in bytes. Errors as for `identify`, and DigestMismatch."""
        if file.sha256 and (cached := self._artifacts.cached(parse_sha256(file.sha256), file.name)) is not None:
            return cached, parse_sha256(file.sha256), cached.stat().st_size
        return self._artifacts.obtain(source, self._listed(source, project, file, "the file"))

    def _find_metadata(self, source: str, project: str, file: File) -> Metadata:
        artifact = file.sha256 or self.identify(source, project, file)[0]
        known = self._known_metadata(source, file, artifact)
        if isinstance(known, Broken) and not self._refresh:
            raise MetadataUnusable(file.name, known.reason)
        if isinstance(known, Metadata):
            return known
        listed = self._listed(source, project, file, "the metadata of")
        metadata, proof = self._read_metadata(source, listed, artifact)
        self._cache.save_metadata(proof, metadata)
        if isinstance(metadata, Broken):
            raise MetadataUnusable(file.name, metadata.reason)
        return metadata

    def _known_metadata(self, source: str, file: File, artifact: str) -> Metadata | Broken | None:
        """The cached metadata that a file of that source may use."""
        if file.metadata:
            known = self._cache.metadata(Proof("stated", file.name, file.metadata))
            if known is not None:
                return known
        if not self._refresh:  # a refresh asks again for what the source merely claims
            # Claims are looked up first because they are the most frequent. They go when the file itself is read.
            known = self._cache.metadata(Proof("claim", file.name, artifact, self._locations[source].key))
            if known is not None:
                return known
        return self._cache.metadata(Proof("artifact", file.name, artifact))

    def _read_metadata(self, source: str, listed: ListedFile, artifact: str) -> tuple[Metadata | Broken, Proof]:
        """The metadata, or why it cannot be used, with what proves it."""
        # Imported here: a run that finds everything in the cache needs none of this.
        from envc.fetch.pypi.metadata import parse_metadata
        from envc.fetch.pypi.remote import NoShortcut, remote_metadata
        from envc.fetch.pypi.wheel_metadata import read_metadata_file

        file = listed.file.name
        proof = Proof("claim", file, artifact, self._locations[source].key)
        data: bytes | None = None
        try:
            if listed.file.sha256 and not listed.url.startswith("file:"):
                self._task.grow(1)
                try:
                    data, is_stated = remote_metadata(self._client, source, listed, self._locations[source].missing)
                    if is_stated:
                        proof = Proof("stated", file, listed.file.metadata)
                except NoShortcut:
                    pass
                finally:
                    self._task.advance()
            if data is None:
                path, digest = self._artifacts.cached(parse_sha256(artifact), file), artifact
                if path is None:
                    path, digest, _ = self._artifacts.obtain(source, listed)
                proof = Proof("artifact", file, digest)
                data = read_metadata_file(path)
            return parse_metadata(file, data), proof
        except MetadataUnusable as error:
            return Broken(error.reason), proof
        except ValueError as error:
            return Broken(str(error)), proof

    def _find_identity(self, source: str, project: str, file: File) -> tuple[Sha256, int]:
        from envc.fetch.pypi.remote import NoShortcut, remote_size

        location = self._locations[source]
        # A local file may change at any time. A remote file stays the same while the content of its page does.
        generation = (
            "" if location.is_local or location.kind != "pypi" else self._pages.state(source, project).generation
        )
        # A page that states no digest stays the same if its file is replaced, so a refresh asks for the file again.
        if generation and (file.sha256 or not self._refresh):
            known = self._cache.digest(location.key, project, file.name, generation)
            if known is not None and file.sha256 in ("", known[0]):
                return parse_sha256(known[0]), known[1]
        listed = self._listed(source, project, file, "the digest of")
        found: tuple[Sha256, int] | None = None
        if listed.file.sha256 and not listed.url.startswith("file:"):
            try:
                found = parse_sha256(listed.file.sha256), remote_size(self._client, source, listed)
            except NoShortcut:
                pass
        sha256, size = found or self._artifacts.obtain(source, listed)[1:]
        if generation:
            self._cache.save_digest(location.key, project, file.name, generation, sha256, size)
        return sha256, size

    def _listed(self, source: str, project: str, file: File, purpose: str) -> ListedFile:
        """The file with its URL, for a request to its source. Raises OfflineMiss if requests are forbidden."""
        listed = self._pages.find(source, project, file.name, file.sha256)
        if listed is None:
            raise SourceUnreachable(source, f"{purpose} {file.name}", "its page no longer lists that file")
        if self._offline and not listed.url.startswith("file:"):
            raise OfflineMiss(f"{purpose} {file.name}")
        return listed
