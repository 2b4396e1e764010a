"""`cache prune` beside other commands: nothing that runs or is under way loses what it uses."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from envc.system.locks import exclusive_lock
from tests.e2e.command import ENVC, Workplace, host_platform
from tests.support.servers import IndexServer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="no open file is removed on Windows")

SECONDS = 40  # of the stress test
WAITING = """\
import sys
print("ready", flush=True)
sys.stdin.readline()
import alpha, importlib.metadata
from pathlib import Path
print(importlib.metadata.version("alpha"), Path("main.py").is_file(), flush=True)
"""


@pytest.fixture
def bundled(workplace: Workplace) -> Workplace:
    workplace.ok("lock")
    workplace.ok("bundle", "--platform", host_platform())
    return workplace


@pytest.mark.parametrize("options", [[], ["--from-store"]])
def test_a_running_step_keeps_its_environment_and_its_code(bundled: Workplace, options: list[str]) -> None:
    step = subprocess.Popen(
        [ENVC, "run", *options, "train", "--", "python", "-c", WAITING],
        cwd=bundled.checkout,
        env=bundled.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert step.stdin is not None and step.stdout is not None
    with step:
        assert step.stdout.readline() == "ready\n"
        bundled.ok("cache", "prune", "--all")
        assert not list(bundled.cache.glob("artifacts/*/*/*.whl"))
        step.stdin.write("\n")
        step.stdin.flush()
        assert step.stdout.readline() == "1.1 True\n"
    bundled.ok("cache", "prune", "--all")
    assert not list(bundled.cache.glob("envs/*")) and not list(bundled.cache.glob("code/*"))


def test_a_command_under_way_holds_the_lock_that_prune_waits_for(workplace: Workplace, index: IndexServer) -> None:
    use = workplace.cache / "locks/cache.lock"
    index.behaviour.delay = 1.0
    command = subprocess.Popen([ENVC, "lock"], cwd=workplace.checkout, env=workplace.env, stderr=subprocess.PIPE)
    seen = False
    while command.poll() is None and not seen:
        time.sleep(0.05)
        if use.exists():
            with exclusive_lock(use, patience=0) as is_alone:
                seen = not is_alone
    _, errors = command.communicate(timeout=60)
    assert command.returncode == 0, errors
    assert seen
    with exclusive_lock(use, patience=0) as is_alone:
        assert is_alone


@pytest.mark.slow
def test_no_run_bundle_or_hydrate_fails_while_the_cache_is_pruned(bundled: Workplace, tmp_path: Path) -> None:
    end = time.monotonic() + SECONDS
    failures: list[str] = []
    counts: dict[str, int] = {}

    def repeat(name: str, arguments: Callable[[int], list[str]], **env: str) -> threading.Thread:
        def work() -> None:
            number = 0
            while time.monotonic() < end:
                done = bundled.run(*arguments(number), **env)
                number += 1
                counts[name] = counts.get(name, 0) + 1
                if done.code:
                    failures.append(f"{name}: {done.err}{done.out}")

        thread = threading.Thread(target=work)
        thread.start()
        return thread

    platform = ["--platform", host_platform()]
    works = [
        repeat("prune", lambda _: ["cache", "prune", "--all", "-q"]),
        repeat("prune by age", lambda _: ["cache", "prune", "--unused", "1s", "-q"]),
        repeat("run", lambda _: ["run", "train"]),
        repeat("run the bundled code", lambda _: ["run", "--from-store", "train"]),
        repeat("bundle", lambda number: ["bundle", *platform, "--store", str(tmp_path / f"stores/{number}")]),
        repeat("hydrate", lambda number: ["hydrate", "train", "--prefix", str(tmp_path / f"prefixes/{number % 3}")]),
    ]
    for work in works:
        work.join()
    assert failures == [], f"{len(failures)} of {counts}"
    assert all(count > 3 for count in counts.values()), counts
