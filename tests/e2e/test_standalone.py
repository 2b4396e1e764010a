"""Steps with a standalone interpreter: locked, bundled and run on a machine without another Python."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.e2e.command import HOST_PYTHON, Workplace, host_platform
from tests.support.servers import IndexServer
from tests.support.standalone_archive import (
    FILE,
    VERSION,
    Content,
    archive,
    archive_of,
    file_name,
    link,
    missing,
    write_table,
)

MANIFEST = f"""\
[project]
name = "demo"
targets = ["{host_platform()}"]
python = "{HOST_PYTHON}"

[standalone]
url = "URL"
table = "pythons/versions.json"

[steps.train]
interpreter = "standalone"
pypi = ["alpha"]
run = "python -c 'import alpha, ssl, sqlite3, ctypes, sys; print(sys.version.split()[0], sys.prefix)'"
"""
MODULES = "import alpha, ssl, sqlite3, ctypes, sys; print(sys.prefix)"
REASON = missing()
NEEDS_ARCHIVE = pytest.mark.skipif(REASON is not None, reason=REASON or "")
WINDOWS = file_name(VERSION, "20260501", "x86_64-pc-windows-msvc")
LINUX = file_name(VERSION, "20260501", "x86_64-unknown-linux-gnu")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """A server of the folder ``mirror``."""
    (tmp_path / "mirror").mkdir()
    handler = partial(_Quiet, directory=str(tmp_path / "mirror"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def place(workplace: Workplace) -> Workplace:
    del workplace.env["ENVC_PYTHON"]  # otherwise it would be used for steps that run on a Python of the machine
    return workplace


@NEEDS_ARCHIVE
def test_a_step_runs_on_the_interpreter_of_its_lock(
    place: Workplace, mirror: str, index: IndexServer, tmp_path: Path
) -> None:
    """Archives are downloaded from one folder per build, as upstream has them. Hydrating works without a network."""
    write_table(place.checkout / "pythons", {FILE: archive()})
    folder = tmp_path / "mirror/20260501"
    folder.mkdir()
    (place.checkout / "pythons" / FILE).rename(folder / FILE)
    place.write(MANIFEST.replace("URL", mirror))
    place.ok("lock")
    text = place.lock.read_text()
    assert f'id = "interpreter:cpython"\nversion = "{VERSION}"\nbuild = "20260501"\nsource = "standalone"\n' in text
    assert "127.0.0.1" not in text
    assert "releases.example" not in text
    place.ok("lock", "--check")
    place.ok("bundle")
    index.stop()
    shutil.rmtree(place.checkout / "pythons")
    shutil.rmtree(place.cache)
    version, prefix = place.ok("run", "train").out.split()
    assert version == VERSION
    assert prefix.startswith(str(place.cache))
    elsewhere = tmp_path / "prefix with spaces"
    place.ok("hydrate", "train", "--prefix", str(elsewhere))
    moved = elsewhere.rename(tmp_path / "moved")
    done = subprocess.run([moved / "bin/python", "-c", MODULES], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(moved)
    assert not (moved / "pyvenv.cfg").exists()
    assert not (moved / "bin/pip").exists()
    assert subprocess.run([moved / "bin/say-alpha"], capture_output=True, text=True, check=True).stdout == "alpha\n"
    place.ok("verify", "--prefix", str(moved))


@NEEDS_ARCHIVE
def test_a_bundle_runs_in_a_root_with_only_libc(place: Workplace, tmp_path: Path) -> None:
    write_table(place.checkout / "pythons", {FILE: archive()})
    place.write(MANIFEST.replace("URL", "pythons"))
    place.ok("lock")
    bundle = tmp_path / "train.tar.zst"
    place.ok("bundle", "--step", "train", "--output", str(bundle))
    root = tmp_path / "root"
    prefix = root / "env"
    place.ok("hydrate", str(bundle), "--prefix", str(prefix))
    (root / "proc").mkdir()
    for line in subprocess.run(["ldd", sys.executable], capture_output=True, text=True, check=True).stdout.splitlines():
        library = next((word for word in line.split() if word.startswith("/")), "")
        if library and "libpython" not in library:
            to = root / library.lstrip("/")
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(library, to)
            to.chmod(0o755)
    for name in ("libm.so.6", "libdl.so.2", "libpthread.so.0", "libgcc_s.so.1"):
        source = Path(next(iter(sorted(root.rglob("libc.so.6"))))).relative_to(root).parent / name
        if Path("/", source).exists():
            shutil.copyfile(Path("/", source), root / source)
    # The loader finds the interpreter through /proc, which every container has.
    script = 'mount --rbind /proc "$1/proc" && exec chroot "$1" /env/bin/python -c "$2"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(root), MODULES]
    if shutil.which("unshare") is None or subprocess.run([*command[:3], "true"], check=False).returncode:
        pytest.skip("this machine does not allow namespaces")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "/env\n", done.stderr


def test_an_interpreter_for_windows_is_bundled_anywhere(place: Workplace, tmp_path: Path) -> None:
    """Console scripts look for Python in the parent folder, and only the lock's packages are installed."""
    files: dict[str, Content] = {
        "python/python.exe": "MZ",
        "python/Lib/os.py": "",
        "python/Lib/site-packages/pip/__init__.py": "",
        "python/Scripts/pip.exe": "MZ",
        "python/Lib/site-packages/pip-25.0.dist-info/RECORD": "../../Scripts/pip.exe,,\n",
    }
    write_table(place.checkout / "pythons", {WINDOWS: archive_of(files)})
    place.write(MANIFEST.replace("URL", "pythons").replace(f'["{host_platform()}"]', '["win-64"]'))
    place.ok("lock")
    place.ok("bundle")
    prefix = tmp_path / "prefix"
    place.ok("hydrate", "train", "--platform", "win-64", "--prefix", str(prefix))
    assert {path.name for path in (prefix / "Scripts").iterdir()} == {"say-alpha.exe"}
    assert b"..\\python.exe" in (prefix / "Scripts/say-alpha.exe").read_bytes()
    assert (prefix / "python.exe").read_bytes() == b"MZ"
    assert not (prefix / "Lib/site-packages/pip").exists()


def test_the_interpreter_stays_until_upgraded(place: Workplace) -> None:
    host = host_platform()
    if host != "linux-64":
        pytest.skip("the names of this test's archives are for linux-64")
    major_minor = ".".join(VERSION.split(".")[:2])
    older, newer = (file_name(f"{major_minor}.{n}", "20260501", "x86_64-unknown-linux-gnu") for n in (1, 2))
    small = archive_of({"python/bin/python": "ELF"})
    place.write(MANIFEST.replace("URL", "pythons"))
    write_table(place.checkout / "pythons", {older: small})
    place.ok("lock")
    # The table has the newest build of each version only.
    rebuilt = file_name(f"{major_minor}.1", "20260520", "x86_64-unknown-linux-gnu")
    write_table(place.checkout / "pythons", {rebuilt: small + b"\0", newer: small})
    manifest = place.manifest.read_text()
    place.write(manifest.replace('["alpha"]', '["alpha", "beta"]'))
    place.ok("lock")
    assert f'version = "{major_minor}.1"\nbuild = "20260501"' in place.lock.read_text()
    place.ok("lock", "-P", "cpython")
    assert f'version = "{major_minor}.2"' in place.lock.read_text()
    place.ok("lock", "-P", f"cpython=={major_minor}.1")
    assert f'version = "{major_minor}.1"\nbuild = "20260520"' in place.lock.read_text()
    done = place.fails(1, "lock", "-P", f"cpython=={major_minor}.9")
    assert f"the table has {major_minor}.1, {major_minor}.2" in done.err


def test_an_interpreter_missing_from_the_table_is_reported_with_the_step(place: Workplace) -> None:
    write_table(place.checkout / "pythons", {WINDOWS: archive_of({"python/python.exe": "MZ"})})
    place.write(MANIFEST.replace("URL", "pythons").replace(f'["{host_platform()}"]', '["linux-aarch64"]'))
    done = place.fails(1, "lock", "--json")
    (refusal,) = json.loads(done.out)["error"]["problems"]
    assert refusal["reasons"] == ["the table has it for win-64"]
    assert "train on linux-aarch64" in place.fails(1, "lock").err


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"python/bin/python": "ELF", "python/lib/x": link("python/lib/x", "../../../etc")}, "leaves the tree"),
        ({"python/bin/python": "ELF", "python/../../x": "x"}, "not a plain relative path"),
        ({"python/lib/os.py": ""}, "it holds no interpreter"),
    ],
)
def test_a_hostile_archive_leaves_nothing_behind(place: Workplace, files: dict[str, Content], reason: str) -> None:
    write_table(place.checkout / "pythons", {LINUX: archive_of(files)})
    place.write(MANIFEST.replace("URL", "pythons").replace(f'["{host_platform()}"]', '["linux-64"]'))
    place.ok("lock")
    done = place.fails(1, "bundle")
    assert LINUX in done.err
    assert reason in done.err
    assert not [path for path in place.store.rglob("*") if path.is_file() and {"any", "environments"} & {*path.parts}]


def test_an_archive_other_than_the_locked_one_is_refused(place: Workplace) -> None:
    write_table(place.checkout / "pythons", {LINUX: archive_of({"python/bin/python": "ELF"})})
    place.write(MANIFEST.replace("URL", "pythons").replace(f'["{host_platform()}"]', '["linux-64"]'))
    place.ok("lock")
    (place.checkout / "pythons" / LINUX).write_bytes(archive_of({"python/bin/python": "EVIL"}))
    done = place.fails(1, "bundle")
    assert "serves different bytes from those locked" in done.err
    assert not (place.store / "v1/objects/any").exists()


def test_a_lock_is_verified_with_its_archives(place: Workplace, mirror: str, tmp_path: Path) -> None:
    pythons, right = place.checkout / "pythons", archive_of({"python/bin/python": "ELF"})
    write_table(pythons, {LINUX: right})
    folder = tmp_path / "mirror/20260501"
    folder.mkdir()
    (pythons / LINUX).rename(folder / LINUX)
    place.write(MANIFEST.replace("URL", mirror).replace(f'["{host_platform()}"]', '["linux-64"]'))
    place.ok("lock")
    assert "3 files found at their sources" in place.ok("lock", "--verify").err
    assert LINUX in place.fails(1, "lock", "--verify", "--offline").err
    (folder / LINUX).unlink()
    assert place.fails(1, "lock", "--verify").out == f"{LINUX}: is no longer at its source\n"
    write_table(pythons, {LINUX: archive_of({"python/bin/python": "EVIL"})})
    assert f"{LINUX}: the table of archives has another file of this name" in place.fails(1, "lock", "--verify").out
    place.write(place.manifest.read_text().replace(mirror, "pythons"))
    write_table(pythons, {LINUX: right})
    place.ok("lock", "--verify")
