"""``envc lock``: plan, pose, solve, link and write."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc.context import Context
from envc.locking.plan.freshness import Reason, compare
from envc.locking.plan.project import Project, Selection, Upgrades, is_fresh_for, select
from envc.model.graph import Choice, KnownRequirements, LockGraph
from envc.pipeline.places import located, reasons, with_lines
from envc.pipeline.project import require_fresh_lock, warn_of_yanked

if TYPE_CHECKING:
    from envc.locking.resolve.session import Solved
    from envc.locking.review.changes import Change


class LockRequest(msgspec.Struct, frozen=True, kw_only=True):
    upgrades: Upgrades = Upgrades()
    selection: Selection = Selection()  # the step-targets to lock; the others stay as they are
    dry_run: bool = False


class LockOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a lock."""

    path: Path
    graph: LockGraph
    changed: bool = False
    written: bool = False
    solved: int = 0  # solver runs
    seconds: float = 0.0
    changes: tuple[Change, ...] = ()
    left: tuple[Reason, ...] = ()  # why the lock is still out of date for step-targets that were not selected


def check(project: Project, selection: Selection, context: Context) -> LockGraph:
    """``envc lock --check``: the lock. Raises NoLock, and StaleLock if it is stale for a selected step-target."""
    selected = select(project, selection)
    if project.graph is not None:
        warn_of_yanked(project.graph, context)
    return require_fresh_lock(project, selected)


def lock(project: Project, request: LockRequest, context: Context) -> LockOutcome:
    """plan → pose → solve → link → lockfile, for the step-targets for which the existing lock is stale.

    Raises UsageError, NoSuchInterpreter, BuildNotAllowed, Unsolvable and OfflineMiss, with the lines of the manifest,
    Reuploaded, BadArtifact and Unportable for wheels that were read, and StrayLink, LockChanged and Unwritable for the
    lock file.
    """
    with located(project.manifest):
        return _lock(project, request, context)


def _lock(project: Project, request: LockRequest, context: Context) -> LockOutcome:
    manifest, graph = project.manifest, project.graph
    selected = select(project, request.selection)
    start = time.monotonic()
    if graph is not None and request.upgrades == Upgrades() and is_fresh_for(project, selected):
        warn_of_yanked(graph, context)
        return LockOutcome(path=manifest.lock_path, graph=graph, left=reasons(project))
    # Imported here, because most locks are up to date: these stages take 1 ms to import.
    from envc.locking.lockfile.dump import dumps
    from envc.locking.lockfile.save import save_text
    from envc.locking.plan.closure import new_conda_packages
    from envc.locking.plan.link import link, with_facts
    from envc.locking.plan.plan import plan
    from envc.locking.plan.problems import pose_problems, refuse_interpreters
    from envc.locking.review.changes import changes
    from envc.locking.review.yanked import with_yanked
    from envc.system.user_file import written_path

    if not request.dry_run:
        written_path(manifest.lock_path)  # a lock that cannot be written is refused before it is solved
    refuse_interpreters(selected)  # mistakes of the manifest are reported before those of -P, --step and --target
    planned = plan(project, selected, request.upgrades)
    problems = pose_problems(
        manifest,
        planned.solve,
        now=context.now,
        lock=None if request.upgrades.everything else graph,
        is_unpinned=planned.unpinned.__contains__,
        requested=planned.requested,
    )
    choices, patches = dict(planned.choices), dict(planned.patches)
    solved: Solved | None = None
    if problems:
        from envc.locking.resolve.session import solve_problems

        solved = solve_problems(
            problems,
            manifest,
            context,
            lock=None if request.upgrades.everything else graph,
            is_unpinned=planned.unpinned.__contains__,
        )
        if graph is not None:
            from envc.locking.plan.reuploads import refuse_reuploads

            pins = ((shared.step_targets[0].key, pin) for shared, found in solved.solutions for pin in found.pins)
            refuse_reuploads(graph, pins, solved.builds, planned.reuploads)
        known: KnownRequirements = {}
        for shared, solution in solved.solutions:
            first = shared.step_targets[0]
            chosen = tuple(Choice.of_pin(pin, first.target, first.python, known) for pin in solution.pins)
            choices.update((step_target.id, chosen) for step_target in shared.step_targets)
            patches.update((step_target.id, solution.patch) for step_target in shared.step_targets)
        choices = with_facts(choices, solved=[step_target.id for step_target in planned.solve])
    builds = solved.builds if solved is not None else ()
    linked = link(planned.step_targets, choices, planned.options, graph, builds, patches)
    if solved is not None:
        linked = with_yanked(linked, solved.yanked)
    if solved is not None and (added := new_conda_packages(linked, graph, planned.solve)):
        from envc.locking.resolve.open import warn_of_link_scripts

        warn_of_link_scripts(manifest, added, context, solved.keyring)
    if solved is not None and solved.whole:
        from envc.locking.resolve.whole_wheels import check_wheels

        strict = manifest.policy.record == "strict"
        check_wheels(linked, planned.solve, solved.whole, strict=strict, progress=context.progress)
    if graph is None and request.upgrades.packages:
        from envc.locking.plan.named_upgrades import require_named

        require_named(request.upgrades.packages, linked)
    warn_of_yanked(linked, context)
    path, text = manifest.lock_path, dumps(linked)
    return LockOutcome(
        path=path,
        graph=linked,
        changed=project.lock != text.encode(),
        written=not request.dry_run and save_text(text, path, before=project.lock),
        solved=len(problems),
        seconds=time.monotonic() - start,
        changes=changes(graph, linked),
        left=_remaining_reasons(project, linked) if len(selected) < len(project.step_targets) else (),
    )


def _remaining_reasons(project: Project, graph: LockGraph) -> tuple[Reason, ...]:
    """Why the lock is still out of date after a part of it was solved."""
    return with_lines(project.manifest, compare(project.manifest, project.step_targets, graph).reasons)
