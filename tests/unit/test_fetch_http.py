"""The HTTP client: retries, time-outs, redirects, and the servers that get credentials."""

from __future__ import annotations

import gzip
import io
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from envc import __version__
from envc.errors import SourceUnreachable
from envc.fetch.net.credentials import Keyring, Login, split_credentials
from envc.fetch.net.http import Client, Stopped, Stream
from envc.system.retries import RetryPolicy
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

PAGE = "/simple/demo/"
LIMIT = 1 << 20


@contextmanager
def client(keyring: Keyring | None = None, read_timeout: float = 60.0, tries: int = 6) -> Iterator[Client]:
    found = Client(keyring or Keyring(), read_timeout=read_timeout, retries=RetryPolicy(tries=tries, first=0.001))
    try:
        yield found
    finally:
        found.close()


def test_the_user_agent_names_envc(server: IndexServer) -> None:
    with client() as http:
        assert http.get("pypi", "the page", server.base + PAGE, limit=LIMIT).status == 200
    assert server.log[0].headers["user-agent"] == f"envc/{__version__}"
    assert server.log[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("status", [404, 410])
def test_absence_is_an_answer(server: IndexServer, status: int) -> None:
    server.behaviour.status = {PAGE: status}
    with client() as http:
        assert http.get("pypi", "the page", server.base + PAGE, limit=LIMIT).status == status
    assert len(server.log) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_requests_to_busy_servers_are_retried_but_not_for_ever(server: IndexServer, status: int) -> None:
    server.behaviour.status = {PAGE: status}
    with client(tries=4) as http, pytest.raises(SourceUnreachable, match=f"from pypi: HTTP {status}, 4 times"):
        http.get("pypi", "the page", server.base + PAGE, limit=LIMIT)
    assert len(server.log) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 407, 418, 501])
def test_refusals_are_not_retried(server: IndexServer, status: int) -> None:
    server.behaviour.status = {PAGE: status}
    with client() as http, pytest.raises(SourceUnreachable, match=f"HTTP {status}") as caught:
        http.get("pypi", "the page", server.base + PAGE, limit=LIMIT)
    assert len(server.log) == 1
    assert caught.value.hint is not None
    assert ("netrc" in caught.value.hint) == (status in (401, 403))


def test_retry_after_is_honoured(server: IndexServer) -> None:
    server.behaviour.unavailable, server.behaviour.retry_after = 1, "1"
    with client(tries=2) as http, pytest.raises(SourceUnreachable):
        start = time.monotonic()
        try:
            http.get("pypi", "the page", server.base + PAGE, limit=LIMIT)
        finally:
            assert time.monotonic() - start >= 1


@pytest.mark.parametrize("value", ["3600", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_long_retry_after_is_reported_at_once(server: IndexServer, value: str) -> None:
    server.behaviour.unavailable, server.behaviour.retry_after = 1, value
    with client() as http, pytest.raises(SourceUnreachable, match="HTTP 503, and it asks to wait for"):
        http.get("pypi", "the page", server.base + PAGE, limit=LIMIT)
    assert len(server.log) == 1


@pytest.mark.parametrize("value", ["soon", "", "Thu, 01 Jan 1970 00:00:00 GMT", "-5"])
def test_a_malformed_retry_after_is_ignored(server: IndexServer, value: str) -> None:
    server.behaviour.unavailable, server.behaviour.retry_after = 2, value
    with client() as http:
        for _ in range(3):
            assert http.get("pypi", "the page", server.base + PAGE, limit=LIMIT).status == 200


def test_a_body_beyond_the_limit_is_refused(server: IndexServer) -> None:
    server.behaviour.bodies = {PAGE: ("text/html", b"x" * 2000)}
    with client() as http:
        with pytest.raises(SourceUnreachable, match="more than 1,999 bytes"):
            http.get("pypi", "the page", server.base + PAGE, limit=1999)
        assert len(http.get("pypi", "the page", server.base + PAGE, limit=2000).body) == 2000


def test_a_cut_body_is_requested_again(server: IndexServer) -> None:
    server.behaviour.cut = {"demo-1.0-py3-none-any.whl": 100}
    with client() as http:
        reply = http.get("pypi", "it", f"{server.base}/files/demo-1.0-py3-none-any.whl", limit=LIMIT)
    assert reply.body == build_wheel("demo", "1.0").data
    assert len(server.log) == 2


def test_silence_times_out(server: IndexServer) -> None:
    server.behaviour.delay = 1.0
    with client(read_timeout=0.1, tries=2) as http, pytest.raises(SourceUnreachable, match=r"no answer within 0\.1 s"):
        http.get("pypi", "the page", server.base + PAGE, limit=LIMIT)


def test_a_refused_connection_is_given_up_soon() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        with client() as http, pytest.raises(SourceUnreachable, match="connection refused, 3 times"):
            http.get("pypi", "the page", url, limit=LIMIT)


@pytest.mark.parametrize("url", ["http://[bad/", "http://host:port/", "http://:0:0/x"])
def test_a_malformed_url_is_not_shown(url: str) -> None:
    with client() as http, pytest.raises(SourceUnreachable, match="its URL is malformed") as caught:
        http.get("pypi", "the page", url, limit=LIMIT)
    assert url not in str(caught.value)


def test_connections_are_reused(server: IndexServer) -> None:
    accepted = []
    original = server._server.get_request
    server._server.get_request = lambda: accepted.append(1) or original()  # type: ignore[method-assign, func-returns-value]
    with client() as http:
        for status in (200, 404, 200, 416, 200):
            server.behaviour.status = {PAGE: status} if status != 200 else {}
            http.get("pypi", "the page", server.base + PAGE, limit=LIMIT)
    assert len(accepted) == 1


@pytest.mark.parametrize(("headers", "is_drained"), [({}, True), ({"Content-Encoding": "gzip"}, False)])
def test_the_rest_of_a_compressed_body_is_not_decompressed(
    headers: dict[str, str], is_drained: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old versions of urllib3 decompress what they drain, and 64 KiB may become gigabytes."""
    body = gzip.compress(os.urandom(2000))
    response = urllib3.HTTPResponse(
        io.BytesIO(body), headers={"Content-Length": str(len(body)), **headers}, preload_content=False
    )
    drained = []
    monkeypatch.setattr(response, "drain_conn", lambda: drained.append(1))
    stream = Stream(response, "https://pypi.example/simple/")
    stream.read_span(0, 100)
    stream.close()
    assert bool(drained) == is_drained
    assert is_drained or response.closed


def test_stop_wakes_waiting_requests(server: IndexServer) -> None:
    server.behaviour.unavailable, server.behaviour.retry_after = 1, "30"
    errors: list[Exception] = []
    with client() as http:

        def work() -> None:
            try:
                http.get("pypi", "the page", server.base + PAGE, limit=LIMIT)
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        while not server.log:
            time.sleep(0.001)
        http.stop()
        thread.join(5)
        assert not thread.is_alive()
        with pytest.raises(Stopped):
            http.get("pypi", "the page", server.base + PAGE, limit=LIMIT)
    assert isinstance(errors[0], Stopped)


def test_a_host_name_is_looked_up_once(server: IndexServer, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[object] = []
    original = socket.getaddrinfo

    def counting(host: Any, *rest: Any, **options: Any) -> Any:
        looked_up.append(host)
        return original(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", counting)
    server.behaviour.delay = 0.05
    url = f"{server.base}{PAGE}".replace("127.0.0.1", "localhost")
    with client() as http:
        threads = [
            threading.Thread(target=http.get, args=("pypi", "it", url), kwargs={"limit": LIMIT}) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(server.log) == 8
    assert looked_up.count("localhost") == 1


def test_an_unknown_host_is_reported() -> None:
    with client() as http, pytest.raises(SourceUnreachable, match="its host name cannot be resolved, 3 times"):
        http.get("pypi", "the page", "http://nowhere.invalid/", limit=LIMIT)


# Redirects


def test_the_number_of_redirects_is_limited(server: IndexServer) -> None:
    server.behaviour.redirect_files = server.base
    with client() as http, pytest.raises(SourceUnreachable, match="more than 8 redirects"):
        http.get("pypi", "it", f"{server.base}/files/demo-1.0-py3-none-any.whl", limit=LIMIT)


@pytest.mark.parametrize("elsewhere", ["file:///etc", "ftp://example.com", "gopher://x"])
def test_redirects_to_other_schemes_are_refused(server: IndexServer, elsewhere: str) -> None:
    server.behaviour.redirect_files = elsewhere
    with client() as http, pytest.raises(SourceUnreachable, match="it redirects away from https"):
        http.get("pypi", "it", f"{server.base}/files/demo-1.0-py3-none-any.whl", limit=LIMIT)


def test_pauses_grow_and_are_random() -> None:
    policy = RetryPolicy(first=0.25, longest=8.0)
    pauses = [{policy.delay(failed) for _ in range(20)} for failed in range(1, 8)]
    for longest, drawn in zip((0.25, 0.5, 1, 2, 4, 8, 8), pauses, strict=True):
        assert longest / 2 <= min(drawn) < max(drawn) <= longest


# Credentials


@pytest.mark.parametrize(
    ("url", "plain", "login"),
    [
        ("https://example.com/simple", "https://example.com/simple", None),
        ("https://me:secret@example.com:8443/a?b", "https://example.com:8443/a?b", Login("me", "secret")),
        ("https://me%40work:p%2Fw@example.com/", "https://example.com/", Login("me@work", "p/w")),
        ("https://token@example.com/", "https://example.com/", Login("token", "")),
    ],
)
def test_credentials_are_split_off(url: str, plain: str, login: Login | None) -> None:
    assert split_credentials(url) == (plain, login)


def test_a_login_hides_its_password_in_repr() -> None:
    assert "secret" not in repr(Login("me", "secret"))


def test_logins_are_sent_to_their_own_server_only(server: IndexServer) -> None:
    keyring = Keyring()
    keyring.add(server.url, Login("me", "secret"))
    server.behaviour.auth = ("me", "secret")
    with IndexServer([build_wheel("demo", "1.0")]) as other, client(keyring) as http:
        server.behaviour.redirect_files = other.base
        reply = http.get("pypi", "it", f"{server.base}/files/demo-1.0-py3-none-any.whl", limit=LIMIT)
        assert reply.status == 200
        # The same host on another port is another server.
        assert "authorization" in server.log[0].headers
        assert "authorization" not in other.log[0].headers


def test_netrc_is_looked_up_by_host(server: IndexServer, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    server.behaviour.auth = ("me", "secret")
    keyring = Keyring(netrc)
    keyring.declare("pypi", server.url)
    with client(keyring) as http:
        assert http.get("pypi", "the page", server.base + PAGE, limit=LIMIT).status == 200


def test_a_netrc_login_is_never_sent_in_the_clear_because_a_page_says_so(tmp_path: Path) -> None:
    """The netrc file has no schemes. Only a server that is named with http, and not by a page, gets one over http."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine packages.example.com login me password secret\n")
    keyring = Keyring(netrc)
    keyring.declare("internal", "https://packages.example.com/simple")
    assert keyring.login("https://packages.example.com/simple/demo/") == Login("me", "secret")
    assert keyring.login("https://packages.example.com:8443/other") == Login("me", "secret")
    for plain in (
        "http://packages.example.com/f.whl",
        "http://packages.example.com:443/f",
        "http://packages.example.com:8080/f",
    ):
        assert keyring.login(plain) is None
        assert keyring.login_after_refusal(plain) is None
    keyring.declare("plain", "http://packages.example.com:8080/simple")
    assert keyring.login("http://packages.example.com:8080/f") == Login("me", "secret")
    assert keyring.login("http://packages.example.com/f.whl") is None


def test_the_default_entry_of_a_netrc_is_ignored(tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine one.example login me password secret\ndefault login me password hunter2\n")
    keyring = Keyring(netrc)
    assert keyring.login("https://one.example/simple") == Login("me", "secret")
    assert keyring.login("https://two.example/simple") is None


@pytest.mark.parametrize("text", ["machine", "\xff\xfe", "garbage garbage"])
def test_a_broken_netrc_has_no_logins(tmp_path: Path, text: str) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_bytes(text.encode("latin-1"))
    assert Keyring(netrc).login("https://example.com/") is None
    assert Keyring(tmp_path / "missing").login("https://example.com/") is None


def test_a_proxy_from_the_environment_is_used(server: IndexServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with IndexServer() as proxy:
        proxy.behaviour.bodies = {PAGE: ("text/html", b"by proxy")}
        monkeypatch.setenv("http_proxy", proxy.base.replace("://", "://me:secret@"))
        monkeypatch.setenv("no_proxy", "")
        with client() as http:
            reply = http.get("pypi", "the page", f"http://index.invalid{PAGE}", limit=LIMIT)
        assert reply.body == b"by proxy"
        assert proxy.log[0].headers["proxy-authorization"] == Login("me", "secret").authorization
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with client() as http:
            assert http.get("pypi", "the page", server.base + PAGE, limit=LIMIT).status == 200
        assert len(proxy.log) == 1
