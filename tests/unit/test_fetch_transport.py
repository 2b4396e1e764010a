"""How servers are reached: custom authorities, client certificates, tunnels through proxies, reset connections."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from envc.errors import SourceUnreachable, UsageError
from envc.fetch.net.credentials import Keyring, Login
from envc.fetch.net.http import Client, Reply
from envc.fetch.net.settings import Transport
from envc.system.retries import RetryPolicy
from tests.support.certificates import forget_network_variables, server_context
from tests.support.servers import IndexServer, TunnelProxy
from tests.support.wheels import build_wheel

PAGE = "/simple/demo/"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[IndexServer]:
    with IndexServer([build_wheel("demo", "1.0")], tls=server_context(authority)) as server:
        yield server


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_network_variables(monkeypatch)


def get(url: str, transport: Transport | None = None) -> Reply:
    http = Client(
        Keyring(), transport=transport or Transport(), read_timeout=60.0, retries=RetryPolicy(tries=3, first=0.001)
    )
    try:
        return http.get("internal", "the page", url, limit=1 << 20)
    finally:
        http.close()


def test_an_unknown_authority_is_not_trusted(server: IndexServer) -> None:
    with pytest.raises(SourceUnreachable, match="its TLS certificate is not trusted") as caught:
        get(server.base + PAGE)
    assert "SSL_CERT_FILE" in (caught.value.hint or "")
    assert not server.log


def test_a_custom_authority_from_the_environment(
    server: IndexServer, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert get(server.base + PAGE).status == 200


def test_a_custom_authority_from_pip_s_configuration(server: IndexServer, bundle: Path, tmp_path: Path) -> None:
    assert get(server.base + PAGE, Transport(authorities=bundle)).status == 200
    with pytest.raises(UsageError, match="holds no certificate authorities"):
        get(server.base + PAGE, Transport(authorities=tmp_path / "missing.pem"))


def test_a_redirect_from_https_to_http_is_refused(server: IndexServer, bundle: Path) -> None:
    wheel = build_wheel("demo", "1.0")
    with IndexServer([wheel]) as plain:
        server.behaviour.redirect_files = plain.base
        with pytest.raises(SourceUnreachable, match="it redirects away from https"):
            get(f"{server.base}/files/{wheel.file}", Transport(authorities=bundle))
        assert not plain.log


def test_a_client_certificate(authority: trustme.CA, bundle: Path, tmp_path: Path) -> None:
    own = tmp_path / "me.pem"
    authority.issue_cert("me@example.com").private_key_and_cert_chain_pem.write_to_path(own)
    with IndexServer([build_wheel("demo", "1.0")], tls=server_context(authority, demands=True)) as server:
        reached = get(server.base + PAGE, Transport(authorities=bundle, client_certificate=own))
        assert reached.status == 200
        with pytest.raises(SourceUnreachable) as caught:
            get(server.base + PAGE, Transport(authorities=bundle))
        assert "SSL_CLIENT_CERT" in (caught.value.hint or "")
        assert len(server.log) == 1
    with pytest.raises(UsageError, match="holds no certificate with its key"):
        get(server.base + PAGE, Transport(authorities=bundle, client_certificate=bundle))


def test_a_tunnel_through_a_proxy(server: IndexServer, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with TunnelProxy() as proxy:
        monkeypatch.setenv("https_proxy", proxy.url("me:secret@"))
        assert get(server.base + PAGE, Transport(authorities=bundle)).status == 200
        assert proxy.tunnels == [(server.base.removeprefix("https://"), Login("me", "secret").authorization)]
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert get(server.base + PAGE, Transport(authorities=bundle)).status == 200
        assert len(proxy.tunnels) == 1
    assert "proxy-authorization" not in server.log[0].headers


def test_pip_s_proxy_is_used_if_no_variable_is_set(
    server: IndexServer, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TunnelProxy() as proxy, TunnelProxy() as other:
        assert get(server.base + PAGE, Transport(authorities=bundle, proxy=proxy.url())).status == 200
        assert len(proxy.tunnels) == 1
        monkeypatch.setenv("https_proxy", other.url())
        assert get(server.base + PAGE, Transport(authorities=bundle, proxy=proxy.url())).status == 200
        assert (len(proxy.tunnels), len(other.tunnels)) == (1, 1)
        monkeypatch.delenv("https_proxy")
        monkeypatch.setenv("all_proxy", other.url())
        assert get(server.base + PAGE, Transport(authorities=bundle, proxy=proxy.url())).status == 200
        assert (len(proxy.tunnels), len(other.tunnels)) == (1, 2)


def test_an_unreachable_proxy_is_reported_without_its_login(
    server: IndexServer, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://me:hunter2@127.0.0.1:9")
    with pytest.raises(SourceUnreachable, match="the proxy cannot be reached") as caught:
        get(server.base + PAGE, Transport(authorities=bundle))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["me:hunter2@127.0.0.1:port", "http://me:hunter2@[::1", "socks5://127.0.0.1:1"])
def test_a_malformed_proxy_is_reported_without_its_login(
    server: IndexServer, bundle: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(UsageError, match="the proxy's URL cannot be used") as caught:
        get(server.base + PAGE, Transport(authorities=bundle))
    assert caught.value.hint is not None and "HTTPS_PROXY" in caught.value.hint
    assert "hunter2" not in f"{caught.value}{caught.value.hint}"


class Resetting:
    """Resets the first connections, then answers each with a short page."""

    def __init__(self, resets: int) -> None:
        self.resets = resets
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self.connections += 1
                connection.recv(1 << 16)
                if self.connections <= self.resets:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    def close(self) -> None:
        self._socket.close()
        self._thread.join(5)


@pytest.mark.parametrize("resets", [2, 9])
def test_reset_connections_are_retried_but_not_for_ever(resets: int) -> None:
    server = Resetting(resets)
    try:
        if resets == 2:
            assert get(server.url).body == b"ok"
            assert server.connections == 3
        else:
            with pytest.raises(SourceUnreachable, match="the connection broke off, 3 times"):
                get(server.url)
    finally:
        server.close()
