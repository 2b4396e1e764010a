"""Pages that would have a login sent to another server, or in the clear."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trustme

from envc.fetch.net.settings import FetchSettings, Transport
from envc.fetch.pypi.indexes import Indexes, SourceOrder
from envc.fetch.pypi.listing import JSON_TYPE
from envc.model.manifest import Source
from envc_solvers.target import Python, default_target
from tests.support.certificates import forget_network_variables, server_context
from tests.support.fetching import fetching
from tests.support.servers import Behaviour, IndexServer
from tests.support.wheels import build_wheel


@pytest.mark.parametrize("way", ["netrc", "url"])
def test_an_https_page_that_lists_plain_files_gets_no_login_for_them(
    server: IndexServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The files are on the same host: they are fetched without a login."""
    forget_network_variables(monkeypatch)
    authority = trustme.CA()
    (tmp_path / "authority.pem").write_bytes(authority.cert_pem.bytes())
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n" if way == "netrc" else "")
    wheel = build_wheel("demo", "1.0")
    server.add(wheel)
    entry = {"filename": wheel.file, "url": f"{server.base}/files/{wheel.file}", "hashes": {"sha256": wheel.sha256}}
    page = json.dumps({"files": [entry]}).encode()
    behaviour = Behaviour(bodies={"/simple/demo/": (JSON_TYPE, page)}, auth=("me", "secret"))
    with IndexServer(behaviour=behaviour, tls=server_context(authority)) as index:
        url = index.url if way == "netrc" else index.url_with("me", "secret")
        settings = FetchSettings(
            cache=tmp_path / "cache", netrc=netrc, transport=Transport(authorities=tmp_path / "authority.pem")
        )
        context = fetching(settings, now=1)
        with Indexes({"internal": Source(name="internal", kind="pypi", url=url)}, context) as origins:
            view = origins.index(default_target("linux-64"), Python(minor=(3, 12)), SourceOrder(("internal",))).view(
                "demo"
            )
            file = view.releases[0].files[0]
            assert origins.metadata("internal", "demo", file).version == "1.0"
            assert origins.obtain("internal", "demo", file)[1] == wheel.sha256
        assert all("authorization" in request.headers for request in index.log)
    assert server.log and not any("authorization" in request.headers for request in server.log)
