"""Stores on the loopback interface: a web server over a folder, an S3 server, and a proxy that injects faults."""

from __future__ import annotations

import http.client
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from itertools import count, cycle
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

import msgspec

from tests.support.loopback import Handler, Loopback

Fault = Literal["busy", "throttled", "reset", "cut", "lost"]
"""Status 503; status 429; a reset before the request is handled; half of the body; handled, but no answer is sent."""


class LoggedRequest(msgspec.Struct, frozen=True):
    """One request, as the server saw it."""

    method: str
    path: str  # with its query
    headers: dict[str, str]  # names in lower case
    outcome: str  # status, or the fault


class Server(Loopback):
    """A threaded HTTP server that cycles through `faults`: every `every`-th request gets the next one."""

    def __init__(self, *, every: int = 0, faults: tuple[Fault, ...] = ("busy", "cut", "reset")) -> None:
        self.every = every
        self.faults = faults
        self.log: list[LoggedRequest] = []
        self.rate = 0  # bytes a second of each body; 0 for no limit
        self._turn = cycle(faults)
        self._count = 0
        self._lock = threading.Lock()
        super().__init__(_Handler)

    @property
    def url(self) -> str:
        return self.base

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of the answer without faults."""
        raise LookupError(method)

    def next_fault(self) -> Fault | None:
        with self._lock:
            self._count += 1
            return next(self._turn) if self.every and self._count % self.every == 0 else None

    def methods(self) -> list[str]:
        return [request.method for request in self.log]


class FolderServer(Server):
    """Serves the files of a folder, with ranges unless `ranges` is false. `replaced` overrides the bytes of a path."""

    def __init__(self, folder: Path, *, ranges: bool = True, auth: str | None = None, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.folder = folder
        self.ranges = ranges
        self.auth = auth  # the Authorization header that requests must have
        self.replaced: dict[str, bytes] = {}

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        if self.auth is not None and headers.get("authorization") != self.auth:
            return 401, {}, b"who are you?"
        name = unquote(urlsplit(path).path).lstrip("/")
        file = self.folder / name
        if name not in self.replaced and not file.is_file():
            return 404, {}, b"not here"
        data = self.replaced[name] if name in self.replaced else file.read_bytes()
        wanted = headers.get("range")
        if wanted is None or not self.ranges:
            return 200, {}, data
        first, last = map(int, wanted.removeprefix("bytes=").split("-"))
        if first >= len(data):
            return 416, {}, b""
        part = data[first : last + 1]
        return 206, {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(data)}"}, part


class Proxy(Server):
    """Forwards every request to another server on this machine."""

    def __init__(self, target: str, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._target = urlsplit(target).netloc

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self._target, timeout=30)
        try:
            kept = {k: v for k, v in headers.items() if k not in ("host", "connection", "transfer-encoding", "expect")}
            connection.request(method, path, body, kept | {"Content-Length": str(len(body))})
            response = connection.getresponse()
            data = response.read()
            dropped = ["connection", "transfer-encoding", "date", "server"]
            if method != "HEAD":
                dropped.append("content-length")
            return response.status, {k: v for k, v in response.getheaders() if k.lower() not in dropped}, data
        finally:
            connection.close()


class S3Server:
    """A real S3 server (moto) in a separate process. `bucket` creates a new bucket each time."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._buckets = count()

    def environ(self, url: str | None = None) -> dict[str, str]:
        """The variables that point S3 clients at this server, or at a proxy in front of it."""
        return {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": url or self.url,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def bucket(self) -> str:
        """Create a bucket and return the URL of a store in it."""
        name = f"bucket-{next(self._buckets)}"
        with urlopen(Request(f"{self.url}/{name}", method="PUT")):
            return f"s3://{name}/team"

    def __enter__(self) -> S3Server:
        for _ in range(300):
            try:
                with urlopen(self.url):
                    return self
            except OSError:
                time.sleep(0.1)
        raise TimeoutError("the S3 server does not start")

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


class _Handler(Handler):
    owner: Server

    def _serve(self) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        body = self._body(headers)
        fault = self.owner.next_fault()
        extra: dict[str, str] = {}
        data = b""
        if fault in ("busy", "throttled"):
            status = 503 if fault == "busy" else 429
        elif fault == "reset":
            status = 0
        else:
            status, extra, data = self.owner.answer(self.command, self.path, headers, body)
        self.owner.log.append(LoggedRequest(self.command, self.path, headers, fault or str(status)))
        if fault in ("reset", "lost"):
            # With a linger time of 0 the kernel sends RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            for each in (self.rfile, self.wfile, self.connection):
                each.close()
            return
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(data))} | extra).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == "cut":
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            return
        piece = max(1, self.owner.rate // 20) if self.owner.rate else len(data) + 1
        for start in range(0, len(data), piece):
            self.wfile.write(data[start : start + piece])
            if self.owner.rate:
                time.sleep(0.05)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(headers.get("content-length", "0")))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)
