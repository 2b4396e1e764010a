"""``envc bundle``: closures, then pack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from envc.context import Context
from envc.errors import UsageError
from envc.locking import lockfile
from envc.locking.plan.closure import Closures
from envc.locking.plan.project import Project, Selection, select
from envc.model.digest import Sha256
from envc.pipeline.project import check, locked, store_of, warn_of_yanked

if TYPE_CHECKING:
    from envc.shipping.deliver.pack import Bundled


class BundleRequest(msgspec.Struct, frozen=True, kw_only=True):
    selection: Selection = Selection()  # the step-targets to bundle, and where to
    level: int = 9  # of zstd
    trust_store: bool = False  # believe objects that other machines made
    record: bool = False  # write the content digests into the lock, for hydrate to demand


def bundle(project: Project, request: BundleRequest, context: Context) -> Bundled:
    """closure → pack: what the lock names, verified, into the store; with `record`, what it holds into the lock."""
    from envc.locking.worktree.code import code_entries
    from envc.shipping.deliver.derive import Ledger
    from envc.shipping.deliver.pack import BundleRequest as PackRequest
    from envc.shipping.deliver.pack import StepBundle, pack

    if request.record and request.trust_store:
        raise UsageError("--record writes what was derived here, and --trust-store derives nothing", "leave out one")
    manifest = project.manifest
    # A lock that is stale, or in the middle of a merge, is used as it is with --frozen, but nothing is added to it.
    graph = check(project) if request.record else locked(project, request.selection)
    closures = Closures(graph)
    step_targets = select(project, request.selection)
    warn_of_yanked(graph, context, step_targets)
    code = {
        globs: code_entries(manifest.root, globs)
        for globs in {manifest.steps[step_target.step].code for step_target in step_targets}
    }
    packing = PackRequest(
        project=manifest.name,
        lock=manifest.lock_path.read_bytes(),
        steps=tuple(
            StepBundle(
                step=step_target.step,
                target=step_target.target.name,
                environment=closures.environment(step_target),
                code=code[manifest.steps[step_target.step].code],
                run=manifest.steps[step_target.step].run,
                env=manifest.steps[step_target.step].env,
            )
            for step_target in step_targets
        ),
        level=request.level,
        trust_store=request.trust_store,
    )

    def relock(contents: Mapping[tuple[Sha256, str], Sha256]) -> bytes:
        lockfile.save(lockfile.with_contents(graph, contents), manifest.lock_path)
        return manifest.lock_path.read_bytes()

    store = store_of(project, request.selection, context)
    from envc.locking.resolve.open import open_artifacts

    kinds = {member.kind for step in packing.steps for member in step.environment.members}
    with open_artifacts(manifest, project.step_targets, graph, context, kinds) as artifacts:
        return pack(
            packing,
            store,
            artifacts,
            ledger=Ledger(context.cache / "derived"),
            progress=context.progress,
            relock=relock if request.record else None,
        )
