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
from envc.pipeline.project import (
    check,
    locked,
    store_of,
    warn_of_yanked,
)

if TYPE_CHECKING:
    from envc.shipping.deliver.pack import Bundled


class BundleOptions(msgspec.Struct, frozen=True, kw_only=True):
    level: int = 9  # of zstd
    trust_store: bool = False  # believe objects that other machines made
    record: bool = False  # write the content digests into the lock, for hydrate to demand


def bundle(project: Project, selection: Selection, options: BundleOptions, context: Context) -> Bundled:
    """closure → pack: what the lock names, verified, into the store; with `record`, what it holds into the lock."""
    from envc.locking.worktree.code import code_entries
    from envc.shipping.deliver.derive import Ledger
    from envc.shipping.deliver.pack import BundleRequest, StepBundle, pack

    if options.record and options.trust_store:
        raise UsageError("--record writes what was derived here, and --trust-store derives nothing", "leave out one")
    manifest = project.manifest
    # A lock that is stale, or in the middle of a merge, is used as it is with --frozen, but nothing is added to it.
    graph = check(project) if options.record else locked(project, selection)
    closures = Closures(graph)
    step_targets = select(project, selection)
    warn_of_yanked(graph, context, step_targets)
    code = {
        globs: code_entries(manifest.root, globs)
        for globs in {manifest.steps[step_target.step].code for step_target in step_targets}
    }
    request = BundleRequest(
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
        level=options.level,
        trust_store=options.trust_store,
    )

    def relock(contents: Mapping[tuple[Sha256, str], Sha256]) -> bytes:
        lockfile.save(lockfile.with_contents(graph, contents), manifest.lock_path)
        return manifest.lock_path.read_bytes()

    store = store_of(project, selection, context)
    from envc.locking.resolve.open import open_artifacts

    kinds = {member.kind for step in request.steps for member in step.environment.members}
    with open_artifacts(manifest, project.step_targets, graph, context, kinds) as artifacts:
        return pack(
            request,
            store,
            artifacts,
            ledger=Ledger(context.cache / "derived"),
            progress=context.progress,
            relock=relock if options.record else None,
        )
