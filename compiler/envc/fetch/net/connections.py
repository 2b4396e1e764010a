"""Connections that share one look-up of each host name.

Two dozen connections opened at once would send two dozen DNS look-ups at once. Resolvers that drop some of them, as in
many container networks, then delay those connections by five seconds.

This is the only module that uses private parts of urllib3, in the same way as urllib3's own SOCKS support.
"""

from __future__ import annotations

import socket
import threading

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError


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
        def _new_conn(self) -> socket.socket:
            return connect(self)

    class Encrypted(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}
