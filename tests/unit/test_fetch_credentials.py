"""Logins from a keyring."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envc.fetch.net.credentials import Keyring, Login
from envc.fetch.net.keyring_command import query_keyring

URL = "https://packages.example.com/simple"


def test_concurrent_requests_get_the_same_login() -> None:
    lookups: list[tuple[str, ...]] = []

    def lookup(services: tuple[str, ...], user: str) -> tuple[str, str] | None:
        lookups.append(services)
        return "me", "secret"

    keyring = Keyring(lookup=lookup)
    keyring.declare("internal", URL)
    # Both pages were requested before either was refused.
    assert (
        keyring.login_after_refusal(f"{URL}/acme/")
        == keyring.login_after_refusal(f"{URL}/delta/")
        == Login("me", "secret")
    )
    assert keyring.login(URL) == Login("me", "secret")
    assert lookups == [(URL, "packages.example.com")]
    assert keyring.login_after_refusal("https://elsewhere.example.com/simple") is None


def test_a_source_that_is_declared_twice_is_looked_up_once() -> None:
    """Each part of a run that resolves channels declares them."""
    lookups: list[str] = []

    def lookup(services: tuple[str, ...], user: str) -> tuple[str, str] | None:
        lookups.append(services[0])
        return (user, "secret") if services[0] == URL else None

    other = "https://other.example.com/channel"
    keyring = Keyring(lookup=lookup, logins={"INTERNAL": Login("me", "")})
    for _ in range(2):
        keyring.declare("internal", URL)
        keyring.declare("other", other)
        assert keyring.login(URL) == Login("me", "secret")
        assert keyring.login_after_refusal(other) is None
    assert lookups == [URL, other]


@pytest.mark.skipif(os.name == "nt", reason="the command is a shell script")
def test_a_user_without_a_password_finds_it_in_a_netrc(tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine packages.example.com login me password secret\n")
    keyring = Keyring(netrc, lookup=lambda services, user: (user, "from the keyring"))
    keyring.declare("internal", URL, Login("me", ""))
    keyring.declare("other", "https://packages.example.com:8443/simple", Login("you", ""))
    assert keyring.login(f"{URL}/acme/") == Login("me", "secret")
    assert keyring.login("https://packages.example.com:8443/simple") == Login("you", "from the keyring")


def test_a_host_is_never_parsed_as_an_option_of_the_command(tmp_path: Path) -> None:
    command = tmp_path / "keyring"
    command.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/log\n')
    command.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    services = ("https://--keyring-path=lib/", "--keyring-path=lib")
    assert query_keyring(services, "", environ) is None
    assert (tmp_path / "log").read_text() == "--mode creds get https://--keyring-path=lib/\n"
