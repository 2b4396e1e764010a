"""Settings of fetching, from environment variables and pip's configuration."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import platformdirs
import pytest

from envc.context import user_folder
from envc.errors import UsageError
from envc.fetch.net.credentials import Keyring, Login
from envc.fetch.net.settings import FetchSettings, read_settings, redact
from envc.fetch.net.urls import local_path
from envc.fetch.pypi.source_locations import default_index_url, resolve_sources
from envc.model.manifest import Source


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Variables of a user with an empty home. The machine's own pip configuration is not read."""
    # The folder of the interpreter may also hold a pip.conf.
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    (tmp_path / "home").mkdir()
    return {"HOME": str(tmp_path / "home"), "XDG_CONFIG_DIRS": str(tmp_path / "etc"), "PIP_CONFIG_FILE": "/dev/null"}


def pip_conf(environ: dict[str, str], text: str, where: str = ".config/pip") -> None:
    folder = Path(environ["HOME"]) / where
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pip.conf").write_text(text)
    environ.pop("PIP_CONFIG_FILE", None)


def test_settings_without_variables(environ: dict[str, str]) -> None:
    settings = read_settings(environ)
    assert settings.index_url is None
    assert settings.netrc is None
    assert settings.warnings == ()
    assert settings.cache.is_absolute() and settings.cache.name == "envc"


@pytest.mark.parametrize(
    "variables",
    [
        {"HOME": "/home/me"},
        {"HOME": "/home/me/"},
        {"HOME": "/home/me", "XDG_CACHE_HOME": "/fast/cache", "XDG_DATA_HOME": "/big/data/"},
        {"HOME": "/home/me", "XDG_CACHE_HOME": "relative", "XDG_DATA_HOME": ""},
        {},
    ],
)
def test_folders_of_a_user_are_those_of_platformdirs(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert user_folder("cache", os.environ) == platformdirs.user_cache_path("envc", appauthor=False)
    assert user_folder("data", os.environ) == platformdirs.user_data_path("envc", appauthor=False)


def test_a_home_at_the_root_has_plain_paths() -> None:
    """``//.cache`` would be another path in POSIX, and looks like a share."""
    if sys.platform == "linux":
        assert user_folder("cache", {"HOME": "/"}) == Path("/.cache/envc")


@pytest.mark.skipif(os.name != "posix", reason="every user has a home on Windows")
def test_a_user_without_a_home_folder_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run as any number, which has no entry in the list of users."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(number: int) -> NoReturn:
        raise KeyError(number)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    for kind, setting in (("cache", "ENVC_CACHE_DIR"), ("data", "ENVC_STORE")):
        with pytest.raises(UsageError, match="no home folder") as caught:
            user_folder(kind, {})
        assert setting in (caught.value.hint or "")
    settings = read_settings({"ENVC_CACHE_DIR": "/c"})
    assert (settings.cache, settings.netrc) == (Path("/c"), None)


def test_variables_of_envc_take_precedence(environ: dict[str, str], tmp_path: Path) -> None:
    environ |= {"ENVC_CACHE_DIR": str(tmp_path / "c"), "ENVC_INDEX_URL": "https://a.example/simple"}
    environ |= {"PIP_INDEX_URL": "https://b.example/simple"}
    settings = read_settings(environ)
    assert settings.cache == tmp_path / "c"
    assert settings.index_url == "https://a.example/simple"


@pytest.mark.parametrize("variable", ["ENVC_INDEX_URL", "PIP_INDEX_URL"])
def test_an_invalid_index_url_is_named_and_not_shown(environ: dict[str, str], variable: str) -> None:
    environ[variable] = "me:hunter2@example.com"
    with pytest.raises(UsageError) as caught:
        read_settings(environ)
    assert "hunter2" not in str(caught.value)
    assert ("ENVC" in str(caught.value)) == (variable == "ENVC_INDEX_URL")


@pytest.mark.parametrize("url", ["https://me:hunter2@[::1/simple", "https://a.example:99999/simple", "https:///simple"])
def test_an_index_url_without_a_valid_host_or_port(environ: dict[str, str], url: str) -> None:
    with pytest.raises(UsageError, match="ENVC_INDEX_URL is not a URL of an index") as caught:
        read_settings(environ | {"ENVC_INDEX_URL": url})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(UsageError, match="the url of source mine cannot be used"):
        locations(Source(name="mine", kind="pypi", url=url))


@pytest.mark.skipif(sys.platform == "win32", reason="pip looks elsewhere there")
def test_pip_configures_the_default_index(environ: dict[str, str]) -> None:
    pip_conf(environ, "[global]\nindex-url = https://one.example/simple\n", ".pip")
    assert read_settings(environ).index_url == "https://one.example/simple"
    pip_conf(environ, "[global]\nindex-url = https://two.example/simple\n")
    assert read_settings(environ).index_url == "https://two.example/simple"
    pip_conf(environ, "[global]\nindex-url = https://two.example\n[install]\nindex-url = https://three.example\n")
    assert read_settings(environ).index_url == "https://three.example"
    special = Path(environ["HOME"]) / "special.conf"
    special.write_text("[global]\nindex-url = https://four.example\n[install]\nindex-url = https://five.example\n")
    environ["PIP_CONFIG_FILE"] = str(special)
    assert read_settings(environ).index_url == "https://five.example"
    environ["PIP_INDEX_URL"] = "https://six.example"
    assert read_settings(environ).index_url == "https://six.example"


@pytest.mark.skipif(sys.platform == "win32", reason="pip looks elsewhere there")
@pytest.mark.parametrize("text", ["no section", "[global]\nindex-url\n", "\xff\xfe", "[global]\n[global]\n"])
def test_a_broken_pip_configuration_is_ignored(environ: dict[str, str], text: str) -> None:
    pip_conf(environ, text)
    assert read_settings(environ).index_url is None


def test_find_links_and_extra_indexes_of_pip_are_ignored(environ: dict[str, str]) -> None:
    environ["PIP_EXTRA_INDEX_URL"] = "https://me:hunter2@private.example/secret/simple https://open.example/simple"
    environ["PIP_FIND_LINKS"] = "/srv/wheels"
    settings = read_settings(environ)
    assert settings.index_url is None
    [warning] = settings.warnings
    assert "hunter2" not in warning and "secret" not in warning
    assert "https://private.example/…, https://open.example/simple" in warning
    assert "find-links (/srv/wheels)" in warning


def test_ignored_options_of_pip_give_a_warning(environ: dict[str, str]) -> None:
    pip_conf(environ, "[global]\nno-index = true\n[install]\ntrusted-host = packages.example.com\n")
    no_index, trusted = read_settings(environ).warnings
    assert "no-index is ignored" in no_index and "--offline" in no_index
    assert "trusted-host is ignored" in trusted and "SSL_CERT_FILE" in trusted
    assert read_settings(environ | {"PIP_NO_INDEX": "0"}).warnings == (trusted,)


def test_netrc_is_found(environ: dict[str, str], tmp_path: Path) -> None:
    (Path(environ["HOME"]) / ".netrc").write_text("")
    assert read_settings(environ).netrc == Path(environ["HOME"]) / ".netrc"
    environ["NETRC"] = str(tmp_path / "mine")
    assert read_settings(environ).netrc == tmp_path / "mine"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.example/simple", "https://a.example/simple"),
        ("https://me:pw@a.example:8080/p/simple", "https://a.example:8080/…"),
        ("https://token@a.example/simple", "https://a.example/…"),
        ("https://a.example/simple?key=secret", "https://a.example/…"),
        ("https://a.example/t/secret/simple", "https://a.example/…"),
        ("/srv/wheels", "/srv/wheels"),
    ],
)
def test_redact(url: str, shown: str) -> None:
    assert redact(url) == shown


# Locations of sources


def locations(*sources: Source, index_url: str | None = None) -> dict[str, tuple[str, str | None]]:
    found = resolve_sources(
        {source.name: source for source in sources}, FetchSettings(cache=Path(), index_url=index_url), Keyring()
    )
    return {name: (place.key, place.url) for name, place in found.items()}


PYPI = Source(name="pypi", kind="pypi")


def test_the_default_index_has_no_url_until_it_is_needed() -> None:
    assert locations(PYPI) == {"pypi": ("default", None)}


def test_the_cache_key_depends_on_the_url_and_not_on_its_credentials() -> None:
    [(key, url)] = locations(PYPI, index_url="https://me:hunter2@a.example/simple/").values()
    assert url == "https://a.example/simple"
    assert key.startswith("pypi-") and key != "default"
    assert locations(PYPI, index_url="https://a.example/simple") == {"pypi": (key, url)}
    assert locations(PYPI, index_url="https://b.example/simple")["pypi"][0] != key
    same = Source(name="mine", kind="pypi", url="https://a.example/simple")
    assert locations(same)["mine"][0] == key.replace("pypi-", "mine-")


def test_credentials_go_into_the_keyring() -> None:
    keyring = Keyring()
    source = Source(name="mine", kind="pypi", url="https://me:p%40w@a.example/simple")
    resolve_sources({"mine": source}, FetchSettings(cache=Path()), keyring)
    assert keyring.login("https://a.example:443/other/path") == Login("me", "p@w")
    assert keyring.login("http://a.example/simple") is None
    assert keyring.login("https://b.example/simple") is None


def test_paths_become_file_urls(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    [(_, url)] = locations(Source(name="links", kind="find-links", url=str(folder))).values()
    assert url is not None and local_path(url) == folder


def test_a_relative_path_is_relative_to_the_root(tmp_path: Path) -> None:
    source = Source(name="links", kind="find-links", url="../wheels")
    [location] = resolve_sources(
        {"links": source}, FetchSettings(cache=Path()), Keyring(), tmp_path / "project"
    ).values()
    assert location.url is not None and local_path(location.url).resolve() == tmp_path / "wheels"


def test_conda_channels_are_not_sources_of_projects() -> None:
    assert locations(Source(name="conda-forge", kind="conda")) == {}


@pytest.mark.parametrize("url", ["ftp://a.example", "git+https://me:hunter2@a.example/x"])
def test_an_unusable_url_is_reported_by_the_name_of_its_source(url: str) -> None:
    with pytest.raises(UsageError, match="the url of source mine cannot be used") as caught:
        locations(Source(name="mine", kind="pypi", url=url))
    assert "hunter2" not in str(caught.value)


def test_the_default_index_is_a_url() -> None:
    assert default_index_url().startswith("https://")
    assert not default_index_url().endswith("/")
