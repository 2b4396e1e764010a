"""``envc run``: lock, bundle and hydrate whatever is missing, then run the command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc.context import Context
from envc.errors import DigestMismatch, EnvcError, OfflineMiss, SourceUnreachable, StoreError, UsageError
from envc.locking.plan.project import Project, Selection
from envc.pipeline.locate import (
    Located,
    corrupt_objects_forgotten,
    interpreter_for,
    known_environment,
    locate,
    make_ready,
    remember_record,
    tell_holdings,
)
from envc.pipeline.project import lock_digest, open_project, step_target_for

if TYPE_CHECKING:
    from envc.locking.plan.expand import StepTarget
    from envc.shipping.deliver.run import Launch
    from envc.shipping.machine.interpreter import Interpreter


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    step: str
    command: tuple[str, ...] = ()  # (): the step's own
    target: str | None = None  # None: the step's target for this machine
    selection: Selection = Selection()  # the store and `frozen`; its steps and targets are not used
    from_store: bool = False  # run the bundled code instead of the working tree's
    is_first: bool = True  # no other step runs before it, so the files that its command needs exist


def run(project: Project, request: RunRequest, context: Context) -> int:
    """lock → bundle → hydrate, each only if needed, then run the command. Does not return on systems with exec.

    Raises UsageError if there is no command, and the errors of the stages.
    """
    from envc.shipping.deliver.run import retried
    from envc.shipping.deliver.run import run as launch
    from envc.shipping.prefix.places import check_place

    step = request.step
    command = request.command or own_command(project, step)
    step_target = step_target_for(project, step, request.target)
    if not command:
        raise UsageError(f"step {step} has no `run`", f"name a command: `envc run {step} -- python …`")
    check_place(context.cache, step_target.interpreter)
    project = locked(project, request.selection, context)
    step_target = step_target_for(project, step, request.target)  # a new lock may have another Python of a range
    interpreter = interpreter_for(step_target, project, context)

    def start() -> int:
        ready = ready_launch(project, request, (step_target, command, interpreter), context)
        context.progress.settle()
        return launch(ready, context.environ)

    return retried(start)


def locked(project: Project, selection: Selection, context: Context) -> Project:
    """The project with a lock. It is made if there is none, and made again if only files of local projects have changed
    and no package gets another version.
    """
    if project.graph is None:
        from envc.pipeline.lock import LockRequest, lock

        lock(project, LockRequest(), context)
    elif selection.frozen or not _has_changed_code_only(project) or not _relocked(project, context):
        return project
    return open_project(str(project.manifest.path), context)


def _has_changed_code_only(project: Project) -> bool:
    """Whether the lock is out of date only because files of local projects have changed."""
    reasons = project.freshness.reasons if project.freshness is not None else ()
    return bool(reasons) and all(reason.code for reason in reasons)


def _relocked(project: Project, context: Context) -> bool:
    """Lock again if that changes no version. Returns whether it did; else the lock stays out of date."""
    from envc.locking.lockfile.dump import dumps
    from envc.locking.lockfile.save import save_text
    from envc.pipeline.lock import LockRequest, lock

    outcome = lock(project, LockRequest(dry_run=True), context)
    if any([one.partition(" @ ")[0] for one in change.old] != [one.partition(" @ ")[0] for one in change.new]
           for change in outcome.changes):  # fmt: skip
        return False
    save_text(dumps(outcome.graph), outcome.path, before=project.lock)
    found = project.freshness.reasons if project.freshness is not None else ()
    paths = sorted({reason.code for reason in found if isinstance(reason.code, str)})
    context.progress.note(f"locked again, since the files of {', '.join(paths)} have changed; no version has")
    return True


def ready_launch(
    project: Project, request: RunRequest, what: tuple[StepTarget, tuple[str, ...], Interpreter], context: Context
) -> Launch:
    """bundle → hydrate, each only if needed: a command that is ready to start. `what` is the step on its target, the
    command, and the interpreter for it.
    """
    from envc.shipping.deliver.hydrate import ready_code, used_files
    from envc.shipping.deliver.run import CodeNotHere, Launch, absent_file, step_variables
    from envc.shipping.format.errors import CorruptBlob, MissingBlob

    step_target, command, interpreter = what
    step = step_target.step

    known = absent = None
    if request.is_first and not request.from_store:
        absent = absent_file(project.manifest.root, command)
    if absent is None and not request.from_store:  # otherwise the bundled code matters, which may have changed since
        known = known_environment(project, step_target, request.selection, interpreter, context)

    def locate_ready() -> tuple[Located | None, Path]:
        if known is not None and known.is_fresh:
            return None, known.prefix
        with corrupt_objects_forgotten(context):
            try:
                located = locate(project, step_target, request.selection, context)
            except StoreError as error:
                if known is None or isinstance(error, MissingBlob | CorruptBlob):
                    raise
                context.progress.warn(f"{error}; using the environment that it led to before")
                return None, known.prefix
            prefix = make_ready(located, interpreter, context)[0]
            remember_record(project, step_target, request.selection, located, context)
            return located, prefix

    try:
        located, prefix = locate_ready()
    except (MissingBlob, CorruptBlob, DigestMismatch) as error:
        if not isinstance(error, MissingBlob):
            what_failed = error.headline if isinstance(error, DigestMismatch) else error
            context.progress.warn(f"{what_failed}; deriving it again")
        _bundle_missing(project, request, step_target, error, context)
        located, prefix = locate_ready()
    code = None
    if located is not None and absent is not None and located.pointer.code is not None:
        raise CodeNotHere(step, absent, project.manifest.root)
    if located is not None and request.from_store:
        code = ready_code(located.store, located.pointer, cache=context.cache, progress=context.progress)
    return Launch(
        command=command,
        prefix=prefix,
        cwd=code or project.manifest.root,
        about=step_variables(step, step_target.target.name, lock_digest(project)),
        env=project.manifest.steps[step].env,
        interpreter=step_target.interpreter,
        uses=used_files(prefix, code),
    )


def _bundle_missing(
    project: Project, request: RunRequest, step_target: StepTarget, why: EnvcError, context: Context
) -> None:
    """Bundle a step that the store lacks, or holds damaged.

    Raises NotBundled, which says what the store holds instead, if the code of the step is not here either: then the
    store is the wrong one, and no index is asked. The same is told if the indexes or the store do not allow to bundle.
    """
    from envc.locking.worktree.code import absent_pattern
    from envc.pipeline.bundle import BundleRequest, bundle
    from envc.shipping.deliver.run import absent_file
    from envc.shipping.format.errors import NotBundled
    from envc.shipping.store.backends.folder import NotAStore

    root, step = project.manifest.root, step_target.step
    selection = msgspec.structs.replace(request.selection, steps=(step,), targets=(step_target.target.name,))
    if isinstance(why, NotBundled):
        command = request.command or own_command(project, step)
        absent = absent_pattern(root, project.manifest.steps[step].code) or absent_file(root, command)
        if absent is not None and request.is_first:
            why.add(f"the code of the step is not here either ({absent})")
            raise tell_holdings(why, project, selection, context)
    try:
        bundle(project, BundleRequest(selection=selection), context)
    except (SourceUnreachable, OfflineMiss, StoreError) as error:
        if not isinstance(why, NotBundled) or isinstance(error, NotAStore):
            raise
        tell_holdings(why, project, selection, context)
        why.add(f"and it cannot be bundled here: {error}")
        raise why from None


def own_command(project: Project, step: str) -> tuple[str, ...]:
    """The words that run a step's own command line; () if it has none, or if there is no such step."""
    declared = project.manifest.steps.get(step)
    if declared is None or declared.run is None:
        return ()
    from envc.shipping.deliver.run import command_of

    return command_of(declared.run, shell=declared.shell)
