"""A package index that is recorded once and then replayed with the original headers: gzip, ETag, max-age.

with Replay(folder, upstream="https://…/simple") as index:
    ...use index.url: the first request for a path is fetched from upstream and recorded in the folder...
    index.freeze()
    ...from now on no request leaves this machine...
    assert index.most_in_flight <= 24

File URLs are rewritten to point here. The rest of a page stays as recorded, notably the advertised metadata. Answers
are stored by method, path and range, so clients that read a wheel in different ways each get their own answer, and
stay in memory once they were read. The server is a single thread that parses very little, so that benchmarks do not
measure the server.
"""

from __future__ import annotations

import asyncio
import gzip
import ssl
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urljoin

import msgspec
import urllib3

PAGE_TYPE = "application/vnd.pypi.simple.v1+json"
_PAGE_AGE = 600  # seconds; as public indexes state for their pages
_FILE_AGE = 365_000_000  # and of their files
_RECORDED_AT_ONCE = 32
_KEPT = ("Content-Type", "Content-Range", "Accept-Ranges")
_REASONS = {200: "OK", 206: "Partial Content", 304: "Not Modified", 404: "Not Found", 416: "Range Not Satisfiable"}


class Request(msgspec.Struct, frozen=True):
    """A request: the fields that determine the answer."""

    method: str
    path: str
    range: str = ""  # the Range header


class Answer(msgspec.Struct, frozen=True):
    """The answer to a request."""

    status: int
    headers: dict[str, str]
    body: bytes  # as it is sent
    size: int  # Content-Length, which an answer to HEAD has without a body
    packed: bool = False  # with gzip


class _Recorded(msgspec.Struct, frozen=True):
    request: Request = msgspec.field(name="asked")  # the key in recordings that exist
    answer: Answer


class Replay:
    """A server on the loopback interface that replays a recording. Only one process at a time may use a folder."""

    def __init__(self, folder: Path, upstream: str | None = None, latency: float = 0.0) -> None:
        """`upstream` is the index to record, None to only replay; `latency` is in seconds, for every answer."""
        self.folder = folder
        self.latency = latency
        self.log: list[Request] = []  # in the order of arrival
        self.most_in_flight = 0
        self.unrecorded: list[Request] = []  # requested while frozen, and answered with 404
        self.unchanged = 0  # answers 304: the client had the body already
        self._upstream = upstream
        self._in_flight = 0
        self._answers: dict[Request, Answer] = {}
        self._pool = urllib3.PoolManager(maxsize=_RECORDED_AT_ONCE, ssl_context=ssl.create_default_context())
        self._loop = asyncio.new_event_loop()
        # Enough for all concurrent clients: some solvers read the ends of two thousand wheels.
        self._loop.set_default_executor(ThreadPoolExecutor(_RECORDED_AT_ONCE))
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self.clients: set[asyncio.Transport] = set()
        self.port = 0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The index's URL."""
        return f"{self.base}/simple"

    @property
    def doubled(self) -> list[str]:
        """Paths that were requested more than once, in any range."""
        counts = Counter((request.path, request.range) for request in self.log if request.method == "GET")
        return sorted({path for (path, _), count in counts.items() if count > 1})

    def freeze(self) -> None:
        """Stop recording."""
        self._upstream = None

    def forget(self) -> None:
        """Reset the counters."""
        self.log.clear()
        self.unrecorded.clear()
        self.most_in_flight = self.unchanged = 0

    def __enter__(self) -> Replay:
        self.folder.mkdir(parents=True, exist_ok=True)
        # Pages contain the port of this server, so a recording is always served on the port that it was made with.
        chosen = self.folder / "port"
        self._thread.start()
        self.port = self._wait(self._listen(int(chosen.read_text()) if chosen.exists() else 0))
        chosen.write_text(str(self.port))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server: later connections are refused."""
        if self._server is not None:
            self._wait(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._pool.clear()

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self, port: int) -> int:
        self._server = await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", port, backlog=256)
        return int(self._server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for client in list(self.clients):
            client.abort()
        await self._loop.shutdown_default_executor()

    def begin(self, request: Request) -> None:
        """Count an arriving request."""
        self.log.append(request)
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)

    async def answer(self, request: Request) -> Answer:
        """Return the recorded answer, or record the answer of upstream and return it."""
        found = self._answers.get(request)
        if found is None:
            found = await self._loop.run_in_executor(None, self._read, request)
        if found is None and self._upstream is not None:
            found = await self._loop.run_in_executor(None, self._record, request)
        if found is None:
            self.unrecorded.append(request)
            found = Answer(404, {}, b"", 0)
        if self.latency:
            await asyncio.sleep(self.latency)
        self._in_flight -= 1
        return found

    def _read(self, request: Request) -> Answer | None:
        """Read a recorded answer on demand, because one run requests only a small part of the recording."""
        try:
            packed = self._place(request).read_bytes()
        except FileNotFoundError:
            return None
        found = self._answers[request] = msgspec.msgpack.decode(packed, type=_Recorded).answer
        return found

    def _place(self, request: Request) -> Path:
        name = sha256(msgspec.json.encode(request)).hexdigest()
        return self.folder / name[:2] / f"{name}.answer"

    def _record(self, request: Request) -> Answer:
        place = request.path.strip("/").split("/", 3)
        if place[0] == "simple" and len(place) == 2:
            answer = self._record_page(f"{self._upstream}/{place[1]}/")
        elif place[0] == "files" and len(place) == 4:
            answer = self._record_file(request, f"{place[1]}://{place[2]}/{place[3]}")
        else:
            answer = Answer(404, {}, b"", 0)
        path = self._place(request)
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".part").write_bytes(msgspec.msgpack.encode(_Recorded(request, answer)))
        path.with_suffix(".part").replace(path)
        self._answers[request] = answer
        return answer

    def _record_page(self, url: str) -> Answer:
        status, _, body = self._fetch("GET", url, {"Accept": PAGE_TYPE, "Accept-Encoding": "gzip"})
        headers = {"Cache-Control": f"max-age={_PAGE_AGE}, public"}
        if status != 200:
            return Answer(status, headers, b"", 0)
        page = msgspec.json.decode(body)
        for file in page["files"]:
            scheme, _, rest = urljoin(url, file["url"]).partition("#")[0].partition("://")
            file["url"] = f"{self.base}/files/{scheme}/{rest}"
        body = msgspec.json.encode(page)
        headers |= {"Content-Type": PAGE_TYPE, "ETag": f'"{sha256(body).hexdigest()[:32]}"', "Vary": "Accept"}
        packed = gzip.compress(body, 6, mtime=0)
        return Answer(status, headers | {"Content-Encoding": "gzip"}, packed, len(packed), packed=True)

    def _record_file(self, request: Request, url: str) -> Answer:
        headers = {"Accept-Encoding": "identity"} | ({"Range": request.range} if request.range else {})
        status, sent, body = self._fetch(request.method, url, headers)
        kept = {key: sent[key] for key in _KEPT if key in sent}
        kept["Cache-Control"] = f"max-age={_FILE_AGE}, immutable, public"
        kept["ETag"] = f'"{sha256(url.encode()).hexdigest()[:32]}"'
        size = int(sent.get("Content-Length", len(body)))
        return Answer(status, kept, body, size if request.method == "HEAD" else len(body))

    def _fetch(self, method: str, url: str, headers: dict[str, str]) -> tuple[int, Any, bytes]:
        retries = urllib3.Retry(6, backoff_factor=0.5, status_forcelist=[429, 500, 502, 503, 504])
        reply = self._pool.request(method, url, headers=headers, retries=retries, timeout=60)
        return reply.status, reply.headers, reply.data


class _Connection(asyncio.Protocol):
    """One client connection. Handles requests without bodies, one after another, as package managers send them."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._pending = b""
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()  # the event loop itself keeps only weak references

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._replay.clients.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._replay.clients.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._pending += data
        while b"\r\n\r\n" in self._pending:
            head, _, self._pending = self._pending.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            method, path, _ = first.split(" ", 2)
            headers = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
            request = Request(method, path, headers.get("range", ""))
            self._replay.begin(request)
            task = asyncio.ensure_future(self._answer(request, headers))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: Request, headers: dict[str, str]) -> None:
        answer = await self._replay.answer(request)
        status, sent, body, size = answer.status, answer.headers, answer.body, answer.size
        if status == 200 and sent.get("ETag") in headers.get("if-none-match", "").split(", "):
            self._replay.unchanged += 1
            status, body, size = 304, b"", 0
        elif answer.packed and "gzip" not in headers.get("accept-encoding", ""):
            body = gzip.decompress(body)
            size = len(body)
            sent = {key: value for key, value in sent.items() if key != "Content-Encoding"}
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'As Recorded')}"]
        lines += [f"{key}: {value}" for key, value in sent.items()]
        if status != 304:
            lines.append(f"Content-Length: {size}")
        if self._transport is not None and not self._transport.is_closing():
            head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
            self._transport.write(head if request.method == "HEAD" else head + body)
