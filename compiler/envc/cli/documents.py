"""The JSON that verbs write, with one type for each document. The schemas are generated from these types."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from envc.locking.plan.freshness import Reason
from envc.locking.review.changes import Change
from envc.locking.review.passed_over import PassedOverPackage, of_graph
from envc.locking.review.pythons import ChosenPython
from envc.locking.review.yanked import YankedPackage, yanked
from envc.model.digest import Sha256
from envc.model.record import StepPointer
from envc_solvers.origin import render_key_path

if TYPE_CHECKING:
    from pathlib import Path

    from envc.model.graph import LockGraph
    from envc.pipeline.edit import EditOutcome
    from envc.pipeline.lock import LockOutcome
    from envc.shipping.deliver.pack import Bundled
    from envc.shipping.deliver.ship import Shipped


class LockedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The output of ``envc lock --json``."""

    lock: str  # path of the lock file
    changed: bool
    written: bool
    environments: int
    packages: int
    solved: int  # solver runs
    changes: tuple[Change, ...]
    pythons: tuple[ChosenPython, ...]  # of the steps, in the order of the manifest
    left: tuple[Reason, ...]  # why the lock is still out of date for step-targets that were not selected
    yanked: tuple[YankedPackage, ...]  # sorted
    passed_over: tuple[PassedOverPackage, ...]  # newer releases that were not chosen, sorted

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
            pythons=outcome.pythons,
            left=outcome.left,
            yanked=yanked(outcome.graph),
            passed_over=outcome.passed_over,
        )


class InitDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The output of ``envc init --json``."""

    manifest: str  # path of the file that was written


class ListedStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step, as ``envc run`` lists it."""

    step: str
    run: str | None  # words as they are quoted for a shell; with `shell`, the text for one
    shell: bool
    needs: tuple[str, ...]


class StepsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The output of ``envc run --json``, which lists the steps."""

    steps: tuple[ListedStep, ...]  # in the order of the manifest


class EditedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The output of ``envc add --json`` and ``envc remove --json``."""

    manifest: str  # its path
    table: str  # the key path of the table that was edited: "steps.train"
    entries: tuple[str | dict[str, str], ...]  # as they were added, or the names that were removed
    written: bool
    locked: LockedDocument | None  # None with --no-lock

    @classmethod
    def of(cls, outcome: EditOutcome) -> EditedDocument:
        return cls(
            manifest=str(outcome.path),
            table=render_key_path(outcome.table),
            entries=outcome.entries,
            written=outcome.written,
            locked=LockedDocument.of(outcome.locked) if outcome.locked is not None else None,
        )


class HydratedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The output of ``envc hydrate --json``."""

    prefix: str  # its path
    made: bool  # whether this command made it


class CheckedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The output of ``envc lock --check --json`` for a lock that is up to date."""

    lock: str  # path of the lock file
    stale: tuple[Reason, ...]  # always empty
    yanked: tuple[YankedPackage, ...]  # sorted
    passed_over: tuple[PassedOverPackage, ...]  # newer releases that the lock does not have, sorted

    @classmethod
    def of(cls, path: Path, graph: LockGraph) -> CheckedDocument:
        return cls(lock=str(path), stale=(), yanked=yanked(graph), passed_over=of_graph(graph))


class BundledStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step on one target, as it is in the store after the run."""

    step: str
    target: str
    pointer: StepPointer


class BundleOutput(msgspec.Struct, frozen=True, kw_only=True):
    """A single-file bundle."""

    file: str  # absolute path
    size: int  # bytes
    sha256: Sha256  # of the whole file


class BundleDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The output of ``envc bundle --json``."""

    store: str  # a folder, or a URL without credentials
    size: int  # bytes of all objects of these steps in the store
    lock: Sha256  # digest of the lock file, which is part of the keys of the pointers
    steps: tuple[BundledStep, ...]  # sorted
    made: tuple[str, ...]  # files whose objects were derived in this run, sorted
    output: BundleOutput | None  # None without --output

    @classmethod
    def of(cls, bundled: Bundled, shipped: Shipped | None) -> BundleDocument:
        return cls(
            store=bundled.store,
            size=sum(bundled.sizes.values()),
            lock=bundled.lock,
            steps=tuple(
                BundledStep(step=step, target=target, pointer=pointer)
                for (step, target), pointer in sorted(bundled.pointers.items(), key=lambda item: item[0])
            ),
            made=tuple(sorted(member.file for member in bundled.made)),
            output=BundleOutput(file=str(shipped.path), size=shipped.size, sha256=shipped.sha256) if shipped else None,
        )


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A failure. Further keys depend on the code; the code of an unexpected failure is "internal"."""

    code: str  # stable: "unsolvable", "stale-lock", "manifest", …
    message: str
    hint: str | None


class ErrorDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The output of every verb with ``--json`` when it fails."""

    error: Failure
