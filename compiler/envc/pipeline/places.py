"""The lines of the manifest that messages name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from envc.errors import LocatedError
from envc.locking.plan.freshness import Reason
from envc.locking.plan.project import Project
from envc.model.manifest import KeyPath, Manifest


class ManifestLines:
    """The lines of a manifest's keys. The constructor reads the manifest again, so use it only for a message."""

    def __init__(self, manifest: Manifest) -> None:
        from envc.locking.manifest.positions import Positions

        self._prefix = manifest.prefix
        text = manifest.path.read_text(encoding="utf-8-sig") if manifest.unsaved is None else manifest.unsaved
        self._positions = Positions(text)

    def __call__(self, at: KeyPath) -> int | None:
        """The line of a key, or of an item of an array, from 1; None if the manifest does not contain it."""
        position = self._positions.of((*self._prefix, *at)) if at else None
        return position[0] if position is not None else None


@contextmanager
def located(manifest: Manifest) -> Iterator[None]:
    """Give errors of the body that name places in the manifest access to its line numbers."""
    try:
        yield
    except LocatedError as error:
        error.line_of = ManifestLines(manifest)
        raise


def reasons(project: Project) -> tuple[Reason, ...]:
    """Why the lock is out of date, sorted, with the lines of the manifest."""
    return with_lines(project.manifest, project.freshness.reasons) if project.freshness is not None else ()


def with_lines(manifest: Manifest, reasons: tuple[Reason, ...]) -> tuple[Reason, ...]:
    """The reasons with the lines of the manifest that they name."""
    if not any(reason.at for reason in reasons):
        return reasons
    line_of = ManifestLines(manifest)
    return tuple(msgspec.structs.replace(reason, line=line_of(reason.at)) for reason in reasons)
