"""``envc run``: lock, bundle and hydrate where they are missing, then the step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc.context import Context
from envc.errors import DigestMismatch, UsageError
from envc.locking.plan.project import Project, Selection
from envc.pipeline.project import (
    open_project,
    step_target_for,
)

if TYPE_CHECKING:
    pass
from envc.pipeline.bundle import BundleOptions, bundle
from envc.pipeline.hydrate import Bound, bind, distrust, interpreter_for, ready
from envc.pipeline.lock import LockRequest, lock


def run(
    project: Project,
    step: str,
    command: tuple[str, ...],
    target: str | None,
    selection: Selection,
    context: Context,
    *,
    from_store: bool = False,
) -> int:
    """lock → bundle → hydrate, each only where it is missing, then the step. Does not return where exec is possible."""
    from envc.shipping.deliver.hydrate import ready_code
    from envc.shipping.deliver.run import Launch, split_command
    from envc.shipping.deliver.run import run as start
    from envc.shipping.format.errors import CorruptBlob, MissingBlob

    written = project.manifest.steps[step].run if step in project.manifest.steps else None
    words = command or (split_command(written) if written else ())
    step_target = step_target_for(project, step, target, context)
    if not words:
        raise UsageError(f"step {step} has no `run`", f"say what to run: `envc run {step} -- python …`")
    if project.graph is None:
        lock(project, LockRequest(), context)
        project = open_project(str(project.manifest.path), context)
    interpreter = interpreter_for(step_target, context)

    def get_ready() -> tuple[Bound, Path]:
        with distrust(context):
            bound = bind(project, step_target, selection, context)
            return bound, ready(bound, interpreter, context)[0]

    try:
        bound, prefix = get_ready()
    except (MissingBlob, CorruptBlob, DigestMismatch) as error:
        if not isinstance(error, MissingBlob):
            context.progress.warn(f"{str(error).splitlines()[0]}; deriving it again")
        one = msgspec.structs.replace(selection, steps=(step,), targets=(step_target.target.name,))
        bundle(project, one, BundleOptions(), context)
        bound, prefix = get_ready()
    folder = project.manifest.root
    if from_store:
        folder = ready_code(bound.store, bound.pointer, cache=context.cache, progress=context.progress) or folder
    env = project.manifest.steps[step].env
    return start(
        Launch(command=words, prefix=prefix, cwd=folder, env=env, interpreter=step_target.interpreter), context.environ
    )
