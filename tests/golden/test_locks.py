"""The text of lock files."""

from __future__ import annotations

import pytest

from envc.locking.lockfile.canonical import canonical
from envc.locking.lockfile.dump import dumps
from envc.locking.lockfile.load import loads
from envc.locking.lockfile.merge import dangling
from envc.model.graph import LockGraph
from tests.golden.regenerate import FOLDER, check_golden
from tests.support.lock_samples import SMALL, WHOLE


@pytest.mark.parametrize(
    ("name", "graph"), [("small", SMALL), ("whole", WHOLE), ("empty", LockGraph(environments=(), packages=()))]
)
def test_lock(name: str, graph: LockGraph) -> None:
    text = dumps(graph)
    check_golden(FOLDER / "locks" / f"{name}.lock", text)
    assert loads(text) == canonical(graph)
    assert not dangling(graph)
    assert "://" not in text
