"""What is said about a refused login, and indexes that answer 403 for what they do not have."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import Workplace
from tests.e2e.test_lock_conda import MANIFEST as CONDA_MANIFEST
from tests.e2e.test_lock_conda import write_channel
from tests.e2e.test_sources import declared, keyring, manifest, versions
from tests.support.channel_server import ChannelServer
from tests.support.servers import Behaviour, IndexServer
from tests.support.wheels import build_wheel

WRONG = "not-hunter2"


@pytest.fixture
def private() -> Iterator[IndexServer]:
    with IndexServer([build_wheel("acme-models", "1.0", ["gamma"])], Behaviour(auth=("me", "hunter2"))) as server:
        yield server


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    with IndexServer([build_wheel("acme-models", "99.0"), build_wheel("gamma", "1.0")]) as public:
        yield Workplace(tmp_path, public.url)


def refused(place: Workplace, **env: str) -> str:
    done = place.fails(1, "lock", **env)
    assert WRONG not in done.err + done.out
    return done.err


def netrc(place: Workplace, text: str) -> dict[str, str]:
    path = place.folder / "my-netrc"
    path.write_text(text)
    return {"NETRC": str(path)}


def test_without_a_login_the_variables_have_their_real_names(place: Workplace, private: IndexServer) -> None:
    place.write(manifest(declared(private.url).replace("internal", "my-models")).replace("internal", "my-models"))
    said = refused(place)
    assert "from my-models: HTTP 401: it asks for a login, and there is none for it" in said
    assert "ENVC_SOURCE_MY_MODELS_USERNAME and ENVC_SOURCE_MY_MODELS_PASSWORD" in said
    assert "<NAME>" not in said


@pytest.mark.parametrize("pretty", ["netrc", "variables", "password", "keyring", "url", "pip"])
def test_a_refused_login_is_named_with_its_user_and_where_it_comes_from(
    place: Workplace, private: IndexServer, pretty: str
) -> None:
    place.write(manifest(declared(private.url)))
    env, origin = {}, pretty
    if pretty == "netrc":
        env = netrc(place, f"machine 127.0.0.1 login me password {WRONG}\n")
    elif pretty == "variables":
        env = {"ENVC_SOURCE_INTERNAL_USERNAME": "me", "ENVC_SOURCE_INTERNAL_PASSWORD": WRONG}
        origin = "ENVC_SOURCE_INTERNAL_PASSWORD"
    elif pretty == "password":
        place.write(manifest("", indexes='["pypi"]'))
        env = {"ENVC_INDEX_URL": private.url_with("me", "x"), "ENVC_SOURCE_PYPI_PASSWORD": WRONG}
        env["ENVC_SOURCE_PYPI_USERNAME"] = "me"
        origin = "ENVC_SOURCE_PYPI_PASSWORD"
    elif pretty == "keyring":
        keyring(place, private.url)
        private.behaviour.auth = ("me", "changed")
        env, origin = {"ENVC_KEYRING_PROVIDER": "subprocess"}, "the keyring"
    else:
        place.write(manifest("", indexes='["pypi"]'))
        env = {"ENVC_INDEX_URL": private.url_with("me", WRONG)}
        origin = "ENVC_INDEX_URL"
        if pretty == "pip":
            env = {"ENVC_INDEX_URL": "", "PIP_INDEX_URL": private.url_with("me", WRONG)}
            origin = "pip's index-url"
    said = refused(place, **env)
    assert f"HTTP 401: it refused the login from {origin} for user me\n" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "login", [("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "x"), ("T0kenOf-gemfury", "NOPASS"), ("t" * 40, "secret")]
)
def test_a_user_that_may_be_a_token_is_not_shown(
    place: Workplace, private: IndexServer, login: tuple[str, str]
) -> None:
    place.write(manifest("", indexes='["pypi"]'))
    said = refused(place, ENVC_INDEX_URL=private.url_with(*login))
    assert "it refused the login from ENVC_INDEX_URL\n" in said
    assert login[0] not in said


def test_a_user_without_a_password_is_told(place: Workplace, private: IndexServer) -> None:
    place.write(manifest(declared(private.url)))
    said = refused(place, ENVC_SOURCE_INTERNAL_USERNAME="me")
    assert "ENVC_SOURCE_INTERNAL_USERNAME has a user for it, but there is no password" in said


def test_a_netrc_that_cannot_be_read_is_told_without_its_contents(place: Workplace, private: IndexServer) -> None:
    place.write(manifest(declared(private.url)))
    said = refused(place, **netrc(place, f"machine 127.0.0.1 login me\npasswort {WRONG}\n"))
    assert "there is none for it; my-netrc cannot be read, line 2" in said
    assert "there is no file that NETRC names" in refused(place, NETRC=str(place.folder / "absent"))


def test_a_login_that_does_not_suffice_is_told_apart(place: Workplace, private: IndexServer) -> None:
    place.write(manifest(declared(private.url)))
    private.behaviour.auth = None
    private.behaviour.status = {"/simple/": 403}
    said = refused(place, **netrc(place, f"machine 127.0.0.1 login me password {WRONG}\n"))
    assert "HTTP 403: the login from netrc for user me does not allow it" in said
    assert "HTTP 403: it refused a request without a login" in refused(place)


def test_a_channel_names_the_login_too(place: Workplace, tmp_path: Path) -> None:
    write_channel(tmp_path / "channel")
    with ChannelServer() as server:
        server.add_folder("private", tmp_path / "channel")
        server.auth = "Basic " + b64encode(b"me:hunter2").decode()
        place.write(CONDA_MANIFEST.replace('"channel"', f'"{server.base}/private"'))
        env = {"ENVC_SOURCE_SMALL_USERNAME": "me", "ENVC_SOURCE_SMALL_PASSWORD": WRONG}
        assert "it refused the login from ENVC_SOURCE_SMALL_PASSWORD for user me" in refused(place, **env)


def test_an_index_that_answers_403_for_what_it_does_not_have(place: Workplace) -> None:
    with IndexServer([build_wheel("acme-models", "1.0", ["gamma"])]) as internal:
        internal.behaviour.status = {"/simple/gamma/": 403}
        place.write(manifest(declared(internal.url)))
        said = refused(place)
        assert "cannot get the page of gamma from internal: HTTP 403" in said
        assert "list what comes from it in `projects`, or write missing = [403], both under [sources.internal]" in said
        place.write(manifest(declared(internal.url, "missing = [403]")))
        place.ok("lock")
        assert versions(place) == {"acme-models": ("1.0", "internal"), "gamma": ("1.0", "pypi")}
        assert 'internal = "pypi missing=403"' in place.lock.read_text()
        assert "unchanged" in place.ok("lock").err
        # The meaning of cached answers changes with the setting.
        place.write(manifest(declared(internal.url)))
        assert "HTTP 403" in refused(place)
        place.write(manifest(declared(internal.url, 'projects = ["acme-*"]')))
        place.ok("lock")
        assert versions(place)["gamma"] == ("1.0", "pypi")


def test_metadata_that_an_index_refuses_is_read_from_the_file(place: Workplace) -> None:
    wheel = build_wheel("acme-models", "1.0", ["gamma"])
    with IndexServer([wheel], Behaviour(status={f"/files/{wheel.file}.metadata": 403, "/simple/gamma/": 403})) as index:
        place.write(manifest(declared(index.url, "missing = [403]")))
        place.ok("lock")
        assert "gamma" in versions(place)


def test_a_refused_login_never_means_that_a_project_is_missing(place: Workplace, private: IndexServer) -> None:
    place.write(manifest(declared(private.url, "missing = [401]")))
    place.ok("lock")
    assert versions(place)["acme-models"] == ("99.0", "pypi")  # as the manifest says
    place.lock.unlink()
    env = netrc(place, f"machine 127.0.0.1 login me password {WRONG}\n")
    assert "it refused the login from netrc" in refused(place, **env, ENVC_CACHE_DIR=str(place.folder / "other"))


def test_statuses_that_cannot_mean_missing_are_mistakes(place: Workplace) -> None:
    place.write(manifest(declared("https://example.com/simple", "missing = [500, 404, 429, 403]")))
    said = place.fails(2, "lock").err
    assert "sources.internal.missing[0]: 500 cannot mean that the index does not have a project" in said
    assert "sources.internal.missing[1]: 404 means that already" in said
    assert "sources.internal.missing[2]" in said
    assert "missing[3]" not in said
    place.write(manifest('[sources.internal]\nkind = "find-links"\nurl = "wheels"\nmissing = [403]'))
    assert "sources.internal.missing: a source of kind" in place.fails(2, "lock").err
