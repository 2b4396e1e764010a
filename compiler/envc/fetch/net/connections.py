"""Connections that share one look-up of each host name.

Two dozen connections that are opened at once would send two dozen look-ups at once, and resolvers that drop some of
them (a well-known trait of container networks) make whoever waits for those lose five seconds.

This is the one module that touches urllib3's private parts, in the way that its own SOCKS support does.
"""

from __future__ import annotations

import socket
import threading

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError


class Names:
    """Addresses by host name, each looked up once, one at a time."""

    def __init__(self) -> None:
        self._addresses: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def addresses(self, host: str) -> list[str]:
        """The addresses of a host, best first. Raises socket.gaierror; a failure is not remembered."""
        with self._lock:
            if host not in self._addresses:
                found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
                self._addresses[host] = list(dict.fromkeys(str(address[0]) for *_, address in found))
            return self._addresses[host]


def pool_classes(names: Names) -> dict[str, type[HTTPConnectionPool]]:
    """What a PoolManager's ``pool_classes_by_scheme`` holds, for connections that look up names in `names`."""

    def dial(connection: HTTPConnection) -> socket.socket:
        host = connection._dns_host
        try:
            addresses = names.addresses(host)
        except (socket.gaierror, UnicodeError) as error:
            raise NameResolutionError(host, connection, socket.gaierror(str(error))) from error
        failure: ConnectTimeoutError | None = None
        for address in addresses:
            # Only what is dialled changes: TLS goes on to demand a certificate for the name.
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
            return dial(self)

    class Encrypted(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return dial(self)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}
