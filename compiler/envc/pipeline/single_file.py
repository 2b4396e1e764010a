"""The verbs on single-file bundles: write one from a project, and hydrate or run an environment from one.

A bundle needs no manifest, lock or store. If a manifest is named anyway, the bundle must match its lock, as a store
must.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc.context import Context, misspelt_url
from envc.errors import UsageError
from envc.locking.plan.project import Project, Selection, select
from envc.pipeline.bundle import BundleRequest
from envc.pipeline.bundle import bundle as bundle_to_store
from envc.pipeline.locate import corrupt_objects_forgotten, locate, located_record
from envc.pipeline.project import lock_digest, open_project, require_fresh_lock, step_target_for, this_platform

if TYPE_CHECKING:
    from envc.locking.plan.expand import StepTarget
    from envc.model.environment import Environment
    from envc.shipping.deliver.hydrate import Loading
    from envc.shipping.deliver.pack import Bundled
    from envc.shipping.deliver.ship import Shipped
    from envc.shipping.machine.interpreter import Interpreter
    from envc.shipping.store.bundle_file import BundleFile
    from envc_solvers.target import Python


def write(project: Project, request: BundleRequest, output: Path, context: Context) -> tuple[Bundled, Shipped]:
    """bundle → locate → ship: one step-target into the store, and from there into a file."""
    from envc.shipping.prefix.tree import CorruptObject

    if misspelt_url(str(output)):  # a path has no "//"
        raise UsageError("--output names a URL", "name a file of this machine, and copy it there afterwards")
    step_target = _one_step_target(project, request.selection)
    selection = msgspec.structs.replace(
        request.selection, steps=(step_target.step,), targets=(step_target.target.name,)
    )
    request = msgspec.structs.replace(request, selection=selection)
    bundled = bundle_to_store(project, request, context)
    if request.record:
        project = open_project(str(project.manifest.path), context)
    try:
        shipped = _ship(project, step_target, request, context.cwd / output, context)
    except CorruptObject as error:
        context.progress.warn(f"{error}; deriving it again")
        bundled = bundle_to_store(project, request, context)
        shipped = _ship(project, step_target, request, context.cwd / output, context)
    return bundled, shipped


def _ship(project: Project, step_target: StepTarget, request: BundleRequest, out: Path, context: Context) -> Shipped:
    from envc.shipping.deliver.ship import ShipRequest, ship

    located = locate(project, step_target, request.selection, context)
    with corrupt_objects_forgotten(context):
        shipping = ShipRequest(
            project=project.manifest.name,
            step=step_target.step,
            target=step_target.target,
            python=located.environment.python,
            lock=lock_digest(project),
            record=located_record(located).record,
            pointer=located.pointer,
        )
        return ship(shipping, located.store, out, level=request.level)


def _one_step_target(project: Project, selection: Selection) -> StepTarget:
    """The selected step-target; without a selection, the only step, on the target for this machine."""
    step_targets = select(project, selection)
    steps = sorted({step_target.step for step_target in step_targets})
    if len(steps) > 1:
        raise UsageError(
            "a file holds one step, and the project has several", f"name one with --step: {', '.join(steps)}"
        )
    if len(step_targets) == 1:
        return step_targets[0]
    if selection.targets:
        names = ", ".join(sorted(step_target.target.name for step_target in step_targets))
        raise UsageError("a file holds one target, and several are selected", f"name one with --platform: {names}")
    return step_target_for(project, steps[0], None)


def hydrate(
    file: Path,
    prefix: Path | None,
    project: Project | None,
    context: Context,
    loading: Loading | None = None,
) -> tuple[Path, bool]:
    """Hydrate a bundle. Returns the prefix (without `prefix`, one in the cache), and whether this call made it.

    A bundle for another platform is unpacked without an interpreter, and only into a `prefix`. The lock of `project`,
    if given, must name the contents of the bundle.
    """
    from envc.model.kinds import interpreter_kind
    from envc.shipping.deliver.hydrate import StoredEnvironment
    from envc.shipping.deliver.hydrate import hydrate as fill
    from envc.shipping.prefix.places import check_place

    bundle = open_bundle(context.cwd / file)
    environment = _locked_environment(bundle, project)
    record = bundle.record
    is_foreign = record.platform != this_platform()
    if prefix is None and is_foreign:
        raise UsageError(
            f"an environment for {record.platform} cannot run here", "name a folder to unpack it: --prefix"
        )
    interpreter = None if is_foreign else _interpreter(bundle, context)
    if interpreter is not None:
        check_place(context.cwd / prefix if prefix else context.cache, interpreter_kind(record.interpreter))
    if prefix is None and interpreter is not None:
        return _ready(bundle, environment, interpreter, context)
    prefix = context.cwd / (prefix or "")
    with _helpful_hint():
        made = fill(
            StoredEnvironment(bundle, record, environment=environment, own_files=bundle.own_files),
            prefix,
            interpreter=interpreter,
            cache=context.cache,
            progress=context.progress,
            loading=loading,
        )
    return prefix, made


def run(file: Path, command: tuple[str, ...], project: Project | None, context: Context) -> int:
    """Hydrate the bundle if needed, then run the command in the folder of the bundled code.

    Does not return on systems with exec. Raises UsageError if there is no command.
    """
    from envc.model.kinds import interpreter_kind
    from envc.model.record import CODE_FOLDER
    from envc.shipping.deliver.hydrate import ready_own_files, used_files
    from envc.shipping.deliver.run import Launch, command_of, retried, step_variables
    from envc.shipping.deliver.run import run as launch
    from envc.shipping.prefix.places import check_place

    bundle = open_bundle(context.cwd / file)
    card = bundle.card
    command = command or (command_of(card.run, shell=card.shell is True) if card.run else ())
    if not command:
        raise UsageError(f"step {card.step} has no `run`", f"name a command: `envc run {file} -- python …`")
    environment, interpreter = _locked_environment(bundle, project), _interpreter(bundle, context)
    check_place(context.cache, interpreter_kind(bundle.record.interpreter))

    def start() -> int:
        prefix, _ = _ready(bundle, environment, interpreter, context)
        own = None
        if card.code is not None:
            with _helpful_hint():
                own = ready_own_files(bundle, bundle.own_files, cache=context.cache, progress=context.progress)
        context.progress.settle()
        return launch(
            Launch(
                command=command,
                prefix=prefix,
                cwd=own / CODE_FOLDER if own is not None else context.cwd,
                about=step_variables(card.step, card.target, card.lock),
                env=card.env,
                interpreter=interpreter_kind(bundle.record.interpreter),
                uses=used_files(prefix, own),
            ),
            context.environ,
        )

    return retried(start)


def open_bundle(file: Path) -> BundleFile:
    """Open a bundle. Raises CorruptBlob if its documents contradict each other."""
    from envc.shipping.format.errors import CorruptBlob
    from envc.shipping.store import bundle_file

    with _helpful_hint():
        bundle = bundle_file.open_bundle(file)
        if python_of(bundle).key != bundle.record.python:
            raise CorruptBlob(bundle.name, "names one Python in its card and another in its record")
    return bundle


@contextmanager
def _helpful_hint() -> Iterator[None]:
    """Add a hint to errors about a damaged bundle: get the file again."""
    from envc.shipping.format.errors import CorruptBlob
    from envc.shipping.prefix.tree import CorruptObject

    try:
        yield
    except CorruptBlob as error:
        if error.hint is None or isinstance(error, CorruptObject):
            error.hint = "get the file again, or write it again with `envc bundle --output`"
        raise


def _locked_environment(bundle: BundleFile, project: Project | None) -> Environment | None:
    """The bundle's environment as locked in `project`. Raises CorruptBlob if the two differ."""
    if project is None:
        return None
    from envc.locking.plan.closure import Closures
    from envc.shipping.deliver.hydrate import check_record

    card = bundle.card
    graph = require_fresh_lock(project)
    step_targets = [
        step_target
        for step_target in project.step_targets
        if (step_target.step, step_target.target.name) == (card.step, card.target)
    ]
    if not step_targets:
        raise UsageError(
            f"the manifest has no step {card.step} on {card.target}, which {bundle.path.name} was made for"
        )
    environment = Closures(graph).environment(step_targets[0])
    check_record(bundle.record, environment, bundle)
    return environment


def python_of(bundle: BundleFile) -> Python:
    """The Python that a bundle was solved for. Raises CorruptBlob if its card names none."""
    from envc.locking.manifest.python import BadPython, choose_python, parse_python
    from envc.shipping.format.errors import CorruptBlob

    try:
        python = choose_python(parse_python(bundle.card.python))
        if not bundle.card.python_from:
            return python
        oldest = choose_python(parse_python(bundle.card.python_from))
    except BadPython as error:
        raise CorruptBlob(bundle.name, f"has a card without a valid Python ({error})") from None
    if oldest.minor != python.minor or oldest.patch is None or python.patch is not None:
        raise CorruptBlob(bundle.name, f"has a card for Python {python.text} from {oldest.text} on")
    return msgspec.structs.replace(python, release=max(python.release, oldest.patch))


def _interpreter(bundle: BundleFile, context: Context) -> Interpreter:
    from envc.model.kinds import interpreter_kind
    from envc.shipping.machine.floors import suitable_interpreter

    record, floors = bundle.record, bundle.card.floors or {}
    kind = interpreter_kind(record.interpreter)
    return suitable_interpreter(kind, python_of(bundle), record.platform, floors, context)


def _ready(
    bundle: BundleFile, environment: Environment | None, interpreter: Interpreter, context: Context
) -> tuple[Path, bool]:
    from envc.shipping.deliver.hydrate import StoredEnvironment, ready_environment

    with _helpful_hint():
        return ready_environment(
            StoredEnvironment(bundle, bundle.record, environment=environment),
            interpreter=interpreter,
            cache=context.cache,
            progress=context.progress,
            force=context.force,
        )
