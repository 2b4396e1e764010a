"""Runs git for requirements that name a repository.

Each repository is mirrored once below ``<cache>/git``, with its whole history, since build systems read versions from
tags. The user's own git configuration decides how to log in. Logins that envc knows (netrc, keyring) are passed to git
in its environment, never on a command line, and for their host only. Hooks never run, and no message shows a URL.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from envc.errors import EnvcError, OfflineMiss, SourceUnreachable
from envc.model.digest import sha256
from envc.model.limits import GIT_FILE_BYTES, GIT_SECONDS
from envc.system.cache_folder import make_folder
from envc.system.locks import file_lock
from envc.system.waits import waiting

if TYPE_CHECKING:
    from envc.fetch.net.credentials import Keyring

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHORT = re.compile(r"[0-9a-f]{7,64}")
_ADDRESS = re.compile(r"'[^']*'|\S+://\S+|\S+@\S+:\S+")
_NOISE = ("hint:", "warning:", "remote:", "Cloning", "From ")
# Variables that would make git use another repository.
_MISLEADING = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_CEILING_DIRECTORIES", "GIT_TEMPLATE_DIR",
)  # fmt: skip
# A credential helper, see gitcredentials(7). Unlike an extra header, git does not send its login to redirect targets.
_HELPER = (
    """!f() { test "$1" = get && printf 'username=%s\\npassword=%s\\n' "$ENVC_GIT_USER" "$ENVC_GIT_PASSWORD"; }; f"""
)
_SILENCE = 120  # seconds without a byte before a time-out; a server reports progress every five seconds while it packs
_SSH = f"ssh -oBatchMode=yes -oConnectTimeout=30 -oServerAliveInterval=30 -oServerAliveCountMax={_SILENCE // 30}"
_TRANSPORTS = ("git", "http", "https", "ssh")
_QUIET = ("-c", "core.hooksPath=", "-c", "core.fsmonitor=false", "-c", "advice.detachedHead=false")


class NoGit(EnvcError):
    """git is not installed."""

    hint = "install git, or name a wheel instead of the repository"

    def __str__(self) -> str:
        return "a requirement names a git repository, but there is no `git` on PATH"


class Git:
    """The git repositories of a run."""

    def __init__(self, folder: Path, environ: Mapping[str, str], keyring: Keyring, *, offline: bool) -> None:
        self._folder = folder  # for the mirrors
        self._environ = environ
        self._keyring = keyring
        self._offline = offline
        self._commits: dict[tuple[str, str | None], str] = {}
        self._fetched: set[str] = set()

    def commit(self, name: str, url: str, rev: str | None) -> str:
        """The commit of a revision, which is a commit, a tag or a branch, in this order; None is the default branch.

        `name` is the project's name, for messages. Raises SourceUnreachable, OfflineMiss, NoGit.
        """
        if rev is not None and _COMMIT.fullmatch(rev):
            return rev
        key = url, rev
        if key not in self._commits:
            self._commits[key] = self._find_commit(name, url, rev)
        return self._commits[key]

    def _find_commit(self, name: str, url: str, rev: str | None) -> str:
        what = f"{rev or 'the default branch'} of {name}"
        if self._offline:
            raise OfflineMiss(what)
        names = (
            ["HEAD"] if rev is None else [rev] if rev.startswith("refs/") else [f"refs/tags/{rev}", f"refs/heads/{rev}"]
        )
        # An annotated tag is an object of its own; the commit it refers to is listed after it with "^{}".
        patterns = [pattern for each in names for pattern in (f"{each}^{{}}", each)]
        listed = self._run(what, url, "ls-remote", "--", url, *patterns)
        found = {ref: commit for commit, _, ref in (line.partition("\t") for line in listed.splitlines())}
        for ref in patterns:
            if _COMMIT.fullmatch(found.get(ref, "")):
                return found[ref]
        if rev is not None and _SHORT.fullmatch(rev):
            mirror = self._mirror(name, url)
            try:
                return self._run(
                    what, url, "rev-parse", "--verify", "--quiet", f"{rev}^{{commit}}", folder=mirror
                ).strip()
            except SourceUnreachable:
                pass
        raise SourceUnreachable(
            "its git repository", what, "there is no such commit, tag or branch", "correct its `rev` in the manifest"
        )

    def checkout(self, name: str, url: str, commit: str, folder: Path) -> None:
        """Check out a commit into a new folder, as a repository of its own. Errors as for `commit`."""
        what = f"commit {commit[:12]} of {name}"
        mirror = self._mirror_with(name, url, commit)
        clone = ("clone", "--quiet", "--no-checkout", "--", str(mirror), str(folder))
        self._run(what, url, *clone, transports=("file",))
        self._run(what, url, "checkout", "--quiet", "--detach", commit, folder=folder)
        if (folder / ".gitmodules").is_file():
            # The commits of submodules are part of this commit, so they are as fixed as its files. Relative URLs are
            # relative to the real repository.
            self._run(what, url, "remote", "set-url", "origin", url, folder=folder)
            self._run(what, url, "submodule", "--quiet", "update", "--init", "--recursive", folder=folder)

    def read(self, name: str, url: str, commit: str, path: str) -> bytes | None:
        """A file of a commit; None if there is no such file. Errors as for `commit`."""
        mirror = self._mirror_with(name, url, commit)
        what = f"{path} of {name}"
        if not self._run(what, url, "ls-tree", "--name-only", commit, "--", path, folder=mirror).strip():
            return None
        size = self._run(what, url, "cat-file", "-s", f"{commit}:{path}", folder=mirror)
        if int(size) > GIT_FILE_BYTES:
            raise SourceUnreachable("its git repository", what, f"it has more than {GIT_FILE_BYTES:,} bytes")
        return self._run(what, url, "cat-file", "blob", f"{commit}:{path}", folder=mirror).encode()

    def _mirror_with(self, name: str, url: str, commit: str) -> Path:
        """The mirror of a repository, updated until it contains that commit."""
        mirror = self._folder / sha256(url.encode())[:32]
        if mirror.exists() and self._has(url, mirror, commit):
            return mirror
        self._mirror(name, url)
        if not self._has(url, mirror, commit):
            what = f"commit {commit[:12]} of {name}"
            # A commit that no branch or tag reaches any more may still be fetched by its id.
            self._run(what, url, "fetch", "--quiet", "--no-tags", "--", url, commit, folder=mirror)
        return mirror

    def _has(self, url: str, mirror: Path, commit: str) -> bool:
        try:
            self._run("", url, "cat-file", "-e", f"{commit}^{{commit}}", folder=mirror)
        except SourceUnreachable:
            return False
        return True

    def _mirror(self, name: str, url: str) -> Path:
        mirror = self._folder / sha256(url.encode())[:32]
        if url in self._fetched:
            return mirror
        what = f"the commits of {name}"
        if self._offline:
            raise OfflineMiss(what)
        make_folder(self._folder)
        with file_lock(Path(f"{mirror}.lock")):
            if not (mirror / "HEAD").exists():
                self._run(what, url, "init", "--quiet", "--bare", str(mirror))
            heads, tags = "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"
            self._run(what, url, "fetch", "--quiet", "--prune", "--no-tags", "--", url, heads, tags, folder=mirror)
        self._fetched.add(url)
        return mirror

    def _run(
        self,
        what: str,
        url: str,
        *arguments: str,
        folder: Path | None = None,
        transports: tuple[str, ...] = (),
    ) -> str:
        """The output of git. `transports` are those that it may use, by default those that `url` may refer to: a
        repository from elsewhere must not refer to folders of this machine."""
        import subprocess

        transports = transports or (("file", *_TRANSPORTS) if url.startswith("file://") else _TRANSPORTS)

        location = ("-C", str(folder)) if folder is not None else ()
        try:
            with waiting("git", what):
                done = subprocess.run(
                    ["git", *_QUIET, *location, *arguments],
                    env=self._variables(url, transports),
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    check=False,
                    timeout=GIT_SECONDS,
                    umask=0o022 if os.name == "posix" else -1,
                )
        except FileNotFoundError:
            raise NoGit from None
        except subprocess.TimeoutExpired:
            raise SourceUnreachable("its git repository", what, f"git did not end within {GIT_SECONDS} s") from None
        if done.returncode:
            raise SourceUnreachable("its git repository", what, _reason(done.stderr.decode("utf-8", errors="replace")))
        return done.stdout.decode("utf-8", errors="replace")

    def _variables(self, url: str, transports: tuple[str, ...]) -> dict[str, str]:
        variables = {key: value for key, value in self._environ.items() if key not in _MISLEADING}
        variables |= {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": ":".join(transports), "LC_ALL": "C"}
        variables.setdefault("GIT_SSH_COMMAND", _SSH)
        variables.setdefault("GIT_HTTP_LOW_SPEED_LIMIT", "1")  # bytes a second
        variables.setdefault("GIT_HTTP_LOW_SPEED_TIME", str(_SILENCE))
        # git has its own names for these variables.
        for variable, git_names in (
            ("SSL_CERT_FILE", ("GIT_SSL_CAINFO",)),
            ("SSL_CLIENT_CERT", ("GIT_SSL_CERT", "GIT_SSL_KEY")),
        ):
            if variables.get(variable):
                for name in git_names:
                    variables.setdefault(name, variables[variable])
        login = None
        if url.startswith(("https://", "http://")):
            self._keyring.allow_plain(url)  # only the manifest names repositories
            login = self._keyring.login(url)
        if login is not None:
            scheme, _, rest = url.partition("://")
            helper = f"credential.{scheme}://{rest.partition('/')[0]}.helper"
            count = variables.get("GIT_CONFIG_COUNT") or "0"
            first = int(count) if re.fullmatch("[0-9]{1,9}", count) else 0  # git itself rejects any other value
            variables |= {
                "ENVC_GIT_USER": login.user,
                "ENVC_GIT_PASSWORD": login.password,
                "GIT_CONFIG_COUNT": str(first + 2),
                # The empty value disables the user's helpers for this host, which would store this login.
                f"GIT_CONFIG_KEY_{first}": helper,
                f"GIT_CONFIG_VALUE_{first}": "",
                f"GIT_CONFIG_KEY_{first + 1}": helper,
                f"GIT_CONFIG_VALUE_{first + 1}": _HELPER,
            }
        return variables


def _reason(message: str) -> str:
    """The error line of git's output, without URLs."""
    lines = [line.strip() for line in message.splitlines() if line.strip() and not line.startswith(_NOISE)]
    reason = next((line for line in lines if line.startswith("fatal:")), lines[-1] if lines else "git failed")
    return _ADDRESS.sub("…", reason.removeprefix("fatal:").strip())[:300]
