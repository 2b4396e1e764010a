"""Connection pools: direct or through a proxy, with the certificates that the user's settings name.

urllib3 and ssl are imported by the first request, so a run that finds everything in the cache does not pay for it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from envc.errors import UsageError
from envc.fetch.net.credentials import split_credentials
from envc.fetch.net.settings import Transport

if TYPE_CHECKING:
    import ssl

    from urllib3 import PoolManager

_HOSTS = 16  # number of hosts with idle connections
_PROXY_HINT = "write http://host:port into HTTPS_PROXY, HTTP_PROXY, ALL_PROXY or pip's `proxy`"
CLIENT_CERTIFICATE_HINT = "name a PEM file with your certificate and its key in SSL_CLIENT_CERT"


class Pools:
    """The pools of one client. Thread-safe."""

    def __init__(self, transport: Transport, connections: int) -> None:
        """`connections` is the number of idle connections kept per host."""
        self._transport = transport
        self._connections = connections
        self._proxies: dict[str, str] | None = None
        self._by_host: dict[tuple[str, str | None], PoolManager] = {}  # by scheme and host name
        self._pools: dict[tuple[str, bool], PoolManager] = {}  # by proxy, and whether certificates are needed
        self._lock = threading.Lock()

    def pool(self, url: str) -> PoolManager:
        """The pool for a URL: direct, or through the proxy that the environment names for it.

        Raises ValueError for a malformed URL, and UsageError for a proxy or certificates that cannot be used.
        """
        parts = urlsplit(url)
        key = parts.scheme, parts.hostname
        with self._lock:
            if key not in self._by_host:
                self._by_host[key] = self._choose(*key)
            return self._by_host[key]

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            for pool in self._pools.values():
                pool.clear()
            self._pools.clear()
            self._by_host.clear()

    def _choose(self, scheme: str, host: str | None) -> PoolManager:
        from urllib.request import getproxies, proxy_bypass

        if self._proxies is None:
            self._proxies = getproxies()
            if self._transport.proxy and not self._proxies.keys() & {"http", "https", "all"}:
                self._proxies["all"] = self._transport.proxy
        proxy = self._proxies.get(scheme) or self._proxies.get("all") or ""
        if proxy and proxy_bypass(host or ""):
            proxy = ""
        # Loading the certificates takes longer than a request, so it is done only if they are needed.
        key = proxy, scheme == "https" or proxy.startswith("https:")
        if key not in self._pools:
            self._pools[key] = self._new_pool(*key)
        return self._pools[key]

    def _new_pool(self, proxy: str, encrypted: bool) -> PoolManager:
        import urllib3

        from envc.fetch.net.connections import Names, pool_classes

        context = _ssl_context(self._transport) if encrypted else None
        size = self._connections
        if proxy:
            try:
                address, login = split_credentials(proxy if "://" in proxy else f"http://{proxy}")
                headers = {"Proxy-Authorization": login.authorization} if login else None
                pool: PoolManager = urllib3.ProxyManager(
                    address, proxy_headers=headers, num_pools=_HOSTS, maxsize=size, ssl_context=context
                )
            except (urllib3.exceptions.HTTPError, ValueError):
                raise UsageError("the proxy's URL cannot be used", _PROXY_HINT) from None
        else:
            pool = urllib3.PoolManager(num_pools=_HOSTS, maxsize=size, ssl_context=context)
        pool.pool_classes_by_scheme = pool_classes(Names())
        return pool


def _ssl_context(transport: Transport) -> ssl.SSLContext:
    """Raises UsageError for certificates that cannot be used."""
    import ssl

    authorities, client = transport.authorities, transport.client_certificate
    try:
        if authorities is None:
            context = ssl.create_default_context()  # reads SSL_CERT_FILE and SSL_CERT_DIR
        elif authorities.is_dir():
            context = ssl.create_default_context(capath=str(authorities))
        else:
            context = ssl.create_default_context(cafile=str(authorities))
    except (OSError, ssl.SSLError):
        raise UsageError(
            f"{authorities} holds no certificate authorities", "correct pip's `cert` or REQUESTS_CA_BUNDLE"
        ) from None
    if client is not None:
        try:
            context.load_cert_chain(client)
        except (OSError, ssl.SSLError):
            raise UsageError(f"{client} holds no certificate with its key", CLIENT_CERTIFICATE_HINT) from None
    return context
