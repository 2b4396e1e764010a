"""``envc run --needs`` and ``envc run --all``: several steps, each after the steps that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from envc.context import Context
from envc.errors import UsageError
from envc.locking.plan.project import Project
from envc.pipeline.locate import interpreter_for
from envc.pipeline.project import step_target_for
from envc.pipeline.run import RunRequest, locked, own_command, ready_launch
from envc.system.cores import usable_cores

if TYPE_CHECKING:
    from envc.shipping.deliver.run_steps import Finished, Job, Result


class RunStepsRequest(msgspec.Struct, frozen=True, kw_only=True):
    last: RunRequest  # the step that is wanted; with step "", every step
    jobs: int | None = None  # steps that run at the same time; None: one for each core
    keep_going: bool = False  # after a failure, start the steps that do not need the failed one


def run_steps(project: Project, request: RunStepsRequest, context: Context) -> int:
    """lock → bundle → hydrate for all steps that are needed, each only if needed; then run their commands.

    Returns the exit code of the first step that failed, or 0. A step without a command only passes on what it needs.
    Raises UsageError for a step that has no target here, and for a wanted step without a command.
    """
    from envc.shipping.deliver.run import retried
    from envc.shipping.deliver.run_steps import Ended
    from envc.shipping.deliver.run_steps import run_steps as run
    from envc.shipping.prefix.places import check_place

    last = request.last
    steps = needed(project, last.step) if last.step else tuple(project.manifest.steps)
    if not steps:
        raise UsageError("the manifest has no steps", "add one: [steps.main]")
    if last.step and not (last.command or own_command(project, last.step)):
        raise UsageError(
            f"step {last.step} has no `run`", f"name a command: `envc run --needs {last.step} -- python …`"
        )
    if last.target and not any(_has_target(project, step, last.target) for step in steps):
        step_target_for(project, steps[-1], last.target)  # raises with a suggestion
    # Everything that can be refused is refused before the first environment is made.
    requests = [_request_for(project, step, last) for step in steps]
    for each in requests:
        check_place(context.cache, step_target_for(project, each.step, each.target).interpreter)
    project = locked(project, last.selection, context)

    def report(finished: Finished) -> None:
        why = f": {finished.error}" if finished.error is not None else f" with exit code {finished.code}"
        hint = finished.error.hint if finished.error is not None else None
        context.progress.warn(f"step {finished.step} failed{why}", hint=hint or "")

    def start() -> Result:
        jobs = [_job(project, each, context) for each in requests]
        context.progress.settle()
        at_once = request.jobs or usable_cores()
        return run(jobs, context.environ, at_once=at_once, keep_going=request.keep_going, report=report)

    try:
        result = retried(start)
    except Ended as ended:
        return ended.code
    if result.skipped:
        context.progress.note(f"not run because of that: {', '.join(result.skipped)}")
    return result.code


def needed(project: Project, step: str) -> tuple[str, ...]:
    """The step and the steps that it needs, directly or not, in the order of the manifest. Raises UsageError."""
    steps = project.manifest.steps
    found: dict[str, None] = {}
    left = [step]
    while left:
        one = left.pop()
        if one not in steps:
            step_target_for(project, one, None)  # raises with a suggestion
        if one not in found:
            found[one] = None
            left += steps[one].needs
    return tuple(name for name in steps if name in found)


def _request_for(project: Project, step: str, last: RunRequest) -> RunRequest:
    """The request for one of the steps. The target applies to steps that have it, the command to the wanted step."""
    target = last.target if last.target and (step == last.step or _has_target(project, step, last.target)) else None
    command = last.command if step == last.step else ()
    is_first = not project.manifest.steps[step].needs
    return msgspec.structs.replace(last, step=step, target=target, command=command, is_first=is_first)


def _has_target(project: Project, step: str, target: str) -> bool:
    return any(
        step_target.step == step and target in (step_target.target.name, step_target.target.platform)
        for step_target in project.step_targets
    )


def _job(project: Project, request: RunRequest, context: Context) -> Job:
    from envc.shipping.deliver.run_steps import Job

    needs = project.manifest.steps[request.step].needs
    command = request.command or own_command(project, request.step)
    if not command:
        return Job(step=request.step, needs=needs, launch=None)
    step_target = step_target_for(project, request.step, request.target)
    interpreter = interpreter_for(step_target, project, context)
    return Job(
        step=request.step,
        needs=needs,
        launch=ready_launch(project, request, (step_target, command, interpreter), context),
    )
