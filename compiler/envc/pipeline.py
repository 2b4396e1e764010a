"""The whole compiler on a page: each function is one verb, and reads as the stages it runs.

Stages that touch the network or a store are imported by the verbs that reach them: start-up is part of the product.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc import lockfile
from envc.closure import Closures, new_conda
from envc.errors import DigestMismatch, UsageError, render_key_path
from envc.expand import StepTarget, expand
from envc.link import choice_of, link
from envc.model.digest import Sha256, sha256
from envc.model.graph import LockGraph
from envc.pose import pose, refuse_builds, refuse_interpreters
from envc.project import (
    Project,
    Selection,
    answers,
    cell_for,
    channel_addresses,
    check,
    locked,
    open_project,
    reasons,
    select,
    store_of,
    this_platform,
    warn_of_yanked,
    with_lines,
)
from envc.relock import Moves, plan
from envc.stale import Reason, compare
from envc.surroundings import Surroundings

if TYPE_CHECKING:
    from envc.hydrate import Loading
    from envc.install.interpreter import Interpreter
    from envc.model.environment import Environment
    from envc.model.manifest import KeyPath, Manifest
    from envc.model.record import StepPointer
    from envc.pack import Bundled
    from envc.parse.conda_query import CondaQuery
    from envc.parse.query import Query
    from envc.review.changes import Change
    from envc.solving import Solved
    from envc.store.blobs import Blobs
    from envc.store.records import StoredRecord
    from envc_solvers.solution import Solution


# lock


class LockRequest(msgspec.Struct, frozen=True, kw_only=True):
    moves: Moves = Moves()  # what need not stay
    selection: Selection = Selection()  # the step-targets to answer; all others stay as they are
    dry_run: bool = False


class LockOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a lock came to."""

    path: Path
    graph: LockGraph
    changed: bool = False
    written: bool = False
    solved: int = 0  # solver runs
    seconds: float = 0.0
    changes: tuple[Change, ...] = ()
    left: tuple[Reason, ...] = ()  # why the lock is out of date beside what was selected


def lock(project: Project, request: LockRequest, around: Surroundings) -> LockOutcome:
    """plan → pose → solve → link → lockfile, for what the lock beside the manifest does not answer."""
    manifest, graph = project.manifest, project.graph
    selected = select(project, request.selection)
    label = partial(_place, manifest, selected)
    refuse_interpreters(selected, label)
    start = time.monotonic()
    if graph is not None and request.moves == Moves() and answers(project, selected):
        warn_of_yanked(graph, around)
        return LockOutcome(path=manifest.lock_path, graph=graph, left=reasons(project))
    from envc.review.changes import changes
    from envc.review.yanked import with_yanked

    planned = plan(project, selected, request.moves)
    refuse_builds(manifest, planned.solve, label)
    problems = pose(
        manifest,
        planned.solve,
        now=around.now,
        lock=None if request.moves.upgrade else graph,
        release=planned.moving.__contains__,
        wanted=planned.wanted,
    )
    choices = dict(planned.choices)
    answered: Solved | None = None
    if problems:
        from envc.solving import line_labels, solve_problems

        answered = solve_problems(
            problems,
            manifest,
            around,
            line_labels(manifest, selected),
            lock=None if request.moves.upgrade else graph,
            release=planned.moving.__contains__,
        )
        for posed, solution in answered.solutions:
            solved = tuple(choice_of(pin, posed.cells[0]) for pin in solution.pins)
            choices.update(((cell.step, cell.key), solved) for cell in posed.cells)
    linked = link(planned.asking, choices, planned.options, graph, answered.builds if answered is not None else ())
    if answered is not None:
        linked = with_yanked(linked, answered.yanked)
    if answered is not None and (fresh := new_conda(linked, graph, planned.solve)):
        from envc.solving import warn_of_link_scripts

        warn_of_link_scripts(manifest, fresh, around, answered.keyring)
    warn_of_yanked(linked, around)
    path, text = manifest.lock_path, lockfile.dumps(linked)
    return LockOutcome(
        path=path,
        graph=linked,
        changed=not path.exists() or path.read_bytes() != text.encode(),
        written=not request.dry_run and lockfile.save_text(text, path),
        solved=len(problems),
        seconds=time.monotonic() - start,
        changes=changes(graph, linked),
        left=_left(project, linked) if len(selected) < len(project.cells) else (),
    )


def _left(project: Project, graph: LockGraph) -> tuple[Reason, ...]:
    """Why a lock of which a part was solved is out of date still."""
    return with_lines(project.manifest, compare(project.manifest, project.cells, graph).reasons)


def _place(manifest: Manifest, cells: tuple[StepTarget, ...], at: KeyPath) -> str:
    """A place in the manifest with its line."""
    from envc.solving import line_labels

    return line_labels(manifest, cells)(render_key_path(at))


# bundle


class BundleOptions(msgspec.Struct, frozen=True, kw_only=True):
    level: int = 9  # of zstd
    trust_store: bool = False  # believe objects that other machines made
    record: bool = False  # write the content digests into the lock, for hydrate to demand


def bundle(project: Project, selection: Selection, options: BundleOptions, around: Surroundings) -> Bundled:
    """closure → pack: what the lock names, verified, into the store; with `record`, what it holds into the lock."""
    from envc.code import code_entries
    from envc.install.derive import Ledger
    from envc.pack import BundleRequest, StepBundle, pack

    if options.record and options.trust_store:
        raise UsageError("--record writes what was derived here, and --trust-store derives nothing", "leave out one")
    manifest = project.manifest
    # A lock that is stale, or in the middle of a merge, is used as it is with --frozen, but nothing is added to it.
    graph = check(project) if options.record else locked(project, selection)
    closures = Closures(graph)
    cells = select(project, selection)
    warn_of_yanked(graph, around, cells)
    code = {globs: code_entries(manifest.root, globs) for globs in {manifest.steps[cell.step].code for cell in cells}}
    request = BundleRequest(
        project=manifest.name,
        lock=manifest.lock_path.read_bytes(),
        steps=tuple(
            StepBundle(
                step=cell.step,
                target=cell.target.name,
                environment=closures.environment(cell),
                code=code[manifest.steps[cell.step].code],
                run=manifest.steps[cell.step].run,
                env=manifest.steps[cell.step].env,
            )
            for cell in cells
        ),
        level=options.level,
        trust_store=options.trust_store,
    )

    def relock(contents: Mapping[tuple[Sha256, str], Sha256]) -> bytes:
        lockfile.save(lockfile.with_contents(graph, contents), manifest.lock_path)
        return manifest.lock_path.read_bytes()

    store = store_of(project, selection, around)
    from envc.solving import open_artifacts

    kinds = {member.kind for step in request.steps for member in step.environment.members}
    with open_artifacts(manifest, project.cells, graph, around, kinds) as artifacts:
        return pack(
            request,
            store,
            artifacts,
            ledger=Ledger(around.cache / "derived"),
            progress=around.progress,
            relock=relock if options.record else None,
        )


# hydrate and run


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """A step-target with where the store says it is."""

    manifest: Manifest
    store: Blobs
    environment: Environment  # as the lock has it
    pointer: StepPointer


def bind(project: Project, cell: StepTarget, selection: Selection, around: Surroundings) -> Bound:
    """closure → pointer: one request. Raises NotBundled, and CorruptBlob for a pointer to another environment."""
    from envc.store.errors import CorruptBlob, MissingBlob, NotBundled
    from envc.store.keys import step_key
    from envc.store.records import get_pointer

    store = store_of(project, selection, around)
    environment = Closures(locked(project, selection)).environment(cell)
    lock_digest = sha256(project.manifest.lock_path.read_bytes())
    key = step_key(project.manifest.name, lock_digest, cell.step, cell.target.name)
    try:
        pointer = get_pointer(store, key)
    except MissingBlob:
        raise NotBundled(store.name, key, cell.step, cell.target.name) from None
    if pointer.environment != environment.id:
        raise CorruptBlob(f"{key} in {store.name}", "points to another environment than the lock's")
    return Bound(manifest=project.manifest, store=store, environment=environment, pointer=pointer)


def bound_record(bound: Bound) -> StoredRecord:
    """pointer → record: one request. Raises CorruptBlob unless it names exactly the artifacts that the lock names."""
    from envc.hydrate import check_record
    from envc.store.records import read_record

    stored = read_record(bound.store, bound.environment.id, bound.pointer.record)
    check_record(stored.record, bound.environment, bound.store)
    return stored


def ready(bound: Bound, interpreter: Interpreter, around: Surroundings) -> tuple[Path, bool]:
    """The environment in the cache, and whether it was made now: record → hydrate, by one process for all that ask."""
    from envc.hydrate import find_ready, one_at_a_time, ready_environment

    environment, cache = bound.environment, around.cache

    def look() -> Path | None:
        return find_ready(environment, bound.pointer.record, interpreter=interpreter, cache=cache)

    found = look()
    if found is not None:
        return found, False
    with one_at_a_time(environment.id, cache):
        found = look()
        if found is not None:
            return found, False
        stored = bound_record(bound)
        return ready_environment(
            bound.store,
            stored.record,
            interpreter=interpreter,
            cache=cache,
            progress=around.progress,
            environment=environment,
            force=around.force,
            origins=channel_addresses(bound.manifest, bound.environment),
            text=stored.text,
        )


def hydrate(
    project: Project,
    step: str,
    prefix: Path | None,
    target: str | None,
    selection: Selection,
    around: Surroundings,
    loading: Loading | None = None,
) -> tuple[Path, bool]:
    """bind → record → hydrate, from the store alone: the prefix, and whether it had to be made.

    For a foreign target the files are unpacked without an interpreter. Without a `prefix` it is one in the cache, which
    is loaded in one way only; `loading` is for others.
    """
    from envc.hydrate import hydrate as fill

    cell = cell_for(project, step, target, around, foreign=target is not None)
    interpreter = _interpreter(cell, around) if cell.target.platform == this_platform() else None
    if prefix is None and interpreter is None:
        raise UsageError(
            f"an environment for {cell.target.name} cannot run here", "name a folder to unpack it: --prefix"
        )
    bound = bind(project, cell, selection, around)
    with distrust(around):
        if prefix is None and interpreter is not None:
            return ready(bound, interpreter, around)
        where = around.cwd / (prefix or "")
        stored = bound_record(bound)
        made = fill(
            bound.store,
            stored.record,
            where,
            interpreter=interpreter,
            cache=around.cache,
            progress=around.progress,
            loading=loading,
            environment=bound.environment,
            origins=channel_addresses(bound.manifest, bound.environment),
            text=stored.text,
        )
        return where, made


def run(
    project: Project,
    step: str,
    command: tuple[str, ...],
    target: str | None,
    selection: Selection,
    around: Surroundings,
    *,
    from_store: bool = False,
) -> int:
    """lock → bundle → hydrate, each only where it is missing, then the step. Does not return where exec is possible."""
    from envc.hydrate import ready_code
    from envc.run import Launch, split_command
    from envc.run import run as start
    from envc.store.errors import CorruptBlob, MissingBlob

    written = project.manifest.steps[step].run if step in project.manifest.steps else None
    words = command or (split_command(written) if written else ())
    cell = cell_for(project, step, target, around)
    if not words:
        raise UsageError(f"step {step} has no `run`", f"say what to run: `envc run {step} -- python …`")
    if project.graph is None:
        lock(project, LockRequest(), around)
        project = open_project(str(project.manifest.path), around)
    interpreter = _interpreter(cell, around)

    def get_ready() -> tuple[Bound, Path]:
        with distrust(around):
            bound = bind(project, cell, selection, around)
            return bound, ready(bound, interpreter, around)[0]

    try:
        bound, prefix = get_ready()
    except (MissingBlob, CorruptBlob, DigestMismatch) as error:
        if not isinstance(error, MissingBlob):
            around.progress.warn(f"{str(error).splitlines()[0]}; deriving it again")
        one = msgspec.structs.replace(selection, steps=(step,), targets=(cell.target.name,))
        bundle(project, one, BundleOptions(), around)
        bound, prefix = get_ready()
    folder = project.manifest.root
    if from_store:
        folder = ready_code(bound.store, bound.pointer, cache=around.cache, progress=around.progress) or folder
    env = project.manifest.steps[step].env
    return start(
        Launch(command=words, prefix=prefix, cwd=folder, env=env, interpreter=cell.interpreter), around.environ
    )


@contextmanager
def distrust(around: Surroundings) -> Iterator[None]:
    """Let the next bundle derive an object again that turned out corrupt, and compare it with the store's."""
    from envc.store.errors import CorruptBlob

    try:
        yield
    except CorruptBlob as error:
        # Imported here: a step that is ready needs neither, and they cost a tenth of its start.
        from envc.install.derive import Ledger
        from envc.install.tree import CorruptObject

        if isinstance(error, CorruptObject):
            Ledger(around.cache / "derived").forget(error.layout, error.artifact)
        raise


def _interpreter(cell: StepTarget, around: Surroundings) -> Interpreter:
    """What the step runs on here. Raises WrongMachine where the manifest declares more than this machine has."""
    from envc.install.interpreter import find_interpreter

    found = find_interpreter(cell.interpreter, cell.python, cell.target.platform, around.environ, around.cache)
    if cell.target.declared and not around.force:
        from envc.install.machine import check_floors, machine_of

        check_floors(cell.target.declared, machine_of(found), around.environ)
    return found


# solve


def solve_once(query: Query, around: Surroundings, conda: CondaQuery | None = None) -> Solution:
    """parse → expand → pose → solve, for one command line, without a lock; beside conda packages if there are some."""
    from envc.parse.query import parse_query
    from envc.solving import solve_both, solve_problems

    manifest = parse_query(query)
    problems = pose(manifest, expand(manifest), now=around.now)
    if conda is not None:
        return solve_both(conda, problems[0], manifest, around)
    return solve_problems(problems, manifest, around).solutions[0][1]
