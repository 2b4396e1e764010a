"""``envc lock``: plan, pose, solve, link and write."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc.context import Context
from envc.errors import Unsolvable
from envc.locking.plan.freshness import Reason, compare
from envc.locking.plan.project import Project, Selection, Upgrades, is_fresh_for, select
from envc.model.graph import Choice, KnownRequirements, LockGraph
from envc.pipeline.places import located, reasons, with_lines
from envc.pipeline.project import require_fresh_lock, this_platform, warn_of_yanked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envc.locking.plan.expand import StepTarget, StepTargetId
    from envc.locking.plan.plan import Plan
    from envc.locking.resolve.session import Solved
    from envc.locking.review.changes import Change
    from envc.locking.review.passed_over import PassedOverPackage
    from envc.locking.review.pythons import ChosenPython
    from envc_solvers.passed_over import PassedOver


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
    pythons: tuple[ChosenPython, ...] = ()
    passed_over: tuple[PassedOverPackage, ...] = ()  # what the lock has and what this run has found, sorted
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
        if project.manifest.has_limits:
            from envc.pipeline.limit_files import fetch_files

            project = fetch_files(project, request.selection, request.upgrades, context)
        return _lock(project, request, context)


def _lock(project: Project, request: LockRequest, context: Context) -> LockOutcome:
    from envc.locking.review.pythons import chosen_pythons  # late: `check` says nothing about them

    manifest, graph = project.manifest, project.graph
    selected = select(project, request.selection)
    start = time.monotonic()
    if graph is not None and request.upgrades == Upgrades() and is_fresh_for(project, selected):
        warn_of_yanked(graph, context)
        return LockOutcome(
            path=manifest.lock_path,
            graph=graph,
            pythons=chosen_pythons(manifest, project.step_targets),
            passed_over=recorded_passed_over(graph),
            left=reasons(project),
        )
    from envc.locking.plan.expand import expand
    from envc.system.user_file import written_path

    if not request.dry_run:
        written_path(manifest.lock_path)  # a lock that cannot be written is refused before it is solved
    if request.upgrades.everything and len(selected) == len(project.step_targets):
        project = msgspec.structs.replace(project, step_targets=expand(manifest))
    project, planned, solved, gave_way = _solve(project, request, context)
    selected = select(project, request.selection)
    # Imported here, because most locks are up to date, and some cannot be solved: these stages take 1 ms to import.
    from envc.locking.lockfile.dump import dumps
    from envc.locking.lockfile.save import save_text
    from envc.locking.plan.closure import new_conda_packages
    from envc.locking.plan.link import link, with_facts
    from envc.locking.review.changes import changes
    from envc.locking.review.passed_over import of_graph
    from envc.locking.review.yanked import with_yanked

    choices, patches = dict(planned.choices), dict(planned.patches)
    passed_over: dict[StepTargetId, tuple[PassedOver, ...]] = {}
    if solved is not None:
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
            passed_over.update((step_target.id, solution.passed_over) for step_target in shared.step_targets)
        choices = with_facts(choices, solved=[step_target.id for step_target in planned.solve])
    builds = solved.builds if solved is not None else ()
    linked = link(planned.step_targets, choices, planned.options, graph, builds, patches, passed_over)
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
    if solved is not None:
        _warn_of_missing_pythons(project, planned.solve, context)
    path, text = manifest.lock_path, dumps(linked)
    return LockOutcome(
        path=path,
        graph=linked,
        changed=project.lock != text.encode(),
        written=not request.dry_run and save_text(text, path, before=project.lock),
        solved=len(solved.solutions) if solved is not None else 0,
        pythons=chosen_pythons(manifest, project.step_targets, gave_way),
        seconds=time.monotonic() - start,
        changes=changes(graph, linked),
        # After -P, that other packages stay is what was asked for.
        passed_over=of_graph(linked, {} if request.upgrades.packages else passed_over),
        left=_remaining_reasons(project, linked) if len(selected) < len(project.step_targets) else (),
    )


def recorded_passed_over(graph: LockGraph) -> tuple[PassedOverPackage, ...]:
    """What a lock records as passed over, sorted."""
    if not graph.holds_passed_over:
        return ()
    from envc.locking.review.passed_over import of_graph  # late: few locks record any

    return of_graph(graph)


def _warn_of_missing_pythons(project: Project, solved: Iterable[StepTarget], context: Context) -> None:
    """Warn if a range of Pythons led to one that this machine lacks, although it has another one that is allowed."""
    from envc.locking.manifest.python import is_range
    from envc.locking.review.pythons import line_for_machine
    from envc.pipeline.locate import interpreter_for
    from envc.shipping.machine.floors import WrongMachine
    from envc.shipping.machine.interpreter import NoInterpreter

    manifest = project.manifest
    steps: dict[str, StepTarget] = {}
    for step_target in solved:
        if step_target.interpreter == "host" and is_range(manifest.steps[step_target.step].python or manifest.python):
            steps.setdefault(step_target.step, step_target)
    seen: set[str] = set()
    for step_target in steps.values():
        if step_target.python.text in seen or step_target.target.platform != this_platform():
            continue
        seen.add(step_target.python.text)
        try:
            interpreter_for(step_target, project, context)
        except NoInterpreter as error:
            line = line_for_machine(manifest, step_target.step, error.versions)
            if line:
                has = f"it has CPython {', '.join(sorted(set(error.versions)))}"
                context.progress.warn(f"this machine has no {error.required}; {has}; to use that, {line}")
        except WrongMachine:
            pass


def _solve(
    project: Project, request: LockRequest, context: Context
) -> tuple[Project, Plan, Solved | None, dict[str, str]]:
    """plan → pose → solve. Returns what was solved, with the project as solved: a range of Pythons may have given way.

    The reasons for that are by step; each was told as a warning.
    """
    from envc.locking.plan.plan import plan
    from envc.locking.plan.problems import pose_problems, refuse_interpreters

    lock = None if request.upgrades.everything else project.graph
    gave_way: dict[str, str] = {}
    told: list[str] = []
    first: Unsolvable | None = None
    while True:
        selected = select(project, request.selection)
        refuse_interpreters(selected)  # mistakes of the manifest are reported before those of -P, --step and --target
        planned = plan(project, selected, request.upgrades)
        problems = pose_problems(
            project.manifest,
            planned.solve,
            now=context.now,
            lock=lock,
            is_unpinned=planned.unpinned.__contains__,
            requested=planned.requested,
        )
        if not problems:
            return project, planned, None, gave_way
        from envc.locking.resolve.session import solve_problems

        try:
            is_unpinned = planned.unpinned.__contains__
            solved = solve_problems(problems, project.manifest, context, lock=lock, is_unpinned=is_unpinned)
        except Unsolvable as error:
            from envc.locking.resolve.other_python import giving_way

            first = first or error
            way = giving_way(project.manifest, planned.solve, error)
            chosen = {step_target.id for step_target in selected}
            if way is None or any(one.step in way.steps and one.id not in chosen for one in project.step_targets):
                raise first from None
            project = msgspec.structs.replace(
                project,
                step_targets=tuple(
                    msgspec.structs.replace(one, python=way.new) if one.step in way.steps else one
                    for one in project.step_targets
                ),
            )
            gave_way.update(dict.fromkeys(way.steps, way.because))
            told.append(str(way))
        else:
            for text in told:
                context.progress.warn(text)
            return project, planned, solved, gave_way


def _remaining_reasons(project: Project, graph: LockGraph) -> tuple[Reason, ...]:
    """Why the lock is still out of date after a part of it was solved."""
    return with_lines(project.manifest, compare(project.manifest, project.step_targets, graph).reasons)
