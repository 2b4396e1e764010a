"""Standard streams that are closed, full or unread, resources that are used up, and Ctrl-C while Python starts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.e2e.command import ENVC, Workplace
from tests.support.manifests import project_table
from tests.support.servers import IndexServer

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full and limits of Linux")

MANIFEST = f"{project_table('linux-64', python='3.11')}\n[steps.train]\npypi = ['gamma']\n"
CLOSED = ["2>&-", "2>/dev/full", "0<&- 2>&-", ">&-", ">/dev/full", "0<&- >&- 2>&-", ">/dev/full 2>/dev/full"]


def _shell(workplace: Workplace, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", "-c", f"exec {line.replace('envc', str(ENVC), 1)}"],
        cwd=workplace.checkout,
        env=workplace.env,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("streams", CLOSED)
def test_work_that_is_done_counts_although_nobody_can_read_about_it(
    workplace: Workplace, index: IndexServer, streams: str
) -> None:
    workplace.write(MANIFEST)
    done = _shell(workplace, f"envc lock {streams}")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert 'id = "pypi:gamma"' in workplace.lock.read_text()
    assert "wrote" not in workplace.lock.read_text()  # no message went into a file that took the number of a stream


@pytest.mark.parametrize("streams", [">&-", ">/dev/full"])
@pytest.mark.parametrize("verb", ["lock --json", "lock --check --json", "status", "status --json", "cache", "--help"])
def test_output_that_cannot_be_written_is_an_expected_failure(
    workplace: Workplace, index: IndexServer, verb: str, streams: str
) -> None:
    workplace.write(MANIFEST)
    workplace.ok("lock")
    done = _shell(workplace, f"envc {verb} {streams}")
    assert done.returncode == 1
    assert "standard output cannot be written: " in done.stderr or "no more disk space" in done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


@pytest.mark.parametrize("streams", [">&-", ">/dev/full", ">&- 2>&-"])
def test_a_failure_keeps_its_exit_code_where_its_json_cannot_be_written(workplace: Workplace, streams: str) -> None:
    workplace.write("[project")
    done = _shell(workplace, f"envc lock --json {streams}")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_a_pipe_without_a_reader_is_silent(workplace: Workplace, index: IndexServer) -> None:
    workplace.write(MANIFEST)
    workplace.ok("lock")
    done = _shell(workplace, "envc status > >(exec 0<&-; sleep 1)")
    assert done.returncode in (0, 1)
    assert done.stderr == ""


LIMITED = """
import resource, sys
resource.setrlimit(getattr(resource, sys.argv[1]), (int(sys.argv[2]),) * 2)
if sys.argv[1] == "RLIMIT_AS":
    # The stacks of threads are as large as this limit says, and no address space is left for one.
    resource.setrlimit(resource.RLIMIT_STACK, (int(sys.argv[2]),) * 2)
import os
os.execv(sys.argv[3], sys.argv[3:])
"""


@pytest.mark.parametrize(
    ("limit", "value"),
    [("RLIMIT_AS", 4 << 30), ("RLIMIT_AS", 64 << 20), ("RLIMIT_NOFILE", 5), ("RLIMIT_NOFILE", 8)],
    ids=["no threads", "no memory", "five files", "eight files"],
)
def test_a_resource_that_is_used_up_is_an_expected_failure(
    workplace: Workplace, index: IndexServer, limit: str, value: int
) -> None:
    workplace.write(MANIFEST)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, limit, str(value), str(ENVC), "lock", "--json"],
        cwd=workplace.checkout,
        env=workplace.env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert done.returncode == 1, done.stderr
        assert json.loads(done.stdout)["error"]["code"] in ("exhausted", "source-unreachable", "inaccessible")
    assert workplace.lock.exists() == (done.returncode == 0)


INTERRUPTED = """
import os, signal, sys
from envc.cli.entry import main

class Interrupt:
    at = sys.argv[1]

    def find_spec(self, name, path=None, target=None):
        if name == self.at:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.argv = sys.argv[:1] + ["status"]
main()
"""


@pytest.mark.parametrize(
    "module", ["envc.cli.main", "envc.cli.verbs", "msgspec", "uuid", "envc.cli.output", "envc.errors"]
)
def test_an_interrupt_while_modules_are_imported_ends_the_process_in_silence(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED), module], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("module", ["envc.cli.status", "envc.pipeline.project", "envc.locking.manifest.load"])
def test_an_interrupt_while_a_verb_is_imported_is_reported(module: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED), module],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.returncode == 130
    assert done.stderr.startswith("interrupted: ") and done.stderr.count("\n") == 1
