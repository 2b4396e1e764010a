"""The HTTP client of indexes, channels and stores: bounded retries, safe redirects, and errors without URLs.

urllib3 is imported by the first request, so a run that finds everything in the cache does not pay for the import.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from typing import TYPE_CHECKING, NoReturn, TypeVar
from urllib.parse import urljoin, urlsplit

import msgspec

from envc import __version__
from envc.errors import SourceUnreachable
from envc.fetch.net.credentials import Keyring, Login
from envc.fetch.net.pools import CLIENT_CERTIFICATE_HINT, Pools
from envc.fetch.net.settings import Transport
from envc.fetch.net.urls import named_by
from envc.model.limits import ANSWER_FREE_BYTES, ANSWER_RATIO, REDIRECTS, SILENCE_SECONDS
from envc.system.retries import GaveUp, Retries, RetryPolicy, TemporaryFailure
from envc.system.waits import waiting
from envc_solvers.malformed import FOREIGN, malformed

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

T = TypeVar("T")

CHUNK = 1 << 16  # bytes
_TRIES_SLOW = 2  # each of them takes as long as the period over which the rate is averaged
_REDIRECTED = (301, 302, 303, 307, 308)
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_THROTTLED = (429, 503)
_DEFAULT_AGE = 600  # seconds that a response is used without revalidation, if its server states no lifetime
_LONGEST_AGE = 7 * 86_400  # seconds
_MAX_AGE = r"(?:^|[\s,])max-age\s*=\s*\"?([0-9]{1,10})"
_AUTHORITY_HINT = "if this is a server of your own, name your authority's certificate in SSL_CERT_FILE"


class Stopped(Exception):
    """The client was stopped during this request."""


class Truncated(Exception):
    """A body ended before its announced length, the connection broke while it was read, or it came too slowly."""

    def __init__(self, slow: str = "") -> None:
        super().__init__(slow or "the answer was cut short")
        self.is_slow = bool(slow)


class RequestFailed(Exception):
    """A request failed for good. Neither field shows a URL."""

    def __init__(self, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason  # "HTTP 503, 6 times"
        self.hint = hint


class FailedTry(TemporaryFailure):
    """One try of a request failed, and another try may succeed."""

    def __init__(
        self,
        reason: str,
        *,
        max_tries: int | None = None,
        hint: str | None = None,
        asked: float = 0.0,
        is_throttled: bool = False,
        is_unreachable: bool = False,
        final_error: Exception | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.max_tries = max_tries
        self.hint = hint
        self.asked = asked
        self.is_throttled = is_throttled
        self.is_unreachable = is_unreachable
        self.final_error = final_error  # raised after the last try instead of RequestFailed


class Reply(msgspec.Struct, frozen=True):
    """A whole answer."""

    status: int
    headers: Mapping[str, str]  # looked up by names in lower case
    body: bytes
    url: str  # after redirects, without credentials


class Stream:
    """A response whose body has not been read yet."""

    def __init__(self, response: BaseHTTPResponse, url: str, login: Login | None = None) -> None:
        self.status = response.status
        self.login = login  # that was sent with the request
        self.headers: Mapping[str, str] = response.headers  # case-insensitive
        self.url = url
        self._response = response

    def chunks(self) -> Iterator[bytes]:
        """The body, decoded, in pieces of at most CHUNK bytes. Raises Truncated when it ends early."""
        while chunk := self._read(CHUNK):
            yield chunk

    def read(self, limit: int) -> bytes:
        """The whole body. Raises Truncated when it ends early, and ValueError when it is longer than `limit` bytes, or
        than a body of this size can be after decompression.
        """
        parts, size = [], 0
        for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise ValueError(f"an answer of more than {limit:,} bytes")
            if size > ANSWER_FREE_BYTES and size > ANSWER_RATIO * self._response.tell():
                raise ValueError(f"an answer of {self._response.tell():,} bytes that decompresses to {size:,} and more")
            parts.append(chunk)
        return b"".join(parts)

    def read_span(self, skip: int, length: int) -> bytes:
        """At most `length` bytes of the body, after the first `skip`. Raises Truncated when the connection breaks.

        They are read in one call, since joining a range of megabytes from small pieces takes longer than receiving it.
        """
        while skip and (chunk := self._read(min(skip, CHUNK))):
            skip -= len(chunk)
        return self._read(length)

    def close(self) -> None:
        """Return the connection to its pool if little or nothing is left of the body; otherwise drop it.

        The rest of a compressed body is not read: urllib3 before 2.6.3 decompresses it, to any size.
        """
        left = self._response.length_remaining
        if left == 0 or (left is not None and left <= CHUNK and "content-encoding" not in self.headers):
            self._response.drain_conn()
        else:
            self._response.close()

    def _read(self, amount: int) -> bytes:
        import urllib3

        try:
            return self._response.read(amount, decode_content=True)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Truncated(_slowness(error)) from error


class Client:
    """Sends HTTP requests. Thread-safe. Connections are kept alive until `close`.

    Each request gets the credentials of its own scheme, host and port, also after a redirect. Redirects stay on
    the web and never leave https.
    """

    def __init__(
        self,
        keyring: Keyring,
        *,
        transport: Transport = Transport(),  # noqa: B008 - a frozen value
        connect_timeout: float = 10.0,
        read_timeout: float = SILENCE_SECONDS,
        retries: RetryPolicy | Retries = RetryPolicy(),  # noqa: B008 - a frozen value
        connections: int = 32,
    ) -> None:
        self._keyring = keyring
        self._pools = Pools(transport, connections)
        self._connect_timeout = connect_timeout  # seconds
        self._read_timeout = read_timeout  # seconds without a byte
        self._stopping = threading.Event()
        self._retries = retries if isinstance(retries, Retries) else Retries(retries)

    def get(
        self,
        source: str,
        what: str,
        url: str,
        *,
        limit: int,
        headers: Mapping[str, str] | None = None,
        missing: Collection[int] = (),
    ) -> Reply:
        """Get a whole response of at most `limit` bytes.

        The status is 200, 206, 304, 404, 410 or 416; those in `missing` count as 404. Raises SourceUnreachable, with
        `source` and `what` in its text, for everything else.
        """

        def read(stream: Stream) -> Reply:
            # A login that is refused says nothing about what the server has.
            if stream.status in missing and not (stream.status == 401 and stream.login is not None):
                return Reply(404, stream.headers, b"", stream.url)
            self._check_status(source, what, stream)
            try:
                return Reply(stream.status, stream.headers, stream.read(limit), stream.url)
            except ValueError as error:
                raise SourceUnreachable(source, what, str(error)) from None

        try:
            return self.request(url, read, headers=headers, what=what)
        except RequestFailed as error:
            raise SourceUnreachable(source, what, error.reason, error.hint) from None

    @contextmanager
    def open(self, source: str, what: str, url: str, *, headers: Mapping[str, str] | None = None) -> Iterator[Stream]:
        """Get a response whose body the caller reads. Statuses and errors as for `get`. Failures while the body is
        read are not retried."""
        with waiting(_host(url), what):
            try:
                stream = self._retry(lambda: self._answer("GET", url, headers or {}))
            except RequestFailed as error:
                raise SourceUnreachable(source, what, error.reason, error.hint) from None
            try:
                self._check_status(source, what, stream)
                yield stream
            finally:
                stream.close()

    def request(
        self,
        url: str,
        read: Callable[[Stream], T],
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        what: str = "",
    ) -> T:
        """Send a request, and return the result of `read` for its response. While the server is busy, it is sent again.
        `what` names what is requested, for users who wait for it.

        If `read` raises Truncated or FailedTry, the request is sent again; its other exceptions pass through. Raises
        RequestFailed after the last try.
        """

        def send() -> T:
            stream = self._answer(method, url, headers or {})
            try:
                return read(stream)
            except Truncated as error:
                raise FailedTry(str(error), max_tries=_TRIES_SLOW if error.is_slow else None) from None
            finally:
                stream.close()

        with waiting(_host(url), what):
            return self._retry(send)

    def pause(self, failed: int) -> None:
        """Wait before another try, after `failed` tries. Raises Stopped if the client is stopped in the meantime."""
        self._pause(self._retries.policy.delay(failed))

    def stop(self) -> None:
        """Reject new requests, and wake those that are waiting to be retried."""
        self._stopping.set()

    def close(self) -> None:
        """Stop, and close idle connections."""
        self.stop()
        self._pools.close()

    def _retry(self, attempt: Callable[[], T]) -> T:
        """Repeat an attempt that raises FailedTry. Raises RequestFailed, or the failure's `final_error`, at the end."""
        try:
            return self._retries.run(attempt, self._pause)
        except GaveUp as error:
            failure = error.failure
            raise RequestFailed(error.reason, failure.hint if isinstance(failure, FailedTry) else None) from None

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise Stopped

    def _answer(self, method: str, url: str, headers: Mapping[str, str]) -> Stream:
        """One try, through redirects. Raises FailedTry, RequestFailed and Stopped."""
        if self._stopping.is_set():
            raise Stopped
        for _ in range(REDIRECTS):
            stream = self._send(method, url, headers)
            if stream.status == 401 and self._keyring.login_after_refusal(url) is not None:
                stream.close()
                stream = self._send(method, url, headers)
            if stream.status in _BUSY:
                stream.close()
                raise FailedTry(
                    f"HTTP {stream.status}",
                    asked=retry_after(stream.headers.get("retry-after")) or 0.0,
                    is_throttled=stream.status in _THROTTLED,
                )
            location = stream.headers.get("location") if stream.status in _REDIRECTED else None
            if not location:
                return stream
            stream.close()
            try:
                urlsplit(urljoin(url, location)).port  # noqa: B018 - raises ValueError if it is not a port
            except ValueError:
                raise RequestFailed("it redirects to a malformed URL") from None
            following = named_by(url, location)
            if following is None or (url.startswith("https:") and not following.startswith("https:")):
                raise RequestFailed("it redirects away from https")
            url = following
        raise RequestFailed(f"more than {REDIRECTS} redirects")

    def _check_status(self, source: str, what: str, stream: Stream) -> None:
        """Raise SourceUnreachable for a status that no caller of `get` and `open` can use."""
        status = stream.status
        if status in (200, 206, 304, 404, 410, 416):
            return
        reason, hint = f"HTTP {status}", None
        if status in (401, 403):
            from envc.fetch.net.refused_logins import refused

            reason, hint = refused(status, self._keyring, source, stream.url, stream.login)
        elif status == 407:
            hint = "the proxy asks for a login: put it into the URL of the proxy (HTTPS_PROXY, or pip's `proxy`)"
        error = SourceUnreachable(source, what, reason, hint)
        error.status = status
        raise error

    def _send(self, method: str, url: str, headers: Mapping[str, str]) -> Stream:
        import urllib3
        from urllib3 import exceptions

        sent = {"User-Agent": f"envc/{__version__}", "Accept-Encoding": "gzip", **headers}
        try:
            login = self._keyring.login(url)
            if login is not None:
                sent["Authorization"] = login.authorization
            response = self._pools.pool(url).request(
                method,
                url,
                headers=sent,
                redirect=False,
                retries=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=self._connect_timeout, read=self._read_timeout),
            )
            return Stream(response, url, login)
        except (exceptions.LocationParseError, ValueError):
            raise RequestFailed("its URL is malformed") from None
        except exceptions.SSLError as error:
            _raise_tls_failure(str(error))
        except exceptions.ProxyError:
            raise FailedTry("the proxy cannot be reached", is_unreachable=True) from None
        except exceptions.NameResolutionError:
            raise FailedTry("its host name cannot be resolved", is_unreachable=True) from None
        except exceptions.NewConnectionError:
            # urllib3 derives this from ConnectTimeoutError, so it comes first.
            raise FailedTry("connection refused", is_unreachable=True) from None
        except exceptions.ConnectTimeoutError:
            raise FailedTry(f"no connection within {self._connect_timeout:g} s", is_unreachable=True) from None
        except exceptions.ReadTimeoutError:
            raise FailedTry(f"no answer within {self._read_timeout:g} s") from None
        except (exceptions.HTTPError, OSError) as error:
            slow = _slowness(error)
            raise FailedTry(slow or "the connection broke off", max_tries=_TRIES_SLOW if slow else None) from None


def _host(url: str) -> str:
    """The host of a URL, and its port if it has one, without credentials."""
    return url.partition("://")[2].partition("/")[0].rpartition("@")[2]


def _slowness(error: BaseException | None) -> str:
    """How slow an answer was, if that is why reading it failed; "" otherwise."""
    from envc.fetch.net.connections import TooSlow

    while error is not None:
        if isinstance(error, TooSlow):
            return str(error)
        error = error.__cause__ or error.__context__
    return ""


def _raise_tls_failure(message: str) -> NoReturn:
    """Raise the failure that OpenSSL's message indicates. Only a broken connection is retried."""
    if "CERTIFICATE_REQUIRED" in message or "HANDSHAKE_FAILURE" in message:
        raise RequestFailed("it asks for a client certificate", CLIENT_CERTIFICATE_HINT) from None
    if "EOF" in message:
        # Some servers hang up on a client that shows no certificate.
        hint = f"if it asks for a client certificate, {CLIENT_CERTIFICATE_HINT}"
        raise FailedTry("the connection broke off", hint=hint) from None
    if "CERTIFICATE_VERIFY_FAILED" in message:
        raise RequestFailed("its TLS certificate is not trusted", _AUTHORITY_HINT) from None
    raise RequestFailed("no TLS connection can be made") from None


def max_age(headers: Mapping[str, str]) -> int:
    """Seconds that a response may be used without revalidation (RFC 9111), at most a week."""
    lower = headers.get("cache-control", "").lower()
    if "no-store" in lower or "no-cache" in lower:
        return 0
    match = re.search(_MAX_AGE, lower)
    return min(int(match[1]), _LONGEST_AGE) if match else _DEFAULT_AGE


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110: a number or a date). None if it is missing or malformed."""
    if value is None:
        return None
    number = value.strip(" \t")
    if re.fullmatch(r"[0-9]{1,18}", number):
        return float(number)
    from datetime import datetime
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except malformed(*FOREIGN):
        return None
