"""A store behind any web server that serves its files: read only.

Another machine writes it as a folder or a bucket. Objects are read by ranges. If a server answers a ranged request
with the whole file, the response is read up to the end of the range. Proxies, certificates, redirects and retries are
handled as for indexes, by the same client.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import BinaryIO, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

from envc.errors import StoreError
from envc.fetch.net.credentials import Keyring, split_credentials
from envc.fetch.net.http import Client, FailedTry, RequestFailed, Stream
from envc.fetch.net.settings import Transport
from envc.shipping.format.errors import CorruptBlob, MissingBlob, NoSuchRange
from envc.shipping.store.backends.ranges import open_ranges
from envc.shipping.store.backends.store_retries import Patience
from envc.shipping.store.blobs import Listed, WriteTo, display_name
from envc.shipping.store.keys import check_key, shown_key

T = TypeVar("T")

IN_FLIGHT = 24  # requests
_LOGIN_HINT = "put a user and password, or the access query, into the store's URL in ENVC_STORE"
_RETRY_HINT = "check the network and the store's URL, then run the same command again; it continues where it stopped"
_WRITE_HINT = "use the folder or the bucket behind the server"


class WebBlobs:
    """Blobs below a URL.

    A user and password in the URL are sent as HTTP basic authentication (RFC 7617). Its query is sent with every
    request, since cloud stores grant temporary access in that way. A redirect to another server gets neither.
    """

    in_flight = IN_FLIGHT

    def __init__(
        self,
        url: str,
        *,
        transport: Transport = Transport(),  # noqa: B008 - a frozen value
        patience: Patience = Patience(),  # noqa: B008 - a frozen value
    ) -> None:
        plain, login = split_credentials(url)
        parts = urlsplit(plain)
        self._base = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
        self._query = f"?{parts.query}" if parts.query else ""
        self._name = display_name(url)
        keyring = Keyring()
        if login is not None:
            with suppress(ValueError):  # the first request reports that the URL is malformed
                keyring.add(self._base, login)
        self._client = Client(keyring, transport=transport, retries=patience.retries(self._name), connections=IN_FLIGHT)

    @property
    def name(self) -> str:
        return self._name

    def read(self, key: str, limit: int) -> bytes:
        data = self._request(key, lambda stream: stream.read_span(0, limit + 1))
        if len(data) > limit:
            raise CorruptBlob(f"{self._name}: {key}", f"is larger than {limit} bytes")
        return data

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        if not length:
            return b""
        short = CorruptBlob(f"{self._name}: {key}", f"ends before byte {offset + length}")

        def read(stream: Stream) -> bytes:
            skip = offset
            if stream.status == 206:
                # A proxy cache that returns the wrong range is treated like one that returns half of the right one.
                if not stream.headers.get("content-range", "").startswith(f"bytes {offset}-"):
                    raise FailedTry("it returned a different range than was requested")
                skip = 0
            data = stream.read_span(skip, length)
            if len(data) != length:
                raise FailedTry(short.reason, max_tries=2, final_error=short)
            return data

        try:
            return self._request(key, read, headers={"Range": f"bytes={offset}-{offset + length - 1}"})
        except NoSuchRange:
            raise short from None

    def size(self, key: str) -> int:
        def length(stream: Stream) -> int:
            text = stream.headers.get("content-length", "")
            if not re.fullmatch(r"[0-9]{1,18}", text):
                raise StoreError(self._name, f"does not state the size of {key}")
            return int(text)

        return self._request(key, length, method="HEAD")

    def open(self, key: str) -> BinaryIO:
        return open_ranges(self, key, self.size(key))

    def exists(self, key: str) -> bool:
        try:
            return self.size(key) >= 0
        except MissingBlob:
            return False

    def write_new(self, key: str, data: bytes | WriteTo) -> bool:
        raise self._read_only(key)

    def write(self, key: str, data: bytes) -> None:
        raise self._read_only(key)

    def delete(self, key: str) -> None:
        raise self._read_only(key)

    def list(self, prefix: str) -> Iterator[str]:
        return (listed.key for listed in self.scan(prefix))

    def scan(self, prefix: str) -> Iterator[Listed]:
        check_key(prefix)
        raise StoreError(self._name, "is a web server, which cannot be listed", _WRITE_HINT)

    def _read_only(self, key: str) -> StoreError:
        check_key(key)
        return StoreError(self._name, "is a web server, which can only be read", _WRITE_HINT)

    def _request(
        self, key: str, read: Callable[[Stream], T], *, method: str = "GET", headers: dict[str, str] | None = None
    ) -> T:
        url = f"{self._base}/{quote(check_key(key))}{self._query}"

        def checked(stream: Stream) -> T:
            self._check_status(key, stream.status)
            return read(stream)

        # Bytes must arrive as they are stored, since offsets refer to them.
        sent = {"Accept-Encoding": "identity"} | (headers or {})
        try:
            return self._client.request(url, checked, method=method, headers=sent, what=shown_key(key))
        except RequestFailed as error:
            raise StoreError(self._name, f"failed at {key}: {error.reason}", error.hint or _RETRY_HINT) from None

    def _check_status(self, key: str, status: int) -> None:
        if status in (200, 206):
            return
        if status in (404, 410):
            raise MissingBlob(self._name, key)
        if status == 416:
            raise NoSuchRange(self._name, f"has no such range in {key}")
        if status in (401, 403):
            raise StoreError(self._name, f"does not allow access to {key} (HTTP {status})", _LOGIN_HINT)
        raise StoreError(self._name, f"failed at {key}: HTTP {status}")
