"""HTTP as fetching needs it: few kinds of answers, retries that end, and errors without URLs.

urllib3 is imported by the first request, so that work which finds everything in the cache never pays for it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import msgspec

from envc import __version__
from envc.errors import SourceUnreachable, UsageError
from envc.fetch.net.credentials import Keyring, split_credentials
from envc.fetch.net.settings import Transport

if TYPE_CHECKING:
    import ssl

    from urllib3 import BaseHTTPResponse, PoolManager

CHUNK = 1 << 16  # bytes
_TRIES = 6
_TRIES_REFUSED = 3  # a host that refuses connections rarely changes its mind within seconds
_FIRST_PAUSE = 0.25  # seconds; doubles with each try
_LONGEST_PAUSE = 8.0  # seconds
_LONGEST_RETRY_AFTER = 60.0  # seconds; who asks for more is reported instead
_REDIRECTS = 8
_BUSY = (429, 500, 502, 503, 504)
_DEFAULT_AGE = 600  # seconds that an answer is used without asking, where its server does not say
_LONGEST_AGE = 7 * 86_400  # seconds
_MAX_AGE = r"(?:^|[\s,])max-age\s*=\s*\"?(\d{1,10})"
_LOGIN_HINT = (
    "put the user and password for that host into a netrc file (NETRC, or .netrc in your home directory), or into "
    "ENVC_SOURCE_<NAME>_USERNAME and ENVC_SOURCE_<NAME>_PASSWORD; ENVC_KEYRING_PROVIDER=subprocess asks a keyring"
)
_AUTHORITY_HINT = "name your own authority's certificate in SSL_CERT_FILE, if this is a server of your own"
_PROXY_HINT = "write http://host:port into HTTPS_PROXY, HTTP_PROXY, ALL_PROXY or pip's `proxy`"
_CLIENT_HINT = "name a PEM file with your certificate and its key in SSL_CLIENT_CERT"


class Stopped(Exception):
    """The client was stopped while this request was under way."""


class Cut(Exception):
    """A body ended before its announced length, or the connection broke while it was read."""


class Reply(msgspec.Struct, frozen=True):
    """A whole answer."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    url: str  # after redirects, without credentials


class Stream:
    """An answer whose body has not been read yet."""

    def __init__(self, response: BaseHTTPResponse, url: str) -> None:
        self.status = response.status
        self.headers = {key.lower(): value for key, value in response.headers.items()}
        self.url = url
        self._response = response

    def chunks(self) -> Iterator[bytes]:
        """The body, decoded, in pieces of at most CHUNK bytes. Raises Cut when it ends early."""
        import urllib3

        try:
            while chunk := self._response.read(CHUNK, decode_content=True):
                yield chunk
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Cut from error

    def read(self, limit: int) -> bytes:
        """The whole body. Raises ValueError when it is longer than `limit` bytes, Cut when it ends early."""
        parts, size = [], 0
        for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise ValueError(f"an answer of more than {limit:,} bytes")
            parts.append(chunk)
        return b"".join(parts)


class Client:
    """A pool of connections. Thread-safe; connections are kept alive until `close`."""

    def __init__(
        self,
        keyring: Keyring,
        *,
        transport: Transport = Transport(),  # noqa: B008 - a frozen value
        connect_timeout: float = 10.0,
        read_timeout: float = 30.0,
        tries: int = _TRIES,
        first_pause: float = _FIRST_PAUSE,
    ) -> None:
        self._keyring = keyring
        self._transport = transport
        self._connect_timeout = connect_timeout  # seconds
        self._read_timeout = read_timeout  # seconds without a byte
        self._tries = tries
        self._first_pause = first_pause  # seconds
        self._pools: dict[tuple[str, bool], PoolManager] = {}
        self._proxies: dict[str, str] | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def get(self, source: str, what: str, url: str, *, limit: int, headers: Mapping[str, str] | None = None) -> Reply:
        """Get a whole answer of at most `limit` bytes, trying again where that makes sense.

        The status is 200, 206, 304, 404, 410 or 416. Raises SourceUnreachable, with `source` and `what` in its text,
        for everything else.
        """
        for attempt in range(self._tries):
            with self.open(source, what, url, headers=headers) as stream:
                try:
                    return Reply(stream.status, stream.headers, stream.read(limit), stream.url)
                except ValueError as error:
                    raise SourceUnreachable(source, what, str(error)) from None
                except Cut:
                    self.pause(attempt)
        raise SourceUnreachable(source, what, f"the answer was cut short {self._tries} times")

    @contextmanager
    def open(self, source: str, what: str, url: str, *, headers: Mapping[str, str] | None = None) -> Iterator[Stream]:
        """Get an answer whose body the caller reads. Statuses and errors as for `get`; nothing is retried any more
        once this has returned."""
        response, final = self._request(source, what, url, dict(headers or {}))
        try:
            yield Stream(response, final)
        finally:
            # Nothing left to read puts the connection back into the pool; half a body is dropped with its connection.
            if response.length_remaining == 0:
                response.drain_conn()
            else:
                response.close()

    def pause(self, attempt: int, retry_after: float | None = None) -> None:
        """Wait before another try. Raises Stopped when the client is stopped meanwhile."""
        seconds = back_off(attempt, self._first_pause)
        if self._stopping.wait(seconds if retry_after is None else max(seconds, retry_after)):
            raise Stopped

    def stop(self) -> None:
        """Let no further request begin, and wake those that wait for another try."""
        self._stopping.set()

    def close(self) -> None:
        """Stop, and close idle connections."""
        self.stop()
        with self._lock:
            for pool in self._pools.values():
                pool.clear()
            self._pools.clear()

    def _request(self, source: str, what: str, url: str, headers: dict[str, str]) -> tuple[BaseHTTPResponse, str]:
        reason, tried, worth = "", 0, self._tries
        hint: str | None = None
        while tried < worth:
            if self._stopping.is_set():
                raise Stopped
            tried += 1
            wait: float | None = None
            try:
                response, final = self._follow(source, what, url, headers)
            except _Trouble as trouble:
                reason, worth, hint = trouble.reason, min(trouble.tries, self._tries), trouble.hint
            else:
                if response.status not in _BUSY:
                    return self._judge(source, what, response), final
                reason, worth, hint = f"HTTP {response.status}", self._tries, None
                wait = _retry_after(response.headers.get("Retry-After"))
                response.close()
                if wait is not None and wait > _LONGEST_RETRY_AFTER:
                    raise SourceUnreachable(source, what, f"{reason}, and it asks to wait for {wait:.0f} s")
            if tried < worth:
                self.pause(tried - 1, wait)
        raise SourceUnreachable(source, what, f"{reason}, {tried} times" if tried > 1 else reason, hint)

    def _judge(self, source: str, what: str, response: BaseHTTPResponse) -> BaseHTTPResponse:
        if response.status in (200, 206, 304, 404, 410, 416):
            return response
        response.close()
        hint = _LOGIN_HINT if response.status in (401, 403, 407) else None
        raise SourceUnreachable(source, what, f"HTTP {response.status}", hint)

    def _follow(self, source: str, what: str, url: str, headers: dict[str, str]) -> tuple[BaseHTTPResponse, str]:
        """One try, through redirects. Each hop gets the credentials of its own host and of no other."""
        for _ in range(_REDIRECTS):
            response = self._send(url, headers)
            if response.status == 401 and self._keyring.refused(url) is not None:
                response.close()
                response = self._send(url, headers)
            location = response.headers.get("Location")
            if response.status not in (301, 302, 303, 307, 308) or not location:
                return response, url
            response.close()
            following = urljoin(url, location)
            scheme = urlsplit(following).scheme
            if scheme not in ("http", "https") or (scheme == "http" and url.startswith("https:")):
                raise SourceUnreachable(source, what, "it redirects away from https")
            url = following
        raise SourceUnreachable(source, what, f"more than {_REDIRECTS} redirects")

    def _send(self, url: str, headers: dict[str, str]) -> BaseHTTPResponse:
        import urllib3
        from urllib3 import exceptions

        sent = {"User-Agent": f"envc/{__version__}", "Accept-Encoding": "gzip"} | headers
        try:
            login = self._keyring.login(url)
            if login is not None:
                sent["Authorization"] = login.authorization
            return self._pool(url).request(
                "GET",
                url,
                headers=sent,
                redirect=False,
                retries=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=self._connect_timeout, read=self._read_timeout),
            )
        except (exceptions.LocationParseError, ValueError):
            raise _Trouble("its URL is malformed", 1) from None
        except exceptions.SSLError as error:
            raise _tls_trouble(str(error)) from None
        except exceptions.ProxyError:
            raise _Trouble("the proxy cannot be reached", _TRIES_REFUSED) from None
        except exceptions.NameResolutionError:
            raise _Trouble("its host name cannot be resolved", _TRIES_REFUSED) from None
        except exceptions.NewConnectionError:
            # urllib3 derives this from ConnectTimeoutError, so it comes first.
            raise _Trouble("connection refused", _TRIES_REFUSED) from None
        except exceptions.ConnectTimeoutError:
            raise _Trouble(f"no connection within {self._connect_timeout:g} s", _TRIES_REFUSED) from None
        except exceptions.ReadTimeoutError:
            raise _Trouble(f"no answer within {self._read_timeout:g} s") from None
        except (exceptions.HTTPError, OSError):
            raise _Trouble("the connection broke off") from None

    def _pool(self, url: str) -> PoolManager:
        """The pool for a URL: direct, or through the proxy that the environment names for it."""
        from urllib.request import getproxies, proxy_bypass

        parts = urlsplit(url)
        with self._lock:
            if self._proxies is None:
                self._proxies = getproxies()
                if self._transport.proxy and not self._proxies.keys() & {"http", "https", "all"}:
                    self._proxies["all"] = self._transport.proxy
            proxy = self._proxies.get(parts.scheme) or self._proxies.get("all") or ""
            if proxy and proxy_bypass(parts.hostname or ""):
                proxy = ""
            # Reading the certificates takes longer than a request, so it is left out where they are not needed.
            key = proxy, parts.scheme == "https" or proxy.startswith("https:")
            if key not in self._pools:
                self._pools[key] = self._new_pool(*key)
            return self._pools[key]

    def _context(self) -> ssl.SSLContext:
        import ssl

        authorities, own = self._transport.authorities, self._transport.client_certificate
        try:
            # The default context reads SSL_CERT_FILE and SSL_CERT_DIR, for companies with an authority of their own.
            context = ssl.create_default_context(cafile=str(authorities) if authorities else None)
        except (OSError, ssl.SSLError):
            raise UsageError(f"{authorities} holds no certificate authorities", "correct pip's `cert`") from None
        if own is not None:
            try:
                context.load_cert_chain(own)
            except (OSError, ssl.SSLError):
                raise UsageError(f"{own} holds no certificate with its key", _CLIENT_HINT) from None
        return context

    def _new_pool(self, proxy: str, encrypted: bool) -> PoolManager:
        import urllib3

        from envc.fetch.net.connections import Names, pool_classes

        context = self._context() if encrypted else None
        if proxy:
            try:
                address, login = split_credentials(proxy if "://" in proxy else f"http://{proxy}")
                headers = {"Proxy-Authorization": login.authorization} if login else None
                pool: PoolManager = urllib3.ProxyManager(
                    address, proxy_headers=headers, num_pools=16, maxsize=32, ssl_context=context
                )
            except (urllib3.exceptions.HTTPError, ValueError):
                raise UsageError("the proxy's URL cannot be used", _PROXY_HINT) from None
        else:
            pool = urllib3.PoolManager(num_pools=16, maxsize=32, ssl_context=context)
        pool.pool_classes_by_scheme = pool_classes(Names())
        return pool


def _tls_trouble(message: str) -> _Trouble:
    """What went wrong with TLS. Only what looks like a broken connection may go away by trying again."""
    if "CERTIFICATE_REQUIRED" in message or "HANDSHAKE_FAILURE" in message:
        return _Trouble("it asks for a client certificate", 1, _CLIENT_HINT)
    if "EOF" in message:
        # Some servers hang up on who shows no certificate.
        return _Trouble("the connection broke off", hint=f"if it asks for a client certificate, {_CLIENT_HINT}")
    if "CERTIFICATE_VERIFY_FAILED" in message:
        return _Trouble("its TLS certificate is not trusted", 1, _AUTHORITY_HINT)
    return _Trouble("no TLS connection comes about", 1)


class _Trouble(Exception):
    """A try that failed before an answer came."""

    def __init__(self, reason: str, tries: int = 1 << 30, hint: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.tries = tries  # how many tries such trouble is worth


def back_off(attempt: int, first: float) -> float:
    """Seconds to wait after that many failed tries before: they double, and differ from one who waits to the next."""
    import random

    return min(_LONGEST_PAUSE, first * 2.0**attempt) * random.uniform(0.5, 1.0)


def max_age(headers: Mapping[str, str]) -> int:
    """Seconds that an answer may be used unasked (RFC 9111), within reason. Names of headers are in lower case."""
    lower = headers.get("cache-control", "").lower()
    if "no-store" in lower or "no-cache" in lower:
        return 0
    match = re.search(_MAX_AGE, lower)
    return min(int(match[1]), _LONGEST_AGE) if match else _DEFAULT_AGE


def _retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110: a number or a date). None when it says nothing usable."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    from datetime import datetime
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
