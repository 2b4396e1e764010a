"""A store behind any web server that serves its files: for reading only.

Written by another machine as a folder or a bucket, read from here. Ranges are asked for, and a server that answers
with the whole file instead is read up to the end of the range.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from envc import __version__
from envc.errors import StoreError
from envc.shipping.format.errors import CorruptBlob, MissingBlob, NoSuchRange, StoreBusy
from envc.shipping.store.backends.ranges import open_ranges
from envc.shipping.store.backends.retry import Patience
from envc.shipping.store.blobs import Fill, Listed, display_name
from envc.shipping.store.keys import check_key

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

T = TypeVar("T")

IN_FLIGHT = 24  # requests
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_CHUNK = 1 << 16  # bytes
_REFUSED = 3  # tries; a host that refuses connections rarely changes its mind within seconds
_REDIRECTS = 4


class WebBlobs:
    """Blobs below a URL. A user and password in it are sent as HTTP basic authentication (RFC 7617), and its query with
    every request, since that is how cloud stores hand out temporary access.
    """

    in_flight = IN_FLIGHT

    def __init__(self, url: str, *, patience: Patience = Patience()) -> None:  # noqa: B008 (frozen)
        parts = urlsplit(url)
        userinfo, _, host = parts.netloc.rpartition("@")
        self._login = unquote(userinfo)
        self._base = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        self._query = f"?{parts.query}" if parts.query else ""
        self._name = display_name(url)
        self._patience = patience
        self._made: PoolManager | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self._name

    def read(self, key: str, limit: int) -> bytes:
        data = self._get(key, {}, lambda response: _take(response, 0, limit + 1))
        if len(data) > limit:
            raise CorruptBlob(f"{self._name}: {key}", f"is larger than {limit} bytes")
        return data

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        if not length:
            return b""
        short = CorruptBlob(f"{self._name}: {key}", f"ends before byte {offset + length}")

        def body(response: BaseHTTPResponse) -> bytes:
            if response.status == 206:
                # A cache that answers another range than was asked for is as bad as one that answers half of it.
                if not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
                    raise StoreBusy(self._name, f"answers another range of {key} than was asked for")
                data = _take(response, 0, length)
            else:
                data = _take(response, offset, length)
            if len(data) != length:
                raise StoreBusy(short.what, short.reason, worth=2, verdict=short)
            return data

        try:
            return self._get(key, {"Range": f"bytes={offset}-{offset + length - 1}"}, body)
        except NoSuchRange:
            raise short from None

    def size(self, key: str) -> int:
        def length(response: BaseHTTPResponse) -> int:
            text = response.headers.get("Content-Length", "")
            if not text.isdigit():
                raise StoreError(self._name, f"does not say how long {key} is")
            return int(text)

        return self._get(key, {}, length, method="HEAD")

    def open(self, key: str) -> BinaryIO:
        return open_ranges(self, key, self.size(key))

    def exists(self, key: str) -> bool:
        try:
            return self.size(key) >= 0
        except MissingBlob:
            return False

    def write_new(self, key: str, data: bytes | Fill) -> bool:
        raise self._read_only(key)

    def write(self, key: str, data: bytes) -> None:
        raise self._read_only(key)

    def delete(self, key: str) -> None:
        raise self._read_only(key)

    def list(self, prefix: str) -> Iterator[str]:
        return (listed.key for listed in self.scan(prefix))

    def scan(self, prefix: str) -> Iterator[Listed]:
        check_key(prefix)
        raise StoreError(self._name, "is a web server, which cannot be listed", _ELSEWHERE)

    def _read_only(self, key: str) -> StoreError:
        check_key(key)
        return StoreError(self._name, "is a web server, which can only be read", _ELSEWHERE)

    def _get(
        self, key: str, headers: dict[str, str], use: Callable[[BaseHTTPResponse], T], *, method: str = "GET"
    ) -> T:
        url = f"{self._base}/{quote(check_key(key))}{self._query}"
        return self._patience.ask(lambda: self._once(key, url, headers, use, method))

    def _once(
        self, key: str, url: str, headers: dict[str, str], use: Callable[[BaseHTTPResponse], T], method: str
    ) -> T:
        from urllib3 import Retry, Timeout, exceptions

        failed = f"failed at {key}: "
        try:
            response = self._pool().request(
                method,
                url,
                headers=self._headers(headers),
                preload_content=False,
                # Redirects are followed, without the credentials where they lead to another host or away from TLS.
                retries=Retry(None, connect=0, read=0, redirect=_REDIRECTS, status=0, other=0),
                timeout=Timeout(connect=10.0, read=30.0),
            )
        except exceptions.MaxRetryError as error:
            if isinstance(error.reason, exceptions.ResponseError):
                raise StoreError(self._name, f"{failed}more than {_REDIRECTS} redirects") from None
            raise self._trouble(failed, error.reason) from None
        except (exceptions.LocationParseError, ValueError):
            raise StoreError(self._name, "has a malformed URL") from None
        except (exceptions.HTTPError, OSError) as error:
            raise self._trouble(failed, error) from None
        try:
            self._judge(key, response)
            return use(response)
        except (exceptions.HTTPError, OSError):
            raise StoreBusy(self._name, f"{failed}the connection broke off") from None
        finally:
            if response.length_remaining == 0:
                response.release_conn()
            else:
                response.close()

    def _judge(self, key: str, response: BaseHTTPResponse) -> None:
        if response.status in (200, 206):
            return
        if response.status in (404, 410):
            raise MissingBlob(self._name, key)
        if response.status == 416:
            raise NoSuchRange(self._name, f"has no such range in {key}")
        if response.status in (401, 403):
            hint = "put a user and password, or the access query, into the store's URL in ENVC_STORE"
            raise StoreError(self._name, f"does not allow access to {key} (HTTP {response.status})", hint)
        reason = f"failed at {key}: HTTP {response.status}"
        if response.status not in _BUSY:
            raise StoreError(self._name, reason)
        after = response.headers.get("Retry-After", "").strip()
        raise StoreBusy(self._name, reason, wait=float(after) if after.isdigit() else 0.0)

    def _trouble(self, failed: str, error: Exception | None) -> StoreError:
        from urllib3 import exceptions

        if isinstance(error, exceptions.SSLError):
            return StoreError(self._name, f"{failed}its TLS certificate is not trusted")
        if isinstance(error, exceptions.NameResolutionError):
            return StoreBusy(self._name, f"{failed}its host name cannot be resolved", worth=_REFUSED)
        if isinstance(error, exceptions.NewConnectionError):
            return StoreBusy(self._name, f"{failed}connection refused", worth=_REFUSED)
        if isinstance(error, exceptions.TimeoutError):
            return StoreBusy(self._name, f"{failed}no answer in time", worth=_REFUSED)
        return StoreBusy(self._name, f"{failed}the connection broke off")

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        from urllib3.util import make_headers

        headers = {"User-Agent": f"envc/{__version__}", "Accept-Encoding": "identity"} | more
        return headers | make_headers(basic_auth=self._login) if self._login else headers

    def _pool(self) -> PoolManager:
        with self._lock:
            if self._made is None:
                self._made = _new_pool(self._base)
            return self._made


def _new_pool(base: str) -> PoolManager:
    """Connections to the server, through the proxy that the environment names for it."""
    import ssl
    from urllib.request import getproxies, proxy_bypass

    import urllib3

    parts = urlsplit(base)
    # The default context reads SSL_CERT_FILE and SSL_CERT_DIR; for plain HTTP nobody should wait for that.
    context = ssl.create_default_context() if parts.scheme == "https" else None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    if not proxy or proxy_bypass(parts.hostname or ""):
        return urllib3.PoolManager(maxsize=IN_FLIGHT, ssl_context=context)
    address = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    login, _, host = address.netloc.rpartition("@")
    headers = urllib3.util.make_headers(proxy_basic_auth=unquote(login)) if login else None
    return urllib3.ProxyManager(
        f"{address.scheme}://{host}", proxy_headers=headers, maxsize=IN_FLIGHT, ssl_context=context
    )


def _take(response: BaseHTTPResponse, skipped: int, length: int) -> bytes:
    """At most `length` bytes of a body behind the first `skipped`."""
    parts: list[bytes] = []
    while length and (chunk := response.read(_CHUNK)):
        if skipped >= len(chunk):
            skipped -= len(chunk)
            continue
        chunk = chunk[skipped : skipped + length]
        skipped, length = 0, length - len(chunk)
        parts.append(chunk)
    return b"".join(parts)


_ELSEWHERE = "use the folder or the bucket that the server shows"
