"""Every digest that an index or channel states is compared with the file that it serves (PEP 503, PEP 691)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from envc.errors import DigestMismatch
from envc.fetch.conda.channel_locations import resolve_channels
from envc.fetch.conda.channels import Channels
from envc.fetch.net.credentials import Keyring
from envc.fetch.pypi.indexes import Indexes
from envc.fetch.pypi.listing import JSON_TYPE, ListedFile, parse_page
from envc.model.manifest import Source
from tests.e2e.command import HOST_PYTHON, Workplace
from tests.support.channel_server import ChannelServer, entry, repodata
from tests.support.fetching import fetching
from tests.support.manifests import project_table
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

WHEEL = build_wheel("demo", "1.0")
ALGORITHMS = ("md5", "sha1", "sha224", "sha384", "sha512")


def page(form: str, digests: dict[str, str]) -> tuple[str, bytes]:
    url = f"/files/{WHEEL.file}"
    if form == "json":
        return JSON_TYPE, json.dumps({"files": [{"filename": WHEEL.file, "url": url, "hashes": digests}]}).encode()
    [(name, digest)] = digests.items()
    return "text/html", f'<a href="{url}#{name}={digest}">demo</a>'.encode()


def listed(form: str, digests: dict[str, str]) -> ListedFile:
    kind, body = page(form, digests)
    [found] = parse_page(body, kind, "https://example.com/simple/demo/")
    return found


def obtain(server: IndexServer, cache: Path, form: str, digests: dict[str, str]) -> str:
    """The sha256 of the file of a page with these digests."""
    server.add(WHEEL)
    server.behaviour.bodies = {"/simple/demo/": page(form, digests)}
    with Indexes({"pypi": Source(name="pypi", kind="pypi", url=server.url)}, fetching(cache, now=1)) as origins:
        (file,) = origins.files("pypi", "demo")
        return origins.obtain("pypi", "demo", file)[1]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("form", ["json", "html"])
def test_a_wrong_digest_is_refused(server: IndexServer, tmp_path: Path, form: str, algorithm: str) -> None:
    right = hashlib.new(algorithm, WHEEL.data).hexdigest()
    assert obtain(server, tmp_path / "right", form, {algorithm: right.upper()}) == WHEEL.sha256
    wrong = hashlib.new(algorithm, b"other").hexdigest()
    with pytest.raises(DigestMismatch, match=rf"from pypi, does not match its digest\n  expected {algorithm} {wrong}"):
        obtain(server, tmp_path / "wrong", form, {algorithm: wrong})
    assert not list((tmp_path / "wrong").rglob("*.whl"))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_wrong_digest_beside_the_right_sha256_is_refused(server: IndexServer, tmp_path: Path, algorithm: str) -> None:
    wrong = hashlib.new(algorithm, b"other").hexdigest()
    with pytest.raises(DigestMismatch, match=f"expected {algorithm} {wrong}"):
        obtain(server, tmp_path, "json", {"sha256": WHEEL.sha256, algorithm: wrong})


@pytest.mark.parametrize("fragment", ["sha256={0}&egg=demo", "egg=demo&sha256={0}", "md5={1}&sha256={0}"])
def test_a_fragment_of_several_parts_states_its_digests(fragment: str) -> None:
    text = fragment.format(WHEEL.sha256, hashlib.md5(b"other").hexdigest())
    body = f'<a href="/files/{WHEEL.file}#{text}">demo</a>'.encode()
    [found] = parse_page(body, "text/html", "https://example.com/simple/demo/")
    assert found.file.sha256 == WHEEL.sha256
    assert found.others == ((("md5", hashlib.md5(b"other").hexdigest()),) if "md5" in fragment else ())


@pytest.mark.parametrize("has_sha256", [False, True])
@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha384", "sha512"])
@pytest.mark.parametrize("form", ["json", "html", "links", "links on disk"])
def test_lock_or_bundle_refuses_a_file_with_another_digest_than_stated(
    server: IndexServer, tmp_path: Path, form: str, algorithm: str, has_sha256: bool
) -> None:
    """Without a sha256 the file is read by `lock`, with one by `bundle`."""
    wrong = hashlib.new(algorithm, b"other").hexdigest()
    stated = {"sha256": WHEEL.sha256, algorithm: wrong} if has_sha256 else {algorithm: wrong}
    server.add(WHEEL)
    place = Workplace(tmp_path, server.url)
    fragment = "&".join(f"{name}={digest}" for name, digest in stated.items())
    link = f'<a href="{WHEEL.file}#{fragment}">demo</a>'
    kind, url = "find-links", f"{server.base}/files/"
    if form == "json":
        entry = {"filename": WHEEL.file, "url": f"/files/{WHEEL.file}", "hashes": stated}
        server.behaviour.bodies = {"/simple/demo/": (JSON_TYPE, json.dumps({"files": [entry]}).encode())}
        kind, url = "pypi", server.url
    elif form == "html":
        body = link.replace('href="', 'href="/files/').encode()
        server.behaviour.bodies = {"/simple/demo/": ("text/html", body)}
        kind, url = "pypi", server.url
    elif form == "links":
        server.behaviour.bodies = {"/files/": ("text/html", link.encode())}
    else:
        url = "links/page.html"
        (place.checkout / "links").mkdir()
        (place.checkout / "links" / WHEEL.file).write_bytes(WHEEL.data)
        (place.checkout / url).write_text(link)
    place.write(
        project_table("linux-64", python=HOST_PYTHON, indexes=["here"])
        + f'[sources.here]\nkind = "{kind}"\nurl = "{url}"\n[steps.one]\npypi = ["demo"]\n'
    )
    if has_sha256 and form != "links on disk":
        place.ok("lock")
    done = place.fails(1, "bundle" if place.lock.exists() else "lock")
    assert f"from here, does not match its digest\n  expected {algorithm} {wrong}" in done.err


@pytest.mark.parametrize("digests", [{"blake2b": "00"}, {"crc32": "x"}, {"md5": "short"}, {"sha1": "g" * 40}])
@pytest.mark.parametrize("form", ["json", "html"])
def test_unknown_and_malformed_digests_count_as_absent(form: str, digests: dict[str, str]) -> None:
    assert (listed(form, digests).file.sha256, listed(form, digests).others) == ("", ())


@pytest.mark.parametrize("place", ["server", "folder"])
@pytest.mark.parametrize("is_right", [True, False])
def test_the_md5_of_a_conda_record_without_sha256(tmp_path: Path, place: str, is_right: bool) -> None:
    data = b"a package"
    record = entry("demo", "1.0", md5=hashlib.md5(data if is_right else b"other").hexdigest())
    [file] = record
    with ChannelServer() as server:
        server.files = {"/forge/linux-64/repodata.json": repodata(record), f"/forge/linux-64/{file}": data}
        url = f"{server.base}/forge"
        if place == "folder":
            url = str(tmp_path / "forge")
            for path, body in server.files.items():
                target = tmp_path / path.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(body)
        locations = resolve_channels([url], {}, Keyring())
        with Channels(locations, fetching(tmp_path / "cache", now=1)) as channels:
            if is_right:
                identity = (hashlib.sha256(data).hexdigest(), len(data))
                assert channels.identify("forge", "linux-64", file) == identity
            else:
                with pytest.raises(DigestMismatch, match="from forge, does not match its digest\n  expected md5"):
                    channels.identify("forge", "linux-64", file)
