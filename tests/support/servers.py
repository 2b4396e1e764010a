"""A package index on the loopback interface: a threaded HTTP server with the behaviour and faults of real indexes.

with IndexServer() as server:
    server.add(build_wheel("demo", "1.0", requires=["other>=2"]))
    ...use server.url...
    assert server.requests_for("/simple/demo/") == 1
"""

from __future__ import annotations

import base64
import html
import json
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from hashlib import sha256
from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec

from tests.support.loopback import Handler, Loopback
from tests.support.wheels import Distribution

UPLOADED = "2026-01-01T00:00:00Z"
_JSON = "application/vnd.pypi.simple.v1+json"


class Behaviour(msgspec.Struct):
    """How a server answers. A test may change it while the server runs."""

    pages: Literal["json", "html"] = "json"
    etag: bool = True
    modified: str | None = None  # Last-Modified of every page
    cache_control: str | None = "max-age=600"
    metadata: Literal["advertised", "present", "absent"] = "advertised"  # of `.metadata` siblings
    ranges: Literal["honoured", "ignored", "refused"] = "honoured"  # 206, 200 with everything, 416
    hashes: bool = True
    sizes: bool = True
    uploads: bool = True  # whether pages state upload times
    auth: tuple[str, str] | None = None  # user and password of HTTP basic; without them 401
    status: dict[str, int] = {}  # path prefix: the status of its answers, such as {"/simple/demo/": 403}
    unavailable: int = 0  # every n-th request is answered with 503; 1 means all of them
    retry_after: str | None = None  # the header Retry-After of those answers
    moved: str | None = None  # another server's `base`, to which everything is redirected
    redirect_files: str | None = None  # another server's `base`, to which files are redirected
    cut: dict[str, int] = {}  # file: its next answer is cut after this many bytes, and the connection is dropped
    corrupt: set[str] = set()  # files whose last byte is changed when served
    bodies: dict[str, tuple[str, bytes]] = {}  # path: content type and bytes that replace the ordinary answer
    delay: float = 0.0  # seconds before each answer
    replaced: dict[str, object] = {}  # keys of every file on JSON pages, with other values


class Request(msgspec.Struct, frozen=True):
    """One request as the server saw it, and the status of its answer."""

    method: str
    path: str  # without query
    headers: dict[str, str]  # names in lower case
    status: int


class _Listed(msgspec.Struct, frozen=True):
    distribution: Distribution
    uploaded: str
    yanked: str | None


class IndexServer(Loopback):
    """Serves ``/simple/<project>/``, ``/files/<file>`` (+ ``.metadata``) and ``/links/`` (one flat page of all)."""

    def __init__(
        self,
        distributions: Iterable[Distribution] = (),
        behaviour: Behaviour | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.log: list[Request] = []  # in the order of the answers
        self._files: dict[str, _Listed] = {}
        self._lock = threading.Lock()
        self._served = 0
        for distribution in distributions:
            self.add(distribution)
        super().__init__(_Handler)
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            # The thread that answers does the handshake.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    def add(self, distribution: Distribution, *, uploaded: str = UPLOADED, yanked: str | None = None) -> Distribution:
        """List one more file and return it. `yanked` is a reason, or "" if none is given."""
        self._files[distribution.file] = _Listed(distribution, uploaded, yanked)
        return distribution

    def remove(self, file: str) -> None:
        """Remove a file from its page and stop serving it."""
        del self._files[file]

    @property
    def base(self) -> str:
        """URL of the root, without a trailing slash; https if the server uses TLS."""
        return super().base.replace("http", self._scheme, 1)

    @property
    def url(self) -> str:
        """The index's URL, as in a manifest."""
        return f"{self.base}/simple"

    def url_with(self, user: str, password: str) -> str:
        """Return the index's URL with credentials."""
        return self.url.replace("://", f"://{user}:{password}@", 1)

    @property
    def paths(self) -> list[str]:
        """The paths of all requests so far."""
        return [request.path for request in self.log]

    def requests_for(self, path: str) -> int:
        return self.paths.count(path)

    def forget(self) -> None:
        """Empty the log."""
        self.log.clear()

    def files_of(self, project: str) -> list[_Listed]:
        return [listed for listed in self._files.values() if listed.distribution.project == project]

    def every_file(self) -> list[_Listed]:
        return list(self._files.values())

    def file(self, name: str) -> Distribution | None:
        listed = self._files.get(name)
        return listed.distribution if listed else None

    def is_unavailable(self) -> bool:
        """Count one request, and return whether it must fail."""
        with self._lock:
            self._served += 1
            return bool(self.behaviour.unavailable) and self._served % self.behaviour.unavailable == 0

    def take_cut(self, file: str) -> int | None:
        with self._lock:
            return self.behaviour.cut.pop(file, None)


class _Handler(Handler):
    owner: IndexServer

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        behaviour = self.owner.behaviour
        if behaviour.delay:
            time.sleep(behaviour.delay)
        if self.owner.is_unavailable():
            extra = {"Retry-After": behaviour.retry_after} if behaviour.retry_after is not None else {}
            return self._answer(503, b"busy", extra)
        if behaviour.auth is not None and self.headers.get("Authorization") != _basic(*behaviour.auth):
            return self._answer(401, b"who are you?", {"WWW-Authenticate": 'Basic realm="tests"'})
        if behaviour.moved is not None:
            return self._answer(302, b"", {"Location": f"{behaviour.moved}{self.path}"})
        for prefix, status in behaviour.status.items():
            if path.startswith(prefix):
                return self._answer(status, b"as told")
        if path in behaviour.bodies:
            kind, body = behaviour.bodies[path]
            return self._answer(200, body, {"Content-Type": kind})
        if match := re.fullmatch(r"/simple/([^/]+)/", path):
            return self._page(match[1])
        if match := re.fullmatch(r"/simple/([^/]+)", path):
            return self._answer(301, b"", {"Location": f"{path}/"})
        if path == "/links/":
            return self._answer(200, self._html(self.owner.every_file()), {"Content-Type": "text/html"})
        if path.startswith("/files/"):
            return self._file(path.removeprefix("/files/"))
        return self._answer(404, b"not here")

    def _page(self, project: str) -> None:
        listed = self.owner.files_of(project)
        if not listed:
            return self._answer(404, b"no such project")
        behaviour = self.owner.behaviour
        if behaviour.pages == "json":
            kind, body = _JSON, self._json(project, listed)
        else:
            kind, body = "text/html; charset=utf-8", self._html(listed)
        headers = {"Content-Type": kind}
        if behaviour.cache_control is not None:
            headers["Cache-Control"] = behaviour.cache_control
        if behaviour.etag:
            headers["ETag"] = f'"{sha256(body).hexdigest()[:16]}"'
            if self.headers.get("If-None-Match") == headers["ETag"]:
                return self._answer(304, b"", headers)
        if behaviour.modified is not None:
            headers["Last-Modified"] = behaviour.modified
            if self.headers.get("If-Modified-Since") == behaviour.modified:
                return self._answer(304, b"", headers)
        return self._answer(200, body, headers)

    def _json(self, project: str, listed: list[_Listed]) -> bytes:
        behaviour = self.owner.behaviour
        files = []
        for item in listed:
            distribution = item.distribution
            entry: dict[str, object] = {
                "filename": distribution.file,
                "url": f"../../files/{distribution.file}",
                "hashes": {"sha256": distribution.sha256} if behaviour.hashes else {},
                "yanked": False if item.yanked is None else item.yanked or True,
            }
            if distribution.requires_python:
                entry["requires-python"] = distribution.requires_python
            if behaviour.sizes:
                entry["size"] = distribution.size
            if behaviour.uploads:
                entry["upload-time"] = item.uploaded
            if behaviour.metadata == "advertised" and distribution.file.endswith(".whl"):
                entry["core-metadata"] = {"sha256": sha256(distribution.metadata).hexdigest()}
            files.append(entry | behaviour.replaced)
        versions = sorted({item.distribution.version for item in listed})
        page = {"meta": {"api-version": "1.1"}, "name": project, "versions": versions, "files": files}
        return json.dumps(page).encode()

    def _html(self, listed: list[_Listed]) -> bytes:
        lines = []
        for item in listed:
            distribution = item.distribution
            fragment = f"#sha256={distribution.sha256}" if self.owner.behaviour.hashes else ""
            attributes = ""
            if distribution.requires_python:
                attributes += f' data-requires-python="{html.escape(distribution.requires_python)}"'
            if item.yanked is not None:
                attributes += f' data-yanked="{html.escape(item.yanked)}"'
            if self.owner.behaviour.metadata == "advertised" and distribution.file.endswith(".whl"):
                attributes += f' data-core-metadata="sha256={sha256(distribution.metadata).hexdigest()}"'
            url = f"/files/{distribution.file}{fragment}"
            lines.append(f'<a href="{url}"{attributes}>{distribution.file}</a><br/>')
        return ("<!DOCTYPE html><html><body>\n" + "\n".join(lines) + "\n</body></html>\n").encode()

    def _file(self, name: str) -> None:
        behaviour = self.owner.behaviour
        if behaviour.redirect_files is not None:
            return self._answer(302, b"", {"Location": f"{behaviour.redirect_files}/files/{name}"})
        if name.endswith(".metadata"):
            owner = self.owner.file(name.removesuffix(".metadata"))
            if owner is None or behaviour.metadata == "absent":
                return self._answer(404, b"no metadata")
            return self._body(name, owner.metadata)
        distribution = self.owner.file(name)
        if distribution is None:
            return self._answer(404, b"no such file")
        return self._body(name, distribution.data)

    def _body(self, name: str, body: bytes) -> None:
        behaviour = self.owner.behaviour
        if name in behaviour.corrupt:
            body = body[:-1] + bytes([body[-1] ^ 0xFF])
        headers = {"ETag": f'"{sha256(body).hexdigest()[:16]}"', "Content-Type": "application/octet-stream"}
        cut = self.owner.take_cut(name)
        range_header = self.headers.get("Range")
        if range_header is None or behaviour.ranges == "ignored":
            return self._answer(200, body, headers, cut)
        if behaviour.ranges == "refused":
            return self._answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        if self.headers.get("If-Range") not in (None, headers["ETag"]):
            return self._answer(200, body, headers, cut)
        span = _span(range_header, len(body))
        if span is None:
            return self._answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        start, stop = span
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
        return self._answer(206, body[start:stop], headers, cut)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None) -> None:
        seen = {key.lower(): value for key, value in self.headers.items()}
        path = unquote(urlsplit(self.path).path)
        self.owner.log.append(Request(method=self.command, path=path, headers=seen, status=status))
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if cut is not None:
            self.wfile.write(body[:cut])
            self.wfile.flush()
            self.close_connection = True
        elif status != 304:
            self.wfile.write(body)


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _span(header: str, size: int) -> tuple[int, int] | None:
    """Return start and stop of a Range header with a single range; None if it cannot be satisfied."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header)
    if match is None or match.groups() == ("", ""):
        return None
    if match[1] == "":
        start, stop = max(0, size - int(match[2])), size
    else:
        start, stop = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
    return (start, stop) if start < stop else None


class TunnelProxy(Loopback):
    """A proxy that supports only CONNECT (RFC 9110, 9.3.6), like a company's proxy to the internet."""

    def __init__(self) -> None:
        self.tunnels: list[tuple[str, str]] = []  # host and port, and the Proxy-Authorization header
        super().__init__(_Tunnel)

    def url(self, login: str = "") -> str:
        return self.base.replace("//", f"//{login}", 1)


class _Tunnel(Handler):
    owner: TunnelProxy

    def do_CONNECT(self) -> None:
        self.owner.tunnels.append((self.path, self.headers.get("Proxy-Authorization") or ""))
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=60) as far:
            self.send_response(200, "here you are")
            self.end_headers()
            near = self.connection
            while True:
                ready, _, _ = select.select([near, far], [], [], 5)
                if not ready:
                    return
                for one in ready:
                    data = one.recv(1 << 16)
                    if not data:
                        return
                    (far if one is near else near).sendall(data)
