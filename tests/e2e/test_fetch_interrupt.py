"""Ctrl-C while pages and metadata are fetched ends the run quickly and loses nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

PROJECTS = 60
SCRIPT = """
import signal
import sys
from pathlib import Path
from envc.context import Context
from envc.fetch.context import fetch_context
from envc.fetch.pypi.indexes import Indexes, SourceOrder
from envc.fetch.net.settings import FetchSettings
from envc.model.manifest import Source
from envc.model.progress import Silent
from envc_solvers.pypi.language.requirement import parse
from envc_solvers.target import Python, default_target

# A shell has interrupts ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
settings = FetchSettings(cache=Path(sys.argv[1]))
source = Source(name="pypi", kind="pypi", url=sys.argv[2])
names = [f"demo{number}" for number in range(int(sys.argv[3]))]
environ = {"ENVC_NOW": "2027-01-15T08:00:00Z", "ENVC_CACHE_DIR": sys.argv[1]}
context = Context(environ=environ, cwd=Path(), progress=Silent())
with Indexes({"pypi": source}, fetch_context(settings, context)) as origins:
    index = origins.index(default_target("linux-64"), Python(minor=(3, 12)), SourceOrder(("pypi",)))
    index.expect([parse(name) for name in names])
    for name in names:
        view = index.view(name)
        index.metadata(view, view.releases[0].files[0])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to a single process")
@pytest.mark.parametrize("served", [1, 20, 70])
def test_ctrl_c_ends_quickly_and_the_next_run_continues(tmp_path: Path, served: int) -> None:
    with IndexServer([build_wheel(f"demo{number}", "1.0") for number in range(PROJECTS)]) as server:
        server.behaviour.delay = 0.05
        command = [sys.executable, "-c", SCRIPT, str(tmp_path), server.url, str(PROJECTS)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while len(server.log) < served:
            assert process.poll() is None, f"it ended after {len(server.log)} requests"
            time.sleep(0.001)
        # A server that stopped answering must not keep the run alive. Its earlier answers have time to arrive.
        server.behaviour.delay = 20
        time.sleep(1.5)
        finished = set(server.paths)
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        _, errors = process.communicate(timeout=60)
        assert time.monotonic() - start < 15
        assert errors.strip().endswith("KeyboardInterrupt")
        assert "Exception in thread" not in errors and "database" not in errors

        server.behaviour.delay = 0
        server.forget()
        subprocess.run(command, check=True, timeout=60)
        assert not finished & set(server.paths)
        server.forget()
        subprocess.run(command, check=True, timeout=60)
        assert server.paths == []
