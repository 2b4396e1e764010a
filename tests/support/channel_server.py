"""A conda channel on the loopback interface: files under paths, with the behaviour and the faults of real servers."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from tests.support.loopback import Handler, Loopback

BUILT = Path(__file__).parents[1] / "data" / "conda-index"  # by `conda-index --write-shards`, with repodata


class ChannelServer(Loopback):
    """Serves `files` by path. A channel is a folder, as in ``/forge/linux-64/repodata.json.zst``."""

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.files: dict[str, bytes] = dict(files or {})
        self.log: list[tuple[str, int]] = []  # path and status, in the order of the answers
        self.etag = True
        self.cache_control: str | None = "max-age=600"
        self.status: dict[str, int] = {}  # path: the status of its answer
        self.cut: dict[str, int] = {}  # path: every answer is cut after this many bytes
        self.auth: str | None = None  # the Authorization header that requests must have
        self.ranges = False  # whether Range requests are supported
        self.delay = 0.0  # seconds before each answer
        self.busiest = 0  # the highest number of concurrent requests
        self._busy = 0
        self._lock = threading.Lock()
        super().__init__(_Handler)

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.log]

    def add_folder(self, name: str, folder: Path) -> None:
        """Serve a channel on disk under a name."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.files[f"/{name}/{path.relative_to(folder).as_posix()}"] = path.read_bytes()

    def enter(self) -> None:
        with self._lock:
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)

    def leave(self) -> None:
        with self._lock:
            self._busy -= 1


class _Handler(Handler):
    owner: ChannelServer

    def do_GET(self) -> None:
        channel = self.owner
        channel.enter()
        try:
            if channel.delay:
                time.sleep(channel.delay)
            self._get(channel)
        finally:
            channel.leave()

    def _get(self, channel: ChannelServer) -> None:
        body = channel.files.get(self.path)
        headers = {} if channel.cache_control is None else {"Cache-Control": channel.cache_control}
        if channel.auth is not None and self.headers.get("Authorization") != channel.auth:
            return self._answer(401, b"", {})
        if self.path in channel.status:
            return self._answer(channel.status[self.path], b"as told", {})
        if body is None:
            return self._answer(404, b"not here", {})
        if channel.etag:
            headers["ETag"] = f'"{sha256(body).hexdigest()[:16]}"'
            if self.headers.get("If-None-Match") == headers["ETag"]:
                return self._answer(304, b"", headers)
        else:
            headers["Last-Modified"] = "Sun, 01 Nov 2026 00:00:00 GMT"
            if self.headers.get("If-Modified-Since") == headers["Last-Modified"]:
                return self._answer(304, b"", headers)
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")) if channel.ranges else None
        if span is not None:
            first, last = int(span[1]), min(int(span[2]), len(body) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
            return self._answer(206, body[first : last + 1], headers)
        return self._answer(200, body, headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.owner.log.append((self.path, status))
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = self.owner.cut.get(self.path)
        if cut is not None and status == 200:
            body, self.close_connection = body[:cut], True
        if status != 304:
            self.wfile.write(body)


def entry(name: str, version: str, build: str = "h_0", **fields: Any) -> dict[str, dict[str, Any]]:
    """Return one ``.conda`` record by its file name, as in repodata."""
    record = {"name": name, "version": version, "build": build, "build_number": 0, "depends": []} | fields
    return {f"{name}-{version}-{build}.conda": record}


def repodata(conda: dict[str, Any] | None = None, packages: dict[str, Any] | None = None, **more: Any) -> bytes:
    """Return the text of a ``repodata.json``."""
    document = {"info": {"subdir": "linux-64"}, "packages": packages or {}, "packages.conda": conda or {}} | more
    return json.dumps(document).encode()


def packed(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def shards(
    folder: str, named: dict[str, dict[str, Any]], more: dict[str, Any] | None = None, **info: str
) -> dict[str, bytes]:
    """Return the files of a sharded subdir by path (CEP-16), with the records of each name, and more in every shard."""
    files, index = {}, {}
    for name, conda in named.items():
        shard = packed(msgspec.msgpack.encode({"packages": {}, "packages.conda": conda} | (more or {})))
        index[name] = sha256(shard).digest()
        files[f"{folder}/{info.get('shards_base_url', '')}{sha256(shard).hexdigest()}.msgpack.zst"] = shard
    document = {"version": 1, "info": {"base_url": "", "shards_base_url": ""} | info, "shards": index}
    files[f"{folder}/repodata_shards.msgpack.zst"] = packed(msgspec.msgpack.encode(document))
    return files
