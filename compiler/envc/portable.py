"""The verbs on a single-file bundle: writing one from a project, and making or running an environment from one.

A bundle needs neither manifest nor lock nor store. Whoever has them may name the manifest: then the file must hold what
the lock names, and what it demands, as a store must.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc import pipeline
from envc.errors import UsageError
from envc.model.digest import sha256
from envc.pipeline import BundleOptions
from envc.project import Project, Selection, cell_for, check, open_project, select, this_platform
from envc.surroundings import Surroundings

if TYPE_CHECKING:
    from envc.expand import StepTarget
    from envc.hydrate import Loading
    from envc.install.interpreter import Interpreter
    from envc.model.environment import Environment
    from envc.pack import Bundled
    from envc.ship import Shipped
    from envc.store.bundlefile import BundleFile
    from envc_solvers.target import Python


def is_bundle(argument: str) -> bool:
    """Whether an argument names a file rather than a step: it holds a separator, or ends in ``.zst``."""
    return "/" in argument or "\\" in argument or argument.endswith(".zst")


def write(
    project: Project, selection: Selection, options: BundleOptions, output: Path, around: Surroundings
) -> tuple[Bundled, Shipped]:
    """bundle → ship: one step-target into the store, and from there into a file."""
    from envc.install.tree import CorruptObject

    cell = _one_cell(project, selection, around)
    one = msgspec.structs.replace(selection, steps=(cell.step,), targets=(cell.target.name,))
    bundled = pipeline.bundle(project, one, options, around)
    if options.record:
        project = open_project(str(project.manifest.path), around)
    try:
        shipped = _ship(project, cell, one, options, around.cwd / output, around)
    except CorruptObject as error:
        around.progress.warn(f"{error}; deriving it again")
        bundled = pipeline.bundle(project, one, options, around)
        shipped = _ship(project, cell, one, options, around.cwd / output, around)
    return bundled, shipped


def _ship(
    project: Project, cell: StepTarget, one: Selection, options: BundleOptions, out: Path, around: Surroundings
) -> Shipped:
    from envc.ship import ship

    bound = pipeline.bind(project, cell, one, around)
    with pipeline.distrust(around):
        return ship(
            bound.store,
            pipeline.bound_record(bound).record,
            bound.pointer,
            out,
            project=project.manifest.name,
            step=cell.step,
            target=cell.target,
            lock=sha256(project.manifest.lock_path.read_bytes()),
            python=cell.python,
            level=options.level,
        )


def _one_cell(project: Project, selection: Selection, around: Surroundings) -> StepTarget:
    """The step-target that is meant; where none is named, the only step, on the target for this machine."""
    cells = select(project, selection)
    steps = sorted({cell.step for cell in cells})
    if len(steps) > 1:
        raise UsageError("a file holds one step", f"name it with --step: {', '.join(steps)}")
    if len(cells) == 1:
        return cells[0]
    if selection.targets:
        names = ", ".join(sorted(cell.target.name for cell in cells))
        raise UsageError("a file holds one target", f"name it with --platform: {names}")
    return cell_for(project, steps[0], None, around)


def hydrate(
    file: Path,
    prefix: Path | None,
    against: Project | None,
    around: Surroundings,
    loading: Loading | None = None,
) -> tuple[Path, bool]:
    """The prefix of a bundle, and whether it had to be made. Without a `prefix` it is one in the cache.

    A foreign bundle is unpacked without an interpreter, and so needs a `prefix`.
    """
    from envc.hydrate import hydrate as fill

    bundle = open_bundle(around.cwd / file)
    environment = _locked(bundle, against)
    record = bundle.record
    is_foreign = record.platform != this_platform()
    if prefix is None and is_foreign:
        raise UsageError(
            f"an environment for {record.platform} cannot run here", "name a folder to unpack it: --prefix"
        )
    interpreter = None if is_foreign else _interpreter(bundle, around)
    if prefix is None and interpreter is not None:
        return _ready(bundle, environment, interpreter, around)
    where = around.cwd / (prefix or "")
    with _reading():
        made = fill(
            bundle,
            record,
            where,
            interpreter=interpreter,
            own=bundle.own,
            cache=around.cache,
            progress=around.progress,
            loading=loading,
            environment=environment,
        )
    return where, made


def run(file: Path, command: tuple[str, ...], against: Project | None, around: Surroundings) -> int:
    """hydrate, where it is missing, then the step, in the folder of the bundled code.

    Does not return where exec is possible.
    """
    from envc.hydrate import ready_own
    from envc.model.record import CODE_FOLDER
    from envc.run import Launch, split_command
    from envc.run import run as start

    bundle = open_bundle(around.cwd / file)
    card = bundle.card
    words = command or (split_command(card.run) if card.run else ())
    if not words:
        raise UsageError(f"step {card.step} has no `run`", f"say what to run: `envc run {file} -- python …`")
    prefix, _ = _ready(bundle, _locked(bundle, against), _interpreter(bundle, around), around)
    folder = around.cwd
    if card.code is not None:
        with _reading():
            folder = ready_own(bundle, bundle.own, cache=around.cache, progress=around.progress) / CODE_FOLDER
    return start(
        Launch(command=words, prefix=prefix, cwd=folder, env=card.env, interpreter=bundle.record.interpreter),
        around.environ,
    )


def open_bundle(file: Path) -> BundleFile:
    """A bundle whose documents fit each other."""
    from envc.store import bundlefile
    from envc.store.errors import CorruptBlob

    with _reading():
        bundle = bundlefile.open_bundle(file)
        if python_of(bundle).key != bundle.record.python:
            raise CorruptBlob(bundle.name, "has a card for another Python than its record")
    return bundle


@contextmanager
def _reading() -> Iterator[None]:
    """Say of a damaged file what helps those who have nothing else."""
    from envc.install.tree import CorruptObject
    from envc.store.errors import CorruptBlob

    try:
        yield
    except CorruptBlob as error:
        if error.hint is None or isinstance(error, CorruptObject):
            error.hint = "get the file again, or write it again with `envc bundle --output`"
        raise


def _locked(bundle: BundleFile, against: Project | None) -> Environment | None:
    """What the lock of a named project makes of the bundle's environment. Raises CorruptBlob where they differ."""
    if against is None:
        return None
    from envc.closure import Closures
    from envc.hydrate import check_record

    card = bundle.card
    graph = check(against)
    cells = [cell for cell in against.cells if (cell.step, cell.target.name) == (card.step, card.target)]
    if not cells:
        raise UsageError(f"the manifest has no step {card.step} on {card.target}, which {bundle.path.name} is for")
    environment = Closures(graph).environment(cells[0])
    check_record(bundle.record, environment, bundle)
    return environment


def python_of(bundle: BundleFile) -> Python:
    """The Python that a bundle was solved for. Raises CorruptBlob when its card names none."""
    from envc.parse.python import BadPython, choose_python, parse_python
    from envc.store.errors import CorruptBlob

    try:
        return choose_python(parse_python(bundle.card.python))
    except BadPython as error:
        raise CorruptBlob(bundle.name, f"has a card without a Python ({error})") from None


def _interpreter(bundle: BundleFile, around: Surroundings) -> Interpreter:
    from envc.install.interpreter import find_interpreter

    record, floors = bundle.record, bundle.card.floors
    found = find_interpreter(record.interpreter, python_of(bundle), record.platform, around.environ, around.cache)
    if floors and not around.force:
        from envc.install.machine import check_floors, machine_of

        check_floors(floors, machine_of(found), around.environ)
    return found


def _ready(
    bundle: BundleFile, environment: Environment | None, interpreter: Interpreter, around: Surroundings
) -> tuple[Path, bool]:
    from envc.hydrate import ready_environment

    with _reading():
        return ready_environment(
            bundle,
            bundle.record,
            interpreter=interpreter,
            cache=around.cache,
            progress=around.progress,
            environment=environment,
            force=around.force,
        )
