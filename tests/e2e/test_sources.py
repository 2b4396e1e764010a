"""Sources of packages, through the installed command: several sources, their logins and certificates."""

from __future__ import annotations

import shutil
import ssl
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli
import trustme

from tests.e2e.command import HOST_PYTHON, Workplace
from tests.e2e.test_lock_conda import MANIFEST as CONDA_MANIFEST
from tests.e2e.test_lock_conda import write_channel
from tests.support.channel_server import ChannelServer
from tests.support.servers import Behaviour, IndexServer, TunnelProxy
from tests.support.wheels import build_sdist, build_wheel

SECRET = "hunter2"


def manifest(sources: str, indexes: str = '["internal", "pypi"]', pypi: str = '["acme-models"]') -> str:
    return f"""\
[project]
name = "demo"
targets = ["linux-64"]
python = "{HOST_PYTHON}"
indexes = {indexes}
[steps.train]
pypi = {pypi}
{sources}
"""


@pytest.fixture
def public() -> Iterator[IndexServer]:
    with IndexServer([build_wheel("acme-models", "99.0"), build_wheel("gamma", "1.0")]) as server:
        yield server


@pytest.fixture
def internal() -> Iterator[IndexServer]:
    with IndexServer([build_wheel("acme-models", "1.0", ["gamma"])]) as server:
        yield server


@pytest.fixture
def place(tmp_path: Path, public: IndexServer) -> Workplace:
    return Workplace(tmp_path, public.url)


def versions(place: Workplace) -> dict[str, tuple[str, str]]:
    packages = tomli.loads(place.lock.read_text())["package"]
    return {package["id"].removeprefix("pypi:"): (package["version"], package["source"]) for package in packages}


def declared(url: str, more: str = "") -> str:
    return f'[sources.internal]\nkind = "pypi"\nurl = "{url}"\n{more}'


def test_a_higher_version_elsewhere_never_replaces_a_pinned_project(
    place: Workplace, public: IndexServer, internal: IndexServer
) -> None:
    # Even if the public index comes first, and even if the internal one no longer has the project.
    pinned = declared(internal.url, 'projects = ["acme-*"]\n')
    place.write(manifest(pinned, '["pypi", "internal"]'))
    place.ok("lock")
    assert versions(place) == {"acme-models": ("1.0", "internal"), "gamma": ("1.0", "pypi")}
    place.ok("lock", "--upgrade", "--refresh")
    assert versions(place)["acme-models"] == ("1.0", "internal")
    assert not public.requests_for("/simple/acme-models/")
    internal.remove("acme_models-1.0-py3-none-any.whl")
    assert "there is no project acme-models in internal" in place.fails(1, "lock", "--upgrade", "--refresh").err
    assert not public.requests_for("/simple/acme-models/")


def test_the_first_index_that_knows_a_project_supplies_it(place: Workplace, internal: IndexServer) -> None:
    place.write(manifest(declared(internal.url)))
    place.ok("lock")
    assert versions(place)["acme-models"] == ("1.0", "internal")


def test_a_failure_of_the_first_index_never_leads_to_the_next(
    place: Workplace, public: IndexServer, internal: IndexServer
) -> None:
    internal.behaviour.status = {"/simple/": 403}
    place.write(manifest(declared(internal.url)))
    assert "from internal: HTTP 403" in place.fails(1, "lock").err
    assert not public.requests_for("/simple/acme-models/")


@pytest.mark.parametrize("form", ["html", "folder", "page", "file"])
def test_other_kinds_of_sources(place: Workplace, internal: IndexServer, tmp_path: Path, form: str) -> None:
    wheel = build_wheel("acme-models", "1.0", ["gamma"])
    internal.behaviour.pages = "html"
    if form == "html":
        source = declared(internal.url)
    elif form == "page":
        source = f'[sources.internal]\nkind = "find-links"\nurl = "{internal.base}/links/"\n'
    elif form == "folder":
        (place.checkout / "wheels").mkdir()
        (place.checkout / "wheels" / wheel.file).write_bytes(wheel.data)
        source = '[sources.internal]\nkind = "find-links"\nurl = "wheels"\n'
    else:
        folder = tmp_path / "mirror" / "acme-models"
        folder.mkdir(parents=True)
        (folder / wheel.file).write_bytes(wheel.data)
        (folder / "index.html").write_text(f'<a href="{wheel.file}#sha256={wheel.sha256}">{wheel.file}</a>')
        place.write(manifest("", '["pypi"]', '["acme-models<2"]'))
        place.env["ENVC_INDEX_URL"] = (tmp_path / "mirror").as_uri()
        assert "there is no project gamma" in place.fails(1, "lock").err
        (tmp_path / "mirror" / "gamma").mkdir()
        gamma = build_wheel("gamma", "1.0")
        (tmp_path / "mirror" / "gamma" / gamma.file).write_bytes(gamma.data)
        (tmp_path / "mirror" / "gamma" / "index.html").write_text(f'<a href="{gamma.file}">{gamma.file}</a>')
        place.ok("lock")
        assert versions(place)["acme-models"] == ("1.0", "pypi")
        return
    place.write(manifest(source))
    place.ok("lock")
    assert versions(place)["acme-models"] == ("1.0", "internal")
    place.ok("bundle")


def everything_written(place: Workplace) -> bytes:
    folders = (place.checkout, place.cache, place.store)
    return b"".join(path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def private() -> Iterator[IndexServer]:
    behaviour = Behaviour(auth=("me", SECRET))
    with IndexServer([build_wheel("acme-models", "1.0", ["gamma"])], behaviour) as server:
        yield server


KEYRING = """\
#!{python}
import sys
with open({log!r}, "a") as log:
    print(*sys.argv[1:], file=log)
words = sys.argv[1:]
if words[:3] == ["--mode", "creds", "get"] and words[3] == {service!r}:
    print("me"); print({secret!r})
elif words == ["get", {service!r}, "me"]:
    print({secret!r})
else:
    sys.exit("nothing known of hunter2")
"""


def keyring(place: Workplace, service: str) -> Path:
    """A `keyring` command that knows one service, and the file with the requests to it."""
    folder = place.folder / "bin"
    folder.mkdir(exist_ok=True)
    log = folder / "log"
    command = folder / "keyring"
    command.write_text(KEYRING.format(python=sys.executable, log=str(log), service=service, secret=SECRET))
    command.chmod(0o755)
    place.env["PATH"] = f"{folder}:{place.env['PATH']}"
    return log


@pytest.mark.parametrize(
    "way", ["netrc", "variables", "keyring", "keyring by user", "keyring by host", "pip's keyring"]
)
def test_logins(place: Workplace, private: IndexServer, way: str) -> None:
    place.write(manifest(declared(private.url)))
    assert "from internal: HTTP 401" in place.fails(1, "lock").err
    if way == "netrc":
        netrc = place.folder / "netrc"
        netrc.write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
        env = {"NETRC": str(netrc)}
    elif way == "variables":
        env = {"ENVC_SOURCE_INTERNAL_USERNAME": "me", "ENVC_SOURCE_INTERNAL_PASSWORD": SECRET}
    else:
        env = {"ENVC_KEYRING_PROVIDER": "subprocess"}
        host = private.base.removeprefix("http://")
        requests_file = keyring(place, host if way == "keyring by host" else private.url)
        if way == "keyring by user":
            env["ENVC_SOURCE_INTERNAL_USERNAME"] = "me"
        elif way == "pip's keyring":
            env = {"PIP_KEYRING_PROVIDER": "subprocess"}
    locking, bundling = place.ok("lock", **env), place.ok("bundle", **env)
    assert versions(place)["acme-models"] == ("1.0", "internal")
    message = locking.out + locking.err + bundling.out + bundling.err
    assert SECRET not in message
    assert SECRET.encode() not in everything_written(place)
    if "keyring" in way:
        lines = requests_file.read_text().splitlines()
        wanted = f"get {private.url} me" if way == "keyring by user" else f"--mode creds get {private.url}"
        assert lines[0] == wanted
        assert len(lines) <= 2 * (2 if way == "keyring by host" else 1)  # once a command


@pytest.mark.parametrize("way", ["variables", "keyring"])
def test_logins_of_channels(place: Workplace, tmp_path: Path, way: str) -> None:
    write_channel(tmp_path / "channel")
    with ChannelServer() as server:
        server.add_folder("private", tmp_path / "channel")
        server.auth = "Basic " + b64encode(f"me:{SECRET}".encode()).decode()
        url = f"{server.base}/private"
        place.write(CONDA_MANIFEST.replace('"channel"', f'"{url}"').replace("small", "internal"))
        assert "from internal: HTTP 401" in place.fails(1, "lock").err
        server.log.clear()
        if way == "variables":
            env = {"ENVC_SOURCE_INTERNAL_USERNAME": "me", "ENVC_SOURCE_INTERNAL_PASSWORD": SECRET}
        else:
            env = {"ENVC_KEYRING_PROVIDER": "subprocess"}
            requests_file = keyring(place, url)
        message = place.ok("lock", **env).err
        answers = dict(server.log)  # the last of each path
        assert SECRET not in message
        assert SECRET.encode() not in everything_written(place)
    assert any(path.endswith(".conda") for path in answers)  # looked into for link scripts
    assert 401 not in answers.values()
    assert way == "variables" or requests_file.read_text().splitlines() == [f"--mode creds get {url}"]


def test_a_keyring_is_not_used_unless_enabled(place: Workplace, private: IndexServer) -> None:
    place.write(manifest(declared(private.url)))
    requests_file = keyring(place, private.url)
    place.fails(1, "lock")
    place.fails(1, "lock", ENVC_KEYRING_PROVIDER="disabled", PIP_KEYRING_PROVIDER="subprocess")
    assert not requests_file.exists()
    assert "it must be `subprocess` or `disabled`" in place.fails(2, "lock", ENVC_KEYRING_PROVIDER="import").err
    (requests_file.parent / "keyring").unlink()
    env = {"ENVC_KEYRING_PROVIDER": "subprocess", "PATH": str(requests_file.parent)}
    assert "there is no `keyring` on PATH" in place.fails(2, "lock", **env).err


def test_a_keyring_without_the_login(place: Workplace, private: IndexServer) -> None:
    place.write(manifest(declared(private.url)))
    keyring(place, "https://another.example.com/simple")
    message = place.fails(1, "lock", ENVC_KEYRING_PROVIDER="subprocess").err
    assert "from internal: HTTP 401" in message
    assert SECRET not in message


def test_a_private_index_behind_a_proxy_with_its_own_authority(place: Workplace, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    bundle, own = tmp_path / "authority.pem", tmp_path / "me.pem"
    authority.cert_pem.write_to_path(bundle)
    authority.issue_cert("me@example.com").private_key_and_cert_chain_pem.write_to_path(own)
    wheel = build_wheel("acme-models", "1.0")
    with IndexServer([wheel], tls=context) as server, TunnelProxy() as proxy:
        place.write(manifest(declared(server.url), '["internal"]'))
        env = {"SSL_CERT_FILE": str(bundle), "SSL_CLIENT_CERT": str(own), "https_proxy": proxy.url()}
        place.ok("lock", **env)
        place.ok("bundle", **env)
        assert proxy.tunnels
        assert {request.status for request in server.log} == {200}
        pip = {"PIP_CERT": str(bundle), "PIP_CLIENT_CERT": str(own), "PIP_PROXY": proxy.url()}
        place.env.pop("SSL_CERT_FILE", None)
        place.env.pop("SSL_CERT_DIR", None)
        before = len(proxy.tunnels)
        place.ok("lock", "--upgrade", "--refresh", **pip)
        assert len(proxy.tunnels) > before
    assert versions(place)["acme-models"] == ("1.0", "internal")


def test_pages_are_used_while_fresh_and_then_revalidated(place: Workplace, internal: IndexServer) -> None:
    place.write(manifest(declared(internal.url)))
    place.ok("lock", ENVC_NOW="2026-06-01T00:00:00Z")
    internal.forget()
    place.ok("lock", "--upgrade", ENVC_NOW="2026-06-01T00:05:00Z")
    assert not internal.log  # max-age=600
    place.ok("lock", "--upgrade", "--refresh", ENVC_NOW="2026-06-01T00:06:00Z")
    assert [request.status for request in internal.log if "acme" in request.path] == [304]
    internal.forget()
    place.ok("lock", "--upgrade", ENVC_NOW="2026-06-01T00:20:00Z")
    assert [request.status for request in internal.log if "acme" in request.path] == [304]


def test_one_file_from_two_sources_is_two_packages(place: Workplace, public: IndexServer) -> None:
    """Each step can be bundled from its own source, whatever happens to the other one."""
    wheel = build_wheel("acme-models", "99.0")
    (place.checkout / wheel.file).write_bytes(wheel.data)
    by_path = f'[steps.other]\npypi = [{{ path = "{wheel.file}" }}]\n'
    place.write(manifest(by_path, '["pypi"]'))
    place.ok("lock")
    assert versions(place) == {"acme-models": ("99.0", "pypi"), "acme-models@99.0": ("99.0", "path")}
    place.ok("lock", "--check")
    place.ok("bundle")
    public.remove(wheel.file)
    place.write(manifest("", '["pypi"]').replace('[steps.train]\npypi = ["acme-models"]\n', by_path))
    place.ok("lock")
    assert versions(place) == {"acme-models@99.0": ("99.0", "path")}
    for folder in (place.cache, place.store):
        shutil.rmtree(folder)
    place.ok("bundle")


PORTAL = ("text/html", b"<html><title>Sign in</title><body><a href='/login'>Please sign in</a></body></html>")


@pytest.mark.parametrize(
    ("pypi", "more"),
    [
        ('"acme-models"', ""),
        ('"acme-models>=2"', ""),
        ('"acme-models==99.0"', ""),
        ('"app"', ""),  # a dependency of another project
        ('"acme-models"', '[policy]\nbuild = ["acme-models"]'),  # the second index has an sdist as well
        ('"acme-models", "other"', '[policy]\nbuild = ["acme-models"]'),
    ],
)
def test_the_next_index_is_not_asked_if_the_first_answers_with_a_page_without_files(
    place: Workplace, internal: IndexServer, public: IndexServer, pypi: str, more: str
) -> None:
    """Not for the solution, and not for the explanation, source distributions and suggestions either."""
    internal.behaviour.bodies = {"/simple/acme-models/": PORTAL}
    internal.add(build_wheel("app", "1.0", ["acme-models<50"]))
    public.add(build_sdist("acme-models", "98.0"))
    public.add(build_wheel("other", "1.0"))
    place.write(manifest(declared(internal.url) + more, pypi=f"[{pypi}]"))
    done = place.fails(1, "lock")
    assert "acme-models" in done.err
    assert "99.0" not in done.err.replace("==99.0", "")
    assert "98.0" not in done.err
    assert "pypi" not in done.err.replace("steps.train.pypi", "")
    assert public.requests_for("/simple/acme-models/") == 0


def test_a_source_that_claims_a_project_supplies_it_although_its_page_lists_no_files(
    place: Workplace, internal: IndexServer, public: IndexServer
) -> None:
    internal.behaviour.bodies = {"/simple/acme-models/": PORTAL}
    place.write(manifest(declared(internal.url, 'projects = ["acme-*"]'), indexes='["pypi"]'))
    done = place.fails(1, "lock")
    assert "99.0" not in done.err
    assert public.requests_for("/simple/acme-models/") == 0


def test_files_that_are_no_files_of_the_project_do_not_lead_to_the_next_index(
    place: Workplace, internal: IndexServer, public: IndexServer
) -> None:
    page = b"<a href='other-1.0-py3-none-any.whl'>other-1.0-py3-none-any.whl</a><a href='README.txt'>README.txt</a>"
    internal.behaviour.bodies = {"/simple/acme-models/": ("text/html", page)}
    place.write(manifest(declared(internal.url)))
    place.fails(1, "lock")
    assert public.requests_for("/simple/acme-models/") == 0
