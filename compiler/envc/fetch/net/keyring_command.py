"""Look-ups in the system's keyring through the `keyring` command, if the user has enabled them.

As in the "subprocess" providers of pip and uv, the command is called with the URL of a source, then with its host. Its
output is held in memory, and used for that source only. Its stderr is discarded, since it may contain account names.
"""

from __future__ import annotations

from collections.abc import Mapping

from envc.errors import UsageError
from envc.model.limits import KEYRING_SECONDS


def query_keyring(services: tuple[str, ...], user: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """The user and password of the first of these services that the keyring knows, or None.

    If `user` is empty, the keyring also supplies the user, which requires keyring 25.2 or newer. Raises UsageError if
    the command is not installed.
    """
    import subprocess

    for service in services:
        if service.startswith("-"):  # the command would parse such a host as an option
            continue
        arguments = ["get", service, user] if user else ["--mode", "creds", "get", service]
        try:
            done = subprocess.run(
                ["keyring", *arguments],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=KEYRING_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            raise UsageError(
                "the keyring provider is `subprocess`, but there is no `keyring` on PATH",
                "install it, or set ENVC_KEYRING_PROVIDER=disabled",
            ) from None
        except subprocess.TimeoutExpired:
            return None
        lines = done.stdout.decode("utf-8", errors="replace").splitlines()
        if done.returncode == 0 and len(lines) >= (1 if user else 2):
            return (user, lines[0]) if user else (lines[0], lines[1])
    return None
