"""The `keyring` command: the one door through which fetching starts it, where the user has asked for that.

It is asked as pip's and uv's "subprocess" providers ask: for the URL of a source, then for its host. What it answers is
held in memory, for that source alone; what it writes to stderr is dropped, for it may name accounts.
"""

from __future__ import annotations

from collections.abc import Mapping

from envc.errors import UsageError

_LONGEST = 120  # seconds; a keyring that is locked may ask its user first


def ask_keyring(services: tuple[str, ...], user: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """User and password that the command knows of one of these services; None where it knows none.

    Without a user it is asked for one as well (keyring 25.2 and newer). Raises UsageError where there is no command.
    """
    import subprocess

    for service in services:
        if service.startswith("-"):  # a host that the command would take for an option
            continue
        asked = ["get", service, user] if user else ["--mode", "creds", "get", service]
        try:
            done = subprocess.run(
                ["keyring", *asked],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=_LONGEST,
                check=False,
            )
        except FileNotFoundError:
            raise UsageError(
                "the keyring provider is `subprocess`, and there is no `keyring` on PATH",
                "install it, or set ENVC_KEYRING_PROVIDER=disabled",
            ) from None
        except subprocess.TimeoutExpired:
            return None
        lines = done.stdout.decode("utf-8", errors="replace").splitlines()
        if done.returncode == 0 and len(lines) >= (1 if user else 2):
            return (user, lines[0]) if user else (lines[0], lines[1])
    return None
