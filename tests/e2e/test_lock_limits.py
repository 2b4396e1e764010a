"""A search that reaches a limit ends with a message that says what it was trying."""

from __future__ import annotations

import time

from tests.e2e.command import HOST_PYTHON, Workplace
from tests.support.manifests import project_table
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

MANIFEST = f"""\
{project_table("linux-64", python=HOST_PYTHON)}
[steps.only]
pypi = ["upper", "lower"]
"""


def publish(index: IndexServer, count: int) -> None:
    """Publish two projects whose versions all require something that does not exist."""
    for number in range(1, count + 1):
        index.add(build_wheel("upper", f"{number}.0", [f"lower=={number}.0", f"nothing{number}>=1"]))
        index.add(build_wheel("lower", f"{number}.0"))


def test_the_search_ends_at_the_limit_of_candidates(workplace: Workplace, index: IndexServer) -> None:
    publish(index, 8)
    workplace.write(MANIFEST)
    done = workplace.fails(1, "lock", "--max-candidates", "3", "--json")
    assert "was stopped after 3 candidates while deciding" in done.err
    assert "upper  (steps.only.pypi[0], line 7)" in done.err
    assert "raise --time-limit or --max-candidates" in done.err
    problem = done.json["error"]["problems"][0]
    assert (problem["tried"], problem["late"]) == (3, False)
    assert not workplace.lock.exists()
    solved = workplace.fails(1, "solve", "--pypi", "upper", "--max-candidates", "2")
    assert "was stopped after 2 candidates" in solved.err
    whole = workplace.fails(1, "lock")
    assert "was stopped" not in whole.err


def test_the_search_ends_at_the_time_limit(workplace: Workplace, index: IndexServer) -> None:
    publish(index, 12)
    index.behaviour.delay = 0.4
    workplace.write(MANIFEST)
    start = time.monotonic()
    done = workplace.fails(1, "lock", "--time-limit", "1s")
    assert time.monotonic() - start < 60
    assert "candidates, when its time ran out, while deciding" in done.err
    wrong = workplace.fails(2, "lock", "--time-limit", "2026-01-01")
    assert "is a point in time, not a span" in wrong.err
