"""What a terminal shows while a command waits: in a pseudo-terminal, with real servers that are slow."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.command import ENVC, HOST_PYTHON, Workplace, host_platform
from tests.support.blob_servers import FolderServer, Server
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")

MANIFEST = f"""\
[project]
name = "slow"
targets = ["{host_platform()}"]
python = "{HOST_PYTHON}"

[steps.one]
pypi = ["alpha", "heavy"]
run = "python -c 'import alpha; print(alpha.__version__)'"
"""
PATIENCE = 30.0  # seconds


class Screen:
    """A command in a terminal, with everything that it has written to it."""

    def __init__(self, place: Workplace, *arguments: str, **env: str) -> None:
        import pty

        self._controller, terminal = pty.openpty()
        self._text = b""
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [ENVC, *arguments],
            cwd=place.checkout,
            env={"TERM": "xterm", "COLUMNS": "150", **place.env, **env},
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while data := os.read(self._controller, 1 << 16):
                self._text += data
        except OSError:  # how Linux ends a terminal that nobody holds open any more
            pass

    @property
    def text(self) -> str:
        return self._text.decode(errors="replace")

    def until(self, shows: str | Callable[[str], bool]) -> float:
        """Wait until the terminal has shown that text, or one that fits. Returns the seconds since the start."""
        while not (re.search(shows, self.text) if isinstance(shows, str) else shows(self.text)):
            assert time.monotonic() < self.began + PATIENCE, self.text
            assert self.process.poll() is None, self.text
            time.sleep(0.02)
        return time.monotonic() - self.began

    def end(self) -> int:
        code = self.process.wait(timeout=PATIENCE)
        self._reader.join(PATIENCE)
        os.close(self._controller)
        return code


@contextmanager
def shown(place: Workplace, *arguments: str, **env: str) -> Iterator[Screen]:
    screen = Screen(place, *arguments, **env)
    try:
        yield screen
    finally:
        if screen.process.poll() is None:
            screen.process.kill()
            screen.end()


@pytest.fixture
def place(workplace: Workplace, index: IndexServer) -> Workplace:
    noise = random.Random(1).randbytes(300_000).hex()  # compresses to a half
    index.add(build_wheel("heavy", "1.0", files={"heavy.py": f"X = '{noise}'\n"}))
    workplace.write(MANIFEST)
    return workplace


def test_an_index_that_hangs_is_named_before_anything_advances(place: Workplace, index: IndexServer) -> None:
    """By time: the index never answers, so nothing ever advances."""
    index.behaviour.delay = PATIENCE
    host = index.base.removeprefix("http://")
    with shown(place, "lock") as screen:
        seconds = screen.until(rf"waiting for {host}: the page of (alpha|heavy)")
        screen.process.send_signal(signal.SIGINT)
        assert screen.end() == 130
    # Half a second on an idle machine. This bound is for machines that run other tests at the same time.
    assert seconds < PATIENCE / 2
    assert screen.text.count("\x1b[?25l") == screen.text.count("\x1b[?25h")  # the cursor is visible again


def test_retries_and_their_reason_are_shown(place: Workplace, index: IndexServer) -> None:
    """Fails if the screen never shows the text."""
    index.behaviour.unavailable = 1
    index.behaviour.retry_after = "20"
    with shown(place, "lock") as screen:
        screen.until(r"waiting for 127\.0\.0\.1:\d+: the page of \w+.* \(try 2: HTTP 503\)")


def test_the_bytes_of_a_slow_store_advance_while_they_move(place: Workplace) -> None:
    place.ok("lock")
    place.ok("bundle")
    with FolderServer(place.store) as server:
        server.rate = 250_000
        with shown(place, "run", "one", "--store", server.url) as screen:
            screen.until(r"waiting for 127\.0\.0\.1:\d+: heavy 1\.0.*[kM]B in all at .*[kM]B/s")
            assert screen.end() == 0
    counts = re.findall(r"files [━─]+ ([0-9.]+) kB/", screen.text)
    assert len(set(counts)) >= 3, counts
    # What was drawn is removed before the step prints.
    assert screen.text.rindex("\x1b[?25h") < screen.text.index("1.1\r\n")


class SlowBucket(Server):
    """As much of S3 as a bundle needs. Large uploads take a second."""

    def __init__(self) -> None:
        super().__init__()
        self.blobs: dict[str, bytes] = {}

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        key = path.partition("?")[0]
        about = {"ETag": '"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        if method == "PUT":
            time.sleep(1.0 if len(body) > 100_000 else 0.0)
            self.blobs[key] = body
            return 200, about, b""
        if method == "DELETE":
            return 204, {}, b""
        if "list-type" in path:
            return 200, {}, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
        if key not in self.blobs:
            return 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"
        data = self.blobs[key]
        if "range" in headers:
            first, last = map(int, headers["range"].removeprefix("bytes=").split("-"))
            part = data[first : last + 1]
            return 206, about | {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(data)}"}, part
        return 200, about | {"Content-Length": str(len(data))}, data


def test_an_upload_is_shown_with_its_file_size_and_store(place: Workplace) -> None:
    pytest.importorskip("obstore")
    place.ok("lock")
    with SlowBucket() as bucket:
        login = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
        with shown(place, "bundle", "--store", "s3://b/team", **login, AWS_ENDPOINT_URL=bucket.url) as screen:
            screen.until(r"waiting for s3://b/team: heavy-1\.0-py3-none-any\.whl.*, 0\.0 kB of 0\.\d MB")
            assert screen.end() == 0, screen.text


@pytest.mark.parametrize("where", ["a pipe", "a quiet terminal"])
def test_nothing_of_this_is_shown(place: Workplace, index: IndexServer, where: str) -> None:
    index.behaviour.delay = 0.1
    if where == "a pipe":
        err = place.ok("lock").err
        assert "waiting" not in err
        assert "\x1b" not in err
        return
    with shown(place, "lock", "--quiet") as screen:
        assert screen.end() == 0
    assert screen.text == ""


FORKS = """
import sys, time
from pathlib import Path
from envc.cli.progress import Terminal
from envc.system.forks import can_fork, pausable, run_in_forks

with Terminal() as terminal:
    task = terminal.task("work", 40)
    time.sleep(0.5)
    assert len(pausable) == 1
    assert can_fork(40)
    def work(number):
        time.sleep(0.02)
        Path(sys.argv[1], str(number)).write_text(str(__import__("os").getpid()))
        return True
    run_in_forks(work, 40, forks=2, done=lambda number: task.advance())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="forks are used only there")
def test_work_is_still_shared_among_forks_while_a_terminal_is_drawn(tmp_path: Path) -> None:
    import pty

    controller, terminal = pty.openpty()
    out = tmp_path / "out"
    out.mkdir()
    child = subprocess.Popen(
        [sys.executable, "-c", FORKS, str(out)], stderr=terminal, env={**os.environ, "TERM": "xterm"}
    )
    os.close(terminal)
    text = b""
    try:
        while data := os.read(controller, 1 << 16):
            text += data
    except OSError:
        pass
    assert child.wait(PATIENCE) == 0, text.decode()
    assert len({file.read_text() for file in out.iterdir()}) == 3
    assert re.search(rb"work .* [1-3]?[0-9]/40", text)
    os.close(controller)
