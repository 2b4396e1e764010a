"""Runs a program in a mount namespace that hides parts of this machine. Linux only."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

_SCRIPT = (
    'n=$1; shift; while [ "$n" -gt 0 ]; do mount -t tmpfs none "$1" || exit 125; shift; n=$((n-1)); done; exec "$@"'
)


@functools.cache
def missing() -> str | None:
    """Return why folders cannot be hidden on this machine; None if they can."""
    try:
        done = run_hidden(["true"], [Path("/mnt")])
    except FileNotFoundError:
        return "there is no unshare here"
    return None if done.returncode == 0 else f"no mount namespace is allowed here: {done.stderr.strip()}"


def run_hidden(command: Sequence[str], hidden: Iterable[Path]) -> subprocess.CompletedProcess[str]:
    """Run a command that sees the `hidden` folders as empty, without the environment variables of this process."""
    folders = [str(folder) for folder in hidden]
    return subprocess.run(
        [
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            _SCRIPT,
            "sh",
            str(len(folders)),
            *folders,
            *command,
        ],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
