"""Environments from a real channel run in short and in long prefixes, without the interpreter that made the channel."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conda_places import MADE, REAL, bundled, prefix_of
from tests.support import conda_real, namespaces
from tests.support.channel_server import ChannelServer

pytestmark = [pytest.mark.skipif(bool(conda_real.missing()), reason=str(conda_real.missing()))]

SYSTEM = (
    "libc.",
    "libm.",
    "libdl.",
    "librt.",
    "libpthread.",
    "libutil.",
    "libresolv.",
    "libgcc_s.",
    "libstdc++.",
    "ld-",
)
IMPORTS = "import ssl, sqlite3, ctypes, zlib, lzma, bz2, json"


def alone(prefix: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of a prefix that is not on PATH, with the interpreter of the tests hidden."""
    if namespaces.missing():
        pytest.skip(str(namespaces.missing()))
    base = Path(sys.base_prefix)
    command = [str(prefix / "bin" / script), *arguments]
    return namespaces.run_hidden(command, [base / "bin", base / "lib"])


def run_alone(prefix: Path, program: str) -> list[str]:
    """Return the output lines of a program with the tests' interpreter hidden. It may map only files of the prefix."""
    maps = 'print(*{l.split()[-1] for l in open("/proc/self/maps") if "/" in l}, sep="\\n")'
    done = alone(prefix, "python", "-c", f"{program}\nprint('mapped:')\n{maps}")
    assert done.returncode == 0, done.stderr
    printed, _, mapped = done.stdout.partition("mapped:\n")
    system = ("/usr/", "/lib/", "/lib64/")
    outside = [path for path in mapped.split("\n") if path and not path.startswith((f"{prefix}/", *system))]
    assert not outside
    linked = {Path(path).name for path in mapped.split("\n") if ".so" in path and path.startswith(system)}
    assert not {name for name in linked if not name.startswith(SYSTEM)}
    return printed.splitlines()


@pytest.mark.parametrize("length", [20, 170])
def test_a_hydrated_python_runs_alone(tmp_path: Path, short: Path, length: int) -> None:
    place = bundled(tmp_path, conda_real.real_channel(extra=MADE), "native")
    prefix = prefix_of(length, short)
    assert len(str(prefix)) == length
    place.ok("hydrate", "work", "--prefix", str(prefix))
    printed = run_alone(prefix, f"{IMPORTS}, greeter\ngreeter.main()\nprint(ssl.OPENSSL_VERSION)")
    assert printed[0] == f"hello from {prefix}"
    assert (prefix / "etc/native.conf").read_text() == f"prefix = {prefix}\n"
    assert (prefix / "share/native/same").read_text() == f"prefix = {prefix}\n"
    assert (prefix / "share/greeter/where.txt").read_text() == f"{prefix}/share\n"
    assert (prefix / "lib/libnative.so").resolve() == (prefix / "lib/libnative.so.1.2").resolve()
    for script, lines in (("greet", 1), ("greet-twice", 2)):
        done = alone(prefix, script)
        assert done.stdout == f"hello from {prefix}\n" * lines, done.stderr
    done = alone(prefix, "native-tool")
    assert done.stdout == "native\n", done.stderr
    assert "0 problems" in place.ok("verify", "--prefix", str(prefix)).err


@pytest.mark.slow
def test_a_channel_on_the_web_gives_the_same_lock(tmp_path: Path) -> None:
    folder = conda_real.real_channel(extra=MADE)
    from_folder = bundled(tmp_path / "folder", folder, "native")
    with ChannelServer() as server:
        server.add_folder("made", folder)
        from_web = bundled(tmp_path / "web", f"{server.base}/made", "native")
    assert from_web.lock.read_text() == from_folder.lock.read_text()
    shutil.rmtree(from_folder.store)
    prefix = tmp_path / "prefix"
    from_web.ok("hydrate", "work", "--prefix", str(prefix))
    assert run_alone(prefix, "import greeter; greeter.main()") == [f"hello from {prefix}"]


@pytest.mark.network
@pytest.mark.parametrize("length", [20, 170])
def test_numpy_from_a_real_wheel_runs_alone(tmp_path: Path, short: Path, length: int) -> None:
    place = bundled(tmp_path, conda_real.real_channel(REAL), *REAL)
    prefix = prefix_of(length, short)
    place.ok("hydrate", "work", "--prefix", str(prefix))
    printed = run_alone(
        prefix, f"{IMPORTS}, numpy, six, click\nprint(numpy.arange(4).sum(), numpy.linalg.det(numpy.eye(3)))"
    )
    assert printed == ["6 1.0"]
