"""Files of constraints and overrides at URLs. Their digests are locked; they are asked for when something is solved."""

from __future__ import annotations

from envc.context import Context
from envc.errors import DigestMismatch, OfflineMiss, UsageError
from envc.fetch.net.urls import redact
from envc.fetch.pypi.listing import ListedFile
from envc.locking.manifest.limit_files import read_limits, with_limit_files
from envc.locking.resolve.open import open_origins
from envc.model.digest import parse_sha256
from envc.model.limits import LIMIT_FILE_BYTES
from envc.model.manifest import LimitFile, Manifest
from envc_solvers.origin import render_key_path
from envc_solvers.pypi.language.index import File

_NAME = "constraints.txt"  # in the cache, where files are kept by their digest


def fetch_limit_files(manifest: Manifest, context: Context, *, take_new: bool) -> Manifest:
    """The manifest with the contents of every file at a URL.

    A file has the digest of the lock, unless `take_new` is set or the lock has none. Raises DigestMismatch,
    LimitFileError, SourceUnreachable and OfflineMiss.
    """
    with open_origins(manifest, context) as origins:

        def read(file: LimitFile) -> LimitFile:
            if not file.is_url:
                return file
            expected = "" if take_new else file.sha256
            path = origins.artifacts.cached(parse_sha256(expected), _NAME) if expected else None
            if path is None:
                if context.offline:
                    raise OfflineMiss(redact(file.place))
                what = f"the file of {render_key_path(file.at)}"
                listed = ListedFile(File(_NAME, expected), file.place)
                try:
                    path, _, _ = origins.artifacts.obtain_named("url", listed)
                except DigestMismatch as error:
                    hint = "it has changed since it was locked; `envc lock --refresh` takes the new one"
                    raise DigestMismatch(f"{what}, {redact(file.place)},", expected, error.actual, hint) from None
            if path.stat().st_size > LIMIT_FILE_BYTES:
                raise UsageError(
                    f"{redact(file.place)} is larger than {LIMIT_FILE_BYTES >> 20} MiB", "name another file"
                )
            return read_limits(file, path.read_bytes())

        return with_limit_files(manifest, read)
