"""``envc bundle``: find the closures of the selected step-targets, then pack them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from envc.context import Context
from envc.errors import UsageError
from envc.locking.plan.closure import Closures
from envc.locking.plan.project import Project, Selection, select
from envc.model.digest import Sha256
from envc.model.lock_lines import Extra
from envc.pipeline.project import require_fresh_lock, require_lock, store_of, warn_of_yanked

if TYPE_CHECKING:
    from envc.shipping.deliver.pack import Bundled


class BundleRequest(msgspec.Struct, frozen=True, kw_only=True):
    selection: Selection = Selection()  # the step-targets to bundle, and the store
    level: int = 9  # of zstd
    trust_store: bool = False  # use objects that other machines made without deriving them again
    repair: bool = False  # read what the store has for the steps, and make again what is damaged
    record: bool = False  # write content digests into the lock, which hydrate then requires


def _requested(closures: Closures, step: str) -> frozenset[Extra]:
    """The extras that the locked requirements of a step request."""
    locked = closures.locked(step)
    return frozenset(extra for one in locked.requires for extra in one.extras) if locked is not None else frozenset()


def bundle(project: Project, request: BundleRequest, context: Context) -> Bundled:
    """closure → pack: write verified artifacts to the store; with `record`, write their content digests to the lock.

    Raises UsageError, NoLock, StaleLock, and the errors of `shipping.deliver.pack`.
    """
    from envc.locking.worktree.code import code_entries
    from envc.shipping.deliver.pack import BundleRequest as PackRequest
    from envc.shipping.deliver.pack import StepBundle, pack
    from envc.shipping.deliver.reuse import Ledger

    if request.record and request.trust_store:
        raise UsageError("--record needs objects derived here, and --trust-store skips that", "leave out one of them")
    manifest = project.manifest
    # With --frozen a lock may be stale or contain conflict markers. Nothing is written into such a lock.
    graph = require_fresh_lock(project) if request.record else require_lock(project, request.selection)
    read = project.lock or b""
    closures = Closures(graph)
    step_targets = select(project, request.selection)
    warn_of_yanked(graph, context, step_targets)
    code = {
        globs: code_entries(manifest.root, globs)
        for globs in {manifest.steps[step_target.step].code for step_target in step_targets}
    }
    packing = PackRequest(
        project=manifest.name,
        lock=read,
        steps=tuple(
            StepBundle(
                step=step_target.step,
                target=step_target.target.name,
                environment=closures.environment(step_target),
                code=code[manifest.steps[step_target.step].code],
                extras=_requested(closures, step_target.step),
                run=manifest.steps[step_target.step].run,
                shell=manifest.steps[step_target.step].shell,
                env=manifest.steps[step_target.step].env,
            )
            for step_target in step_targets
        ),
        level=request.level,
        trust_store=request.trust_store,
        repair=request.repair,
    )

    def relock(contents: Mapping[tuple[Sha256, str], Sha256]) -> bytes:
        from envc.locking.lockfile.contents import with_contents
        from envc.locking.lockfile.dump import dumps
        from envc.locking.lockfile.save import save_text

        text = dumps(with_contents(graph, contents))
        save_text(text, manifest.lock_path, before=read)
        return text.encode()

    store = store_of(project, request.selection, context)
    from envc.locking.resolve.open import open_artifacts

    kinds = {member.kind for step in packing.steps for member in step.environment.members}
    with open_artifacts(manifest, project.step_targets, graph, context, kinds) as artifacts:
        return pack(
            packing,
            store,
            artifacts,
            ledger=Ledger(context.cache / "derived", strict=manifest.policy.record == "strict"),
            progress=context.progress,
            relock=relock if request.record else None,
        )
