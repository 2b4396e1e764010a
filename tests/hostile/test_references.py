"""A document may name only places that are at least as far away as itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from envc.errors import EnvcError, SourceUnreachable, UsageError
from envc.fetch.conda.channel_locations import resolve_channels
from envc.fetch.conda.channels import Channels
from envc.fetch.net.credentials import Keyring
from envc.fetch.net.http import Client
from envc.fetch.net.settings import FetchSettings, is_usable
from envc.fetch.net.urls import git_mistake, is_local, named_by, url_mistake
from envc.fetch.pypi.indexes import Indexes, SourceOrder
from envc.fetch.pypi.listing import JSON_TYPE, parse_page
from envc.fetch.pypi.source_locations import resolve_sources
from envc.fetch.standalone import archive_urls
from envc.model.manifest import Source, Standalone
from envc_solvers.target import Python, default_target
from tests.support.channel_server import ChannelServer, entry, shards
from tests.support.fetching import fetching
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

WEB = "https://example.com/simple/demo/"
LOCAL = "file:///srv/simple/demo/index.html"
WHEEL = "demo-1.0-py3-none-any.whl"

FILES = [f"file:///srv/{WHEEL}", f"FILE:///srv/{WHEEL}", f"file:/srv/{WHEEL}", f"file://localhost/srv/{WHEEL}"]
# Each names a share on Windows, which would log in to that host.
SHARES = [
    f"file://host/share/{WHEEL}",
    f"file:////host/share/{WHEEL}",
    f"file:///%5C%5Chost/share/{WHEEL}",
    f"file:///%2Fhost/share/{WHEEL}",
    f"file:///%5Chost/share/{WHEEL}",
    f"file:///%3F%3F/UNC/host/share/{WHEEL}",
    f"file:\\\\host\\share\\{WHEEL}",
    f"file:///\\\\host/share/{WHEEL}",
    f"//host/share/{WHEEL}",
    f"\\\\host\\share\\{WHEEL}",
    f"/%5Chost/share/{WHEEL}",
]
OTHER = ["ftp://example.com/x", "javascript:alert(1)", "data:,x", "http://[::1", "mailto:a@b"]


@pytest.mark.parametrize("reference", [f"{WEB}{WHEEL}", f"http://other.example/{WHEEL}", f"//other.example/{WHEEL}"])
def test_every_document_may_name_places_on_the_web(reference: str) -> None:
    found = named_by(WEB, reference)
    assert found is not None and found.startswith(("https://", "http://"))
    if not reference.startswith("//"):
        assert named_by(LOCAL, reference) == reference


def test_references_are_relative_to_their_document_and_lose_login_and_fragment() -> None:
    assert named_by(WEB, f"../../f/{WHEEL}?x=1#sha256=00") == f"https://example.com/f/{WHEEL}?x=1"
    assert named_by(WEB, f"https://me:secret@files.example.com/{WHEEL}") == f"https://files.example.com/{WHEEL}"
    assert named_by(LOCAL, f"../{WHEEL}#x") == f"file:///srv/simple/{WHEEL}"
    assert named_by(LOCAL, "a%20b.whl") == "file:///srv/simple/demo/a%20b.whl"


@pytest.mark.parametrize("reference", [*FILES, *(each for each in SHARES if each.lower().startswith("file:"))])
def test_a_document_from_the_web_may_not_name_files(reference: str) -> None:
    assert named_by(WEB, reference) is None


@pytest.mark.parametrize("reference", FILES[:3])
def test_a_document_of_this_machine_may_name_its_files(reference: str) -> None:
    found = named_by(LOCAL, reference)
    assert found is not None and found.lower().startswith("file:/")


@pytest.mark.parametrize("reference", SHARES)
def test_no_document_may_name_a_share_of_another_host(reference: str) -> None:
    assert named_by(LOCAL, reference) is None


@pytest.mark.parametrize("reference", OTHER)
@pytest.mark.parametrize("document", [WEB, LOCAL])
def test_other_schemes_and_malformed_references_are_refused(document: str, reference: str) -> None:
    assert named_by(document, reference) is None


# All places where addresses come from others


@pytest.mark.parametrize("reference", [*FILES, *SHARES[:8]])
@pytest.mark.parametrize("form", ["json", "html", "base"])
def test_a_page_from_the_web_names_no_file(reference: str, form: str) -> None:
    if form == "json":
        body = json.dumps({"files": [{"filename": WHEEL, "url": reference}]}).encode()
        assert list(parse_page(body, JSON_TYPE, WEB)) == []
    elif form == "html":
        assert list(parse_page(f'<a href="{reference}">x</a>'.encode(), "text/html", WEB)) == []
    else:
        folder = reference.removesuffix(WHEEL)
        with pytest.raises(ValueError, match="its base URL cannot be used"):
            parse_page(f'<base href="{folder}"><a href="{WHEEL}">x</a>'.encode(), "text/html", WEB)


@pytest.mark.parametrize("reference", SHARES)
@pytest.mark.parametrize("form", ["html", "base"])
def test_a_page_of_this_machine_names_no_share(reference: str, form: str) -> None:
    folder = reference.removesuffix(WHEEL)
    head = f'<base href="{folder}">' if form == "base" else ""
    link = WHEEL if form == "base" else reference
    try:
        assert list(parse_page(f'{head}<a href="{link}">x</a>'.encode(), "text/html", LOCAL)) == []
    except ValueError as error:
        assert "its base URL cannot be used" in str(error)


@pytest.mark.parametrize("kind", ["pypi", "find-links"])
def test_a_page_on_a_server_cannot_make_files_of_this_machine_candidates(
    server: IndexServer, tmp_path: Path, kind: str
) -> None:
    build_wheel("demo", "9.0").write(tmp_path)
    body = f'<base href="{tmp_path.as_uri()}/"><a href="demo-9.0-py3-none-any.whl">demo</a>'.encode()
    path = "/simple/demo/" if kind == "pypi" else "/links/"
    server.behaviour.bodies = {path: ("text/html", body)}
    url = server.url if kind == "pypi" else f"{server.base}/links/"
    sources = {"far": Source(name="far", kind=kind, url=url)}  # type: ignore[arg-type]
    with Indexes(sources, fetching(tmp_path / "cache", now=1)) as origins:
        index = origins.index(default_target("linux-64"), Python(minor=(3, 12)), SourceOrder(("far",)))
        with pytest.raises(SourceUnreachable, match="its base URL cannot be used"):
            index.view("demo")


@pytest.mark.parametrize("location", ["file:///etc/passwd", "file://host/share", "//[x", "ftp://example.com/"])
def test_a_redirect_stays_on_the_web(server: IndexServer, location: str) -> None:
    server.behaviour.moved = location
    client = Client(Keyring())
    try:
        with pytest.raises(EnvcError, match="it redirects"):
            client.get("internal", "the page", server.url, limit=100)
    finally:
        client.close()


@pytest.mark.parametrize("base", ["file:///srv/", "file://host/share/", "file:////host/share/"])
@pytest.mark.parametrize("is_local", [False, True])
def test_the_base_url_of_a_channel(tmp_path: Path, base: str, is_local: bool) -> None:
    """CEP-15 and CEP-16: a channel of this machine may have its packages in another folder, and never on a share."""
    demo = entry("demo", "1.0")
    with ChannelServer() as server:
        server.files = shards("/forge/linux-64", {"demo": demo}, base_url=base, shards_base_url=base)
        url = f"{server.base}/forge"
        if is_local:
            url = str(tmp_path / "forge")
            folder = tmp_path / "forge" / "linux-64"
            folder.mkdir(parents=True)
            (folder / "repodata_shards.msgpack.zst").write_bytes(
                server.files["/forge/linux-64/repodata_shards.msgpack.zst"]
            )
        locations = resolve_channels([url], {}, Keyring())
        with Channels(locations, fetching(tmp_path / "cache", now=1)) as channels:
            subdir = channels.subdir("forge", "linux-64")
            for resolve in (subdir.file_url, subdir.shard_url):
                if is_local and base == "file:///srv/":
                    assert resolve("0" * 64).startswith("file:///srv/")
                else:
                    with pytest.raises(SourceUnreachable, match="its base URL cannot be used"):
                        resolve("0" * 64)


@pytest.mark.parametrize("share", ["file://host/share", "file:////host/share", "file:///%5C%5Chost/share"])
def test_no_setting_names_a_share_of_another_host(tmp_path: Path, share: str) -> None:
    """A manifest may come from somebody else. A share that is mounted has a path of this machine."""
    assert not is_local(share) and not is_usable(share)
    assert url_mistake(share) is not None and git_mistake(share) is not None
    settings = FetchSettings(cache=tmp_path)
    for kind in ("pypi", "find-links"):
        with pytest.raises(UsageError, match="the url of source near cannot be used"):
            resolve_sources({"near": Source(name="near", kind=kind, url=share)}, settings, Keyring())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="cannot be used"):
        resolve_channels([share], {}, Keyring())
    file = "cpython-3.12.7+20241016-x86_64-unknown-linux-gnu-install_only.tar.gz"
    with pytest.raises(UsageError, match="the URL of standalone interpreters cannot be used"):
        archive_urls(file, Standalone(url=share), {}, tmp_path)


def test_files_of_this_machine_may_be_named_in_settings(tmp_path: Path) -> None:
    for url in ("file:///srv/wheels", "file://localhost/srv/wheels", "file:///C:/wheels", tmp_path.as_uri()):
        assert is_local(url) and is_usable(url) and url_mistake(url) is None
