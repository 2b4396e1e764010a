"""Runs the command as another user, without an entry in the list of users and without a home. Linux and root only.

The interpreter of the tests may be below a folder that only root can enter. The command then runs in a mount namespace
in which that folder has only what it needs.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.command import ENVC, Done

_OUTER = """\
n=$1; shift
while [ "$n" -gt 0 ]; do
    hidden=$1 kept=$2 held=$3; shift 3; n=$((n-1))
    mount --bind "$kept" "$held" && mount -t tmpfs -o mode=755 none "$hidden" && mkdir -p "$kept" || exit 125
    mount --bind "$held" "$kept" || exit 125
done
exec "$@"
"""


@functools.cache
def missing() -> str | None:
    """Return why no command can run as another user on this machine; None if one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only root can become other users"
    for program in ("setpriv", "unshare", "mount"):
        if shutil.which(program) is None:
            return f"there is no {program} here"
    folder = Path("/tmp/envc-tests-held")
    folder.mkdir(exist_ok=True)
    done = run_as(54321, ["--help"], cwd=Path("/"), env={"PATH": "/usr/bin:/bin"}, held=folder)
    return (
        None if done.code == 0 else f"another user cannot run the interpreter of the tests: {done.err.strip()[-200:]}"
    )


def run_as(
    user: int,
    arguments: list[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    held: Path,
    umask: int = 0o022,
    groups: str = "",
) -> Done:
    """Run the command as that user, and as a member of these groups. `held` is an empty folder for mounts."""
    mounts = [str(each) for hidden, kept in _closed() for each in (hidden, kept, held)]
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--inh-caps=-all", "--bounding-set=-all"]
    become += [f"--groups={groups}"] if groups else ["--clear-groups"]
    script = f'umask {umask:03o}; exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", _OUTER, "sh", str(len(mounts) // 3), *mounts]
    done = subprocess.run(
        [*command, *become, "sh", "-c", script, "sh", str(ENVC), *arguments],
        cwd=cwd,
        env=dict(env),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def _closed() -> list[tuple[Path, Path]]:
    """Folders that others cannot enter, each with the one folder below it that the interpreter needs."""
    found: dict[Path, Path] = {}
    for needed in (Path(sys.base_prefix), Path(sys.prefix), Path(__file__).parents[2]):
        for above in reversed(needed.resolve().parents):
            if not above.stat().st_mode & 0o001:
                found.setdefault(above, needed.resolve())
                break
    return list(found.items())
