"""Running git: revisions, commits, submodules and logins."""

from __future__ import annotations

import base64
import os
import socket
import ssl
import stat
from pathlib import Path

import pytest
import trustme

from envc.errors import OfflineMiss, SourceUnreachable
from envc.fetch.git import Git
from envc.fetch.net.credentials import Keyring, Login
from tests.support.projects import Repository
from tests.support.servers import IndexServer

ENVIRON = {
    **{key: os.environ[key] for key in ("PATH", "TMPDIR", "SYSTEMROOT") if key in os.environ},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


def git(folder: Path, keyring: Keyring | None = None, *, offline: bool = False, **environ: str) -> Git:
    return Git(folder / "mirrors", ENVIRON | {"HOME": str(folder)} | environ, keyring or Keyring(), offline=offline)


def test_revisions_are_commits_tags_or_branches(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    first = repository.commit({"a": "1"})
    repository.git("tag", "v1")
    repository.git("branch", "both")
    second = repository.commit({"a": "2"})
    repository.git("tag", "--annotate", "--message", "two", "v2")
    repository.git("tag", "both")
    found = git(tmp_path)
    for rev, commit in {
        None: second,
        "main": second,
        "v1": first,
        "v2": second,
        "both": second,  # a tag before a branch
        "refs/heads/both": first,
        first[:7]: first,
        first: first,
    }.items():
        assert found.commit("acme", repository.url, rev) == commit
    with pytest.raises(SourceUnreachable, match="there is no such commit, tag or branch"):
        found.commit("acme", repository.url, "0123456789")


def test_a_silent_server_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envc.fetch.git._SILENCE", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections are accepted but never answered
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/acme"
        with pytest.raises(SourceUnreachable, match="too slow"):
            git(tmp_path).commit("acme", url, None)


def test_a_commit_that_no_branch_reaches_any_more(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit({"a": "1"})
    lost = repository.commit({"a": "2"})
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    repository.git("config", "uploadpack.allowAnySHA1InWant", "true")
    assert git(tmp_path).read("acme", repository.url, lost, "a") == b"2"


def test_a_missing_commit_is_reported(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit({"a": "1"})
    with pytest.raises(SourceUnreachable, match="cannot get commit 000000000000 of acme from its git repository"):
        git(tmp_path).checkout("acme", repository.url, "0" * 40, tmp_path / "out")


def test_offline_uses_the_mirror(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    commit = repository.commit({"py/a": "1"})
    with pytest.raises(OfflineMiss):
        git(tmp_path, offline=True).read("acme", repository.url, commit, "py/a")
    assert git(tmp_path).read("acme", repository.url, commit, "py/a") == b"1"
    alone = git(tmp_path, offline=True)
    assert alone.read("acme", repository.url, commit, "py/a") == b"1"
    assert alone.read("acme", repository.url, commit, "py/b") is None
    alone.checkout("acme", repository.url, commit, tmp_path / "out")
    assert (tmp_path / "out/py/a").read_text() == "1"
    assert alone.commit("acme", repository.url, commit) == commit  # known without a request
    with pytest.raises(OfflineMiss, match="main of acme"):
        alone.commit("acme", repository.url, "main")


def test_a_checkout_has_tags_and_no_hooks(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    commit = repository.commit({"run": "#!/bin/sh\n"})
    repository.git("tag", "v1")
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    hook = hooks / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    hook.chmod(0o755)
    config = tmp_path / "config"
    config.write_text(f"[core]\nhooksPath = {hooks}\n")
    git(tmp_path, GIT_CONFIG_GLOBAL=str(config), GIT_DIR="/nowhere").checkout(
        "acme", repository.url, commit, tmp_path / "out"
    )
    assert not (tmp_path / "hooked").exists()
    assert stat.S_IMODE((tmp_path / "out/run").stat().st_mode) == 0o644
    assert (tmp_path / "out/.git").exists()
    checked_out = Repository.__new__(Repository)
    checked_out.folder = tmp_path / "out"
    assert checked_out.git("describe", "--tags") == "v1"


def test_submodules_are_included(tmp_path: Path) -> None:
    inner = Repository(tmp_path / "inner")
    inner.commit({"b": "inside"})
    repository = Repository(tmp_path / "repository")
    repository.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../inner", "deps/inner")
    commit = repository.commit({"a": "1"})
    # git itself refuses submodules from files unless configured otherwise.
    allowed = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "protocol.file.allow", "GIT_CONFIG_VALUE_0": "always"}
    git(tmp_path, **allowed).checkout("acme", repository.url, commit, tmp_path / "out")
    assert (tmp_path / "out/deps/inner/b").read_text() == "inside"


def serve(repository: Repository, server: IndexServer) -> str:
    """Serve a repository as plain files, which git can also read."""
    repository.git("update-server-info")
    folder = repository.folder / ".git"
    server.behaviour.bodies = {
        f"/acme.git/{path.relative_to(folder).as_posix()}": ("application/octet-stream", path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }
    return f"{server.base}/acme.git"


def test_authorities_and_client_certificates_are_passed_to_git(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    commit = repository.commit({"a": "1"})
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    authority.issue_cert("me@example.com").private_key_and_cert_chain_pem.write_to_path(tmp_path / "me.pem")
    environ = {"SSL_CERT_FILE": str(tmp_path / "authority.pem"), "SSL_CLIENT_CERT": str(tmp_path / "me.pem")}
    with IndexServer(tls=context) as server:
        url = serve(repository, server)
        assert git(tmp_path, **environ).commit("acme", url, "main") == commit
        with pytest.raises(SourceUnreachable):
            git(tmp_path).commit("acme", url, "main")


def test_logins_reach_git_and_messages_do_not_show_them(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    commit = repository.commit({"a": "1"})
    with IndexServer() as server:
        url = serve(repository, server)
        server.behaviour.auth = ("me", "hunter2")
        with pytest.raises(SourceUnreachable) as caught:
            git(tmp_path).commit("acme", url, "main")
        assert server.base not in str(caught.value)
        keyring = Keyring()
        keyring.add(url, Login("me", "hunter2"))
        found = git(tmp_path, keyring)
        assert found.commit("acme", url, "main") == commit
        assert found.read("acme", url, commit, "a") == b"1"
        login = "Basic " + base64.b64encode(b"me:hunter2").decode()
        assert {request.headers.get("authorization") for request in server.log if request.status == 200} == {login}
        wrong = Keyring()
        wrong.add(url, Login("me", "hunter3"))
        with pytest.raises(SourceUnreachable) as caught:
            git(tmp_path, wrong).commit("acme", url, "other")
        assert "hunter" not in str(caught.value)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "mirrors").rglob("*") if path.is_file())
    assert b"hunter2" not in kept


def test_logins_do_not_follow_redirects(tmp_path: Path) -> None:
    """After a redirect, git sends all further requests to the new server."""
    repository = Repository(tmp_path / "repository")
    commit = repository.commit({"a": "1"})
    with IndexServer() as server, IndexServer() as elsewhere:
        url = serve(repository, server)
        server.behaviour.auth = ("me", "hunter2")
        server.behaviour.moved = elsewhere.base.replace("127.0.0.1", "localhost")
        serve(repository, elsewhere)
        keyring = Keyring()
        keyring.add(url, Login("me", "hunter2"))
        assert git(tmp_path, keyring).commit("acme", url, "main") == commit
        assert any("authorization" in request.headers for request in server.log)
        assert elsewhere.log and not any("authorization" in request.headers for request in elsewhere.log)


def test_submodules_of_remote_repositories_cannot_be_folders_of_this_machine(tmp_path: Path) -> None:
    private = Repository(tmp_path / "private")
    private.commit({"b": "inside"})
    repository = Repository(tmp_path / "repository")
    repository.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", private.url, "deps/private")
    commit = repository.commit({"a": "1"})
    with IndexServer() as server:
        url = serve(repository, server)
        with pytest.raises(SourceUnreachable, match="not allowed"):
            git(tmp_path).checkout("acme", url, commit, tmp_path / "out")
    assert not (tmp_path / "out/deps/private/b").exists()
