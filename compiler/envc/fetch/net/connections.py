"""Connections that share one look-up of each host name, and that end an answer that comes too slowly.

Two dozen connections opened at once would send two dozen DNS look-ups at once. Resolvers that drop some of them, as in
many container networks, then delay those connections by five seconds.

A read time-out is no limit on an answer: a server that sends one byte every few seconds keeps it alive for ever. So the
time spent waiting for an answer is compared with the bytes that came, over the periods in `envc.model.limits`. Headers
count as well. Time in which nobody reads does not count.

This is the only module that uses private parts of urllib3, in the same way as urllib3's own SOCKS support.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError

from envc.model.limits import RATE_BYTES, RATE_PERIOD_SECONDS
from envc.system.waits import moved

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class TooSlow(OSError):
    """An answer that comes more slowly than the minimum rate."""

    def __init__(self) -> None:
        super().__init__(f"fewer than {RATE_BYTES:,} bytes a second over {RATE_PERIOD_SECONDS} s")


class _Paced(io.RawIOBase):
    """The bytes of an answer. Raises TooSlow."""

    def __init__(self, source: io.RawIOBase) -> None:
        self._source = source
        self._waited = 0.0  # seconds of this period
        self._received = 0  # bytes in this period

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        begin = time.monotonic()
        count = self._source.readinto(buffer)
        self._waited += time.monotonic() - begin
        self._received += count or 0
        moved(count or 0)
        if self._waited > RATE_PERIOD_SECONDS:
            if self._received < RATE_BYTES * self._waited:
                raise TooSlow
            self._waited, self._received = 0.0, 0
        return count

    def close(self) -> None:
        self._source.close()
        super().close()


class _PacedResponse(HTTPResponse):
    """An answer whose rate is measured."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_Paced(self.fp.detach()))


class Names:
    """Addresses by host name. Each name is looked up once, and look-ups run one at a time."""

    def __init__(self) -> None:
        self._addresses: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def addresses(self, host: str) -> list[str]:
        """The addresses of a host, best first. Raises socket.gaierror; failures are not cached."""
        with self._lock:
            if host not in self._addresses:
                found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
                self._addresses[host] = list(dict.fromkeys(str(address[0]) for *_, address in found))
            return self._addresses[host]


def pool_classes(names: Names) -> dict[str, type[HTTPConnectionPool]]:
    """The ``pool_classes_by_scheme`` of a PoolManager whose connections look up host names in `names`."""

    def connect(connection: HTTPConnection) -> socket.socket:
        host = connection._dns_host
        try:
            addresses = names.addresses(host)
        except (socket.gaierror, UnicodeError) as error:
            raise NameResolutionError(host, connection, socket.gaierror(str(error))) from error
        failure: ConnectTimeoutError | None = None
        for address in addresses:
            # Only the address to connect to changes. TLS still requires a certificate for the name.
            connection._dns_host = address
            try:
                return HTTPConnection._new_conn(connection)
            except ConnectTimeoutError as error:
                failure = error
            finally:
                connection._dns_host = host
        raise failure or NameResolutionError(host, connection, socket.gaierror("no address"))

    class Plain(HTTPConnection):
        response_class = _PacedResponse

        def _new_conn(self) -> socket.socket:
            return connect(self)

    class Encrypted(HTTPSConnection):
        response_class = _PacedResponse

        def _new_conn(self) -> socket.socket:
            return connect(self)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}
