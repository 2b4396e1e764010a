"""The law of edited locks: an edit is reported, or the lock still says what a solver may have chosen.

Whatever is not reported is compared with `tests/support/lock_judge.py`, which shares no code with the check. So no edit
makes `run` start with other packages than the lock says: the name of every file agrees with its entry, and its digest
is compared when it is read.
"""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envc.errors import LockFileError
from envc.locking.lockfile.load import loads
from envc.locking.plan.closure import BrokenLock, Closures
from envc.locking.plan.freshness import Freshness, compare
from envc.model.graph import LockGraph
from envc.pipeline.lock import LockRequest, lock
from envc.pipeline.project import open_project
from tests.support.lock_edits import edited, spliced
from tests.support.lock_judge import judged
from tests.support.lock_worlds import World, world

NAMES = ["pypi", "conda", "mixed"]
FEW, MANY = 120, 2_000


def freshness(text: str, world: World) -> tuple[LockGraph, Freshness] | None:
    """What a lock is found to be; None if it cannot be read, or a local project has another digest than it says."""
    try:
        graph = loads(text)
    except LockFileError:
        return None
    local = {"local": next((build.tree for build in loads(world.ours).builds if build.tree), "")}
    return graph, compare(world.manifest, world.step_targets, graph, local if world.name == "pypi" else {})


def holds(text: str, world: World) -> None:
    """Assert the law for one text."""
    found = freshness(text, world)
    if found is None:
        return
    graph, answer = found
    closures = Closures(graph)
    for step_target in world.step_targets:
        if step_target.id in answer.fresh:
            assert judged(graph, world.manifest, step_target) == [], text
        # `--frozen` uses stale entries as well, but never a file under another name.
        try:
            environment = closures.environment(step_target)
        except BrokenLock:
            continue
        packages = {(package.kind, package.name, package.version) for package, _ in closures.pins(*step_target.id)}
        assert {(one.kind, one.name, one.version) for one in environment.members} == packages


@pytest.mark.parametrize("name", NAMES)
def test_locks_of_solves_are_coherent(name: str) -> None:
    """The check and the judge find nothing in the locks that both branches have, and the judge finds what it should."""
    one = world(name)
    found = freshness(one.ours, one)
    assert found is not None
    assert found[1].is_fresh
    holds(one.ours, one)
    graph = loads(one.ours)
    other = tuple(msgspec.structs.replace(package, version="7.7") for package in graph.packages)
    for changed in (msgspec.structs.replace(graph, packages=other), loads(one.theirs)):
        assert any(judged(changed, one.manifest, step_target) for step_target in one.step_targets)


def _check_edits(name: str, data: st.DataObject) -> None:
    one = world(name)
    holds(data.draw(edited(one.ours, one.theirs)), one)


def _check_merges(name: str, data: st.DataObject) -> None:
    one = world(name)
    holds(data.draw(spliced(one.base, one.ours, one.theirs)), one)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=FEW)
@given(data=st.data())
def test_an_edit_is_reported_or_harmless(name: str, data: st.DataObject) -> None:
    _check_edits(name, data)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=FEW)
@given(data=st.data())
def test_a_splice_of_two_locks_is_reported_or_harmless(name: str, data: st.DataObject) -> None:
    _check_merges(name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=MANY)
@given(data=st.data())
def test_many_edits_are_reported_or_harmless(name: str, data: st.DataObject) -> None:
    _check_edits(name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=MANY)
@given(data=st.data())
def test_many_splices_are_reported_or_harmless(name: str, data: st.DataObject) -> None:
    _check_merges(name, data)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(data=st.data())
def test_a_lock_after_a_splice_is_coherent(name: str, data: st.DataObject) -> None:
    """`lock` makes a lock that holds of whatever can be read."""
    one = world(name)
    one.place.lock.write_text(data.draw(spliced(one.base, one.ours, one.theirs)))
    try:
        project = open_project(None, one.context)
    except LockFileError:
        return
    lock(project, LockRequest(), one.context)
    again = open_project(None, one.context)
    assert again.freshness is not None
    assert again.freshness.is_fresh, again.freshness.reasons
    holds(one.place.lock.read_text(), one)
