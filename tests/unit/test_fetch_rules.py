"""Indexes and stores follow the same rules for proxies, certificates, redirects and retries."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from envc.errors import EnvcError, UsageError
from envc.fetch.net.credentials import Keyring, Login, split_credentials
from envc.fetch.net.http import Client
from envc.fetch.net.settings import Transport, read_settings, read_transport
from envc.shipping.format.errors import MissingBlob
from envc.shipping.store.backends.store_retries import Patience
from envc.shipping.store.backends.web import WebBlobs
from envc.shipping.store.open import open_store
from envc.system.retries import RetryPolicy
from tests.support.certificates import forget_network_variables, server_context
from tests.support.servers import Behaviour, IndexServer, TunnelProxy

KEY = "v1/objects/any/aa/" + "a" * 64
BODY = b"the same bytes for both"
RETRIES = RetryPolicy(tries=3, first=0.001)

Reach = Callable[..., bytes]  # base URL and settings; returns BODY on success


def by_index(base: str, transport: Transport | None = None) -> bytes:
    plain, login = split_credentials(base)
    keyring = Keyring()
    if login is not None:
        keyring.add(plain, login)
    http = Client(keyring, transport=transport or Transport(), retries=RETRIES)
    try:
        return http.get("internal", "the page", f"{plain}/{KEY}", limit=100).body
    finally:
        http.close()


def by_store(base: str, transport: Transport | None = None) -> bytes:
    store = WebBlobs(base, transport=transport or Transport(), patience=Patience(policy=RETRIES))
    try:
        return store.read(KEY, 100)
    finally:
        store._client.close()


def by_range(base: str, transport: Transport | None = None) -> bytes:
    store = WebBlobs(base, transport=transport or Transport(), patience=Patience(policy=RETRIES))
    try:
        return store.read_range(KEY, 0, len(BODY))
    finally:
        store._client.close()


@pytest.fixture(params=[by_index, by_store, by_range], ids=["index", "store", "ranges"])
def reach(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Reach:
    forget_network_variables(monkeypatch)
    found: Reach = request.param
    return found


def behaviour() -> Behaviour:
    return Behaviour(bodies={f"/{KEY}": ("application/octet-stream", BODY)})


@pytest.fixture
def server() -> Iterator[IndexServer]:
    with IndexServer(behaviour=behaviour()) as server:
        yield server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    return tmp_path / "authority.pem"


@pytest.fixture
def encrypted(authority: trustme.CA) -> Iterator[IndexServer]:
    with IndexServer(behaviour=behaviour(), tls=server_context(authority)) as server:
        yield server


def proxy_login(server: IndexServer) -> set[str]:
    return {request.headers.get("proxy-authorization", "") for request in server.log}


# Proxies


def test_a_proxy_from_the_environment(server: IndexServer, reach: Reach, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.base.replace("://", "://me:secret@"))
    assert reach("http://nowhere.invalid") == BODY
    assert proxy_login(server) == {Login("me", "secret").authorization}


def test_excluded_hosts_use_no_proxy(server: IndexServer, reach: Reach, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert reach(server.base) == BODY


def test_a_proxy_from_pip_s_configuration(server: IndexServer, reach: Reach) -> None:
    transport = Transport(proxy=server.base.replace("://", "://me:secret@"))
    assert reach("http://nowhere.invalid", transport) == BODY
    assert proxy_login(server) == {Login("me", "secret").authorization}


def test_a_tunnel(encrypted: IndexServer, bundle: Path, reach: Reach, monkeypatch: pytest.MonkeyPatch) -> None:
    with TunnelProxy() as proxy:
        monkeypatch.setenv("https_proxy", proxy.url("me:secret@"))
        assert reach(encrypted.base, Transport(authorities=bundle)) == BODY
        assert proxy.tunnels == [(encrypted.base.removeprefix("https://"), Login("me", "secret").authorization)]
    assert proxy_login(encrypted) == {""}


@pytest.mark.parametrize("proxy", ["http://me:hunter2@127.0.0.1:9", "me:hunter2@127.0.0.1:port"])
def test_a_broken_proxy_is_reported(reach: Reach, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(EnvcError, match="the proxy") as caught:
        reach("http://nowhere.invalid")
    assert "hunter2" not in f"{caught.value}{caught.value.hint}"


# Certificates


def test_an_unknown_authority_is_refused(encrypted: IndexServer, reach: Reach) -> None:
    with pytest.raises(EnvcError, match="its TLS certificate is not trusted") as caught:
        reach(encrypted.base)
    assert "SSL_CERT_FILE" in (caught.value.hint or "")
    assert not encrypted.log


def test_an_authority_from_the_environment(
    encrypted: IndexServer, bundle: Path, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert reach(encrypted.base) == BODY


def test_an_authority_from_the_settings(encrypted: IndexServer, bundle: Path, reach: Reach, tmp_path: Path) -> None:
    assert reach(encrypted.base, Transport(authorities=bundle)) == BODY
    with pytest.raises(UsageError, match="holds no certificate authorities"):
        reach(encrypted.base, Transport(authorities=tmp_path / "missing.pem"))


def test_a_client_certificate(authority: trustme.CA, bundle: Path, reach: Reach, tmp_path: Path) -> None:
    own = tmp_path / "me.pem"
    authority.issue_cert("me@example.com").private_key_and_cert_chain_pem.write_to_path(own)
    with IndexServer(behaviour=behaviour(), tls=server_context(authority, demands=True)) as server:
        assert reach(server.base, Transport(authorities=bundle, client_certificate=own)) == BODY
        with pytest.raises(EnvcError) as caught:
            reach(server.base, Transport(authorities=bundle))
        assert "SSL_CLIENT_CERT" in (caught.value.hint or "")


# Redirects


def test_a_redirect_drops_credentials(server: IndexServer, reach: Reach) -> None:
    with IndexServer(behaviour=Behaviour(moved=server.base, auth=("me", "secret"))) as first:
        assert reach(first.base.replace("://", "://me:secret@")) == BODY
        assert all("authorization" in request.headers for request in first.log)
    assert not any("authorization" in request.headers for request in server.log)


def test_the_number_of_redirects_is_limited(server: IndexServer, reach: Reach) -> None:
    server.behaviour.moved = server.base
    with pytest.raises(EnvcError, match="more than 8 redirects"):
        reach(server.base)
    assert len(server.log) == 8


@pytest.mark.parametrize("elsewhere", ["file:///etc", "ftp://example.com"])
def test_redirects_to_other_schemes_are_refused(server: IndexServer, reach: Reach, elsewhere: str) -> None:
    server.behaviour.moved = elsewhere
    with pytest.raises(EnvcError, match="it redirects away from https"):
        reach(server.base)


def test_redirects_from_https_to_http_are_refused(
    encrypted: IndexServer, server: IndexServer, bundle: Path, reach: Reach
) -> None:
    encrypted.behaviour.moved = server.base
    with pytest.raises(EnvcError, match="it redirects away from https"):
        reach(encrypted.base, Transport(authorities=bundle))
    assert not server.log


def test_a_redirect_to_an_invalid_url_is_refused(server: IndexServer, reach: Reach) -> None:
    server.behaviour.moved = "http://[::1"
    with pytest.raises(EnvcError, match="it redirects to a malformed URL"):
        reach(server.base)


# Retries


def test_a_busy_server_is_retried(server: IndexServer, reach: Reach) -> None:
    server.behaviour.unavailable = 2
    reach(server.base)
    assert reach(server.base) == BODY
    assert 503 in [request.status for request in server.log]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_server_that_stays_busy_is_reported(server: IndexServer, reach: Reach, status: int) -> None:
    server.behaviour.status = {"/": status}
    with pytest.raises(EnvcError, match=f"HTTP {status}, 3 times"):
        reach(server.base)
    assert len(server.log) == 3


def test_a_refusal_is_not_retried(server: IndexServer, reach: Reach) -> None:
    server.behaviour.status = {"/": 418}
    with pytest.raises(EnvcError, match="HTTP 418"):
        reach(server.base)
    assert len(server.log) == 1


@pytest.mark.parametrize("value", ["3600", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_long_retry_after_is_not_waited_for(server: IndexServer, reach: Reach, value: str) -> None:
    server.behaviour.unavailable, server.behaviour.retry_after = 1, value
    with pytest.raises(EnvcError, match="HTTP 503, and it asks to wait for"):
        reach(server.base)
    assert len(server.log) == 1


def test_a_refused_connection(reach: Reach) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(EnvcError, match="connection refused, 3 times"):
            reach(f"http://127.0.0.1:{taken.getsockname()[1]}")


@pytest.mark.parametrize("base", ["http://host:port", "http://:0:0"])
def test_a_malformed_url(reach: Reach, base: str) -> None:
    with pytest.raises(EnvcError, match="its URL is malformed"):
        reach(base)


def test_a_store_keeps_its_connections(server: IndexServer, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_network_variables(monkeypatch)
    accepted = []
    original = server._server.get_request
    server._server.get_request = lambda: accepted.append(1) or original()  # type: ignore[method-assign, func-returns-value]
    store = WebBlobs(server.base)
    for _ in range(5):
        assert store.read(KEY, 100) == BODY
        with pytest.raises(MissingBlob):
            store.read("v1/other", 100)
    assert len(accepted) == 1
    store._client.close()


# Settings


@pytest.mark.parametrize(
    "variables",
    [
        {"PIP_CERT": "/etc/pip.pem", "REQUESTS_CA_BUNDLE": "/etc/requests.pem"},
        {"REQUESTS_CA_BUNDLE": "/etc/requests.pem"},
        {"SSL_CERT_FILE": "/etc/ssl.pem", "PIP_CERT": "/etc/pip.pem", "REQUESTS_CA_BUNDLE": "/etc/requests.pem"},
        {"PIP_PROXY": "http://proxy.example", "PIP_CLIENT_CERT": "/etc/me.pem"},
        {"SSL_CLIENT_CERT": "/etc/mine.pem", "PIP_CLIENT_CERT": "/etc/me.pem"},
    ],
)
def test_stores_and_indexes_have_the_same_settings(tmp_path: Path, variables: dict[str, str]) -> None:
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null", **variables}
    found = read_transport(environ)
    assert found == read_settings(environ).transport
    authorities = variables.get("PIP_CERT") or variables.get("REQUESTS_CA_BUNDLE")
    expected = None if "SSL_CERT_FILE" in variables else authorities
    assert (str(found.authorities) if found.authorities else None) == expected
    assert found.proxy == variables.get("PIP_PROXY")
    client = variables.get("SSL_CLIENT_CERT") or variables.get("PIP_CLIENT_CERT")
    assert (str(found.client_certificate) if found.client_certificate else None) == client


def test_a_store_is_opened_with_the_settings_of_its_run(
    encrypted: IndexServer, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_network_variables(monkeypatch)
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null", "REQUESTS_CA_BUNDLE": str(bundle)}
    assert open_store(encrypted.base, environ).read(KEY, 100) == BODY
    monkeypatch.setenv("PIP_CERT", str(bundle))
    assert open_store(encrypted.base).read(KEY, 100) == BODY
