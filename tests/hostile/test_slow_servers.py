"""Servers that keep a connection busy without ever ending, and pages that are small only while they are compressed."""

from __future__ import annotations

import gzip
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from envc.errors import SourceUnreachable
from envc.fetch.net import connections
from envc.fetch.net.credentials import Keyring
from envc.fetch.net.http import Client, RequestFailed, Stream
from envc.model.limits import PAGE_BYTES
from envc.system.retries import RetryPolicy

Answer = Callable[[socket.socket], None]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A server that reads each request, calls `answer`, and closes the connection. Yields its URL."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.recv(1 << 16)
            try:
                answer(connection)
            except OSError:
                pass  # the client has gone

    def accept() -> None:
        while True:
            try:
                connection = listening.accept()[0]
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client that averages rates over a quarter of a second."""
    monkeypatch.setattr(connections, "RATE_PERIOD_SECONDS", 0.25)
    made = Client(Keyring(), retries=RetryPolicy(tries=4, first=0.01, longest=0.01))
    yield made
    made.close()


def drip(connection: socket.socket, before: bytes, pause: float = 0.02) -> None:
    connection.sendall(before)
    for _ in range(3_000):
        time.sleep(pause)
        connection.sendall(b"x")


@pytest.mark.parametrize(
    "before",
    [
        HEAD + b"Content-Length: 100000\r\n\r\n",
        HEAD + b"Connection: close\r\n\r\n",
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 100000\r\n\r\n" + gzip.compress(b"a" * 100)[:20],
        HEAD + b"X-Long: ",
        b"HTTP/1.1 ",
        b"",
    ],
    ids=["body", "body without length", "compressed body", "header", "status line", "nothing"],
)
def test_a_server_that_drips_is_given_up(client: Client, before: bytes) -> None:
    asked: list[float] = []

    def answer(connection: socket.socket) -> None:
        asked.append(time.monotonic())
        drip(connection, before)

    with serving(answer) as url:
        start = time.monotonic()
        with pytest.raises(SourceUnreachable, match=r"fewer than 1,024 bytes a second over 0.25 s"):
            client.get("pypi", "the page of demo", url, limit=1 << 20)
    assert time.monotonic() - start < 20
    assert len(asked) == 2  # a third try would most likely drip as well


def test_a_store_that_drips_is_given_up(client: Client) -> None:
    """Ranges of a store are read in one call of many bytes."""
    with (
        serving(lambda connection: drip(connection, HEAD + b"Content-Length: 9000000\r\n\r\n")) as url,
        pytest.raises(RequestFailed, match="bytes a second"),
    ):
        client.request(url, lambda stream: stream.read_span(0, 9_000_000))


def test_a_slow_reader_is_no_slow_server(client: Client) -> None:
    """Only the time spent waiting for the server counts."""
    body = bytes(1 << 20)

    def read(stream: Stream) -> int:
        size = 0
        for chunk in stream.chunks():
            size += len(chunk)
            time.sleep(0.03)
        return size

    with serving(lambda connection: connection.sendall(HEAD + b"Content-Length: 1048576\r\n\r\n" + body)) as url:
        assert client.request(url, read) == len(body)


def test_a_stall_in_a_fast_answer_is_no_slow_server(client: Client) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(HEAD + b"Content-Length: 2000\r\n\r\n" + bytes(1000))
        time.sleep(0.4)
        connection.sendall(bytes(1000))

    with serving(answer) as url:
        assert len(client.get("pypi", "the page of demo", url, limit=1 << 20).body) == 2000


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<" * (1 << 25), r"an answer of [\d,]+ bytes that decompresses to [\d,]+ and more"),
        (b"".join(os.urandom(64) + bytes(4032) for _ in range((PAGE_BYTES >> 12) + 1)), "more than 67,108,864 bytes"),
    ],
    ids=["ratio", "size"],
)
def test_a_page_is_bounded_after_decompression(client: Client, body: bytes, reason: str) -> None:
    packed = gzip.compress(body, 9)
    assert len(packed) < 1 << 21
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    with (
        serving(lambda connection: connection.sendall(head + packed)) as url,
        pytest.raises(SourceUnreachable, match=reason),
    ):
        client.get("pypi", "the page of demo", url, limit=PAGE_BYTES)


def test_git_ends_within_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from envc.fetch import git

    tool = tmp_path / "git"
    tool.write_text("#!/bin/sh\nexec sleep 60\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(git, "GIT_SECONDS", 0.3)
    repositories = git.Git(tmp_path, {"PATH": f"{tmp_path}:/usr/bin:/bin"}, Keyring(), offline=False)
    start = time.monotonic()
    with pytest.raises(SourceUnreachable, match=r"git did not end within 0.3 s"):
        repositories.commit("demo", "https://localhost/demo.git", "main")
    assert time.monotonic() - start < 20
