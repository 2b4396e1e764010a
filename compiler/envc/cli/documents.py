"""The JSON that verbs write: one type per document, from which the schemas are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from envc.locking.plan.freshness import Reason
from envc.locking.review.changes import Change
from envc.locking.review.yanked import YankedPackage, yanked
from envc.model.digest import Sha256
from envc.model.record import StepPointer

if TYPE_CHECKING:
    from pathlib import Path

    from envc.model.graph import LockGraph
    from envc.pipeline.lock import LockOutcome
    from envc.shipping.deliver.pack import Bundled
    from envc.shipping.deliver.ship import Shipped


class LockedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``envc lock --json`` writes."""

    lock: str  # path of the lock file
    changed: bool
    written: bool
    environments: int
    packages: int
    solved: int  # solver runs
    changes: tuple[Change, ...]
    left: tuple[Reason, ...]  # why the lock is out of date beside what was selected
    yanked: tuple[YankedPackage, ...]  # sorted

    @classmethod
    def of(cls, outcome: LockOutcome) -> LockedDocument:
        return cls(
            lock=str(outcome.path),
            changed=outcome.changed,
            written=outcome.written,
            environments=len(outcome.graph.environments),
            packages=len(outcome.graph.packages),
            solved=outcome.solved,
            changes=outcome.changes,
            left=outcome.left,
            yanked=yanked(outcome.graph),
        )


class CheckedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``envc lock --check --json`` writes about a lock that is up to date."""

    lock: str  # path of the lock file
    stale: tuple[Reason, ...]  # ()
    yanked: tuple[YankedPackage, ...]  # sorted

    @classmethod
    def of(cls, path: Path, graph: LockGraph) -> CheckedDocument:
        return cls(lock=str(path), stale=(), yanked=yanked(graph))


class BundledStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step on one target, as the store knows it now."""

    step: str
    target: str
    pointer: StepPointer


class BundleOutput(msgspec.Struct, frozen=True, kw_only=True):
    """A single-file bundle."""

    file: str  # absolute path
    size: int  # bytes
    sha256: Sha256  # of the whole file


class BundleDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``envc bundle --json`` writes."""

    lock: Sha256  # digest of the lock file, under which the pointers stand
    steps: tuple[BundledStep, ...]  # sorted
    made: tuple[str, ...]  # files whose objects were derived in this run, sorted
    output: BundleOutput | None  # with --output

    @classmethod
    def of(cls, bundled: Bundled, shipped: Shipped | None) -> BundleDocument:
        return cls(
            lock=bundled.lock,
            steps=tuple(
                BundledStep(step=step, target=target, pointer=pointer)
                for (step, target), pointer in sorted(bundled.pointers.items(), key=lambda item: item[0])
            ),
            made=tuple(sorted(member.file for member in bundled.made)),
            output=BundleOutput(file=str(shipped.path), size=shipped.size, sha256=shipped.sha256) if shipped else None,
        )


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An expected failure, or the word "internal". Further keys depend on the code."""

    code: str  # stable: "unsolvable", "stale-lock", "manifest", …
    message: str
    hint: str | None


class ErrorDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What any verb writes with ``--json`` when it fails."""

    error: Failure
