"""``.envc/relocate.sh``: what it finds, creates and refuses, under every shell of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from envc.shipping.prefix.relocate import SCRIPT, STAND_IN, relocate_script, stand_in
from envc.shipping.prefix.venv import made_paths, make_prefix
from envc.shipping.unpack.launchers import EntryPoint, posix_launcher
from envc_solvers.target import PLATFORMS, Python
from tests.support.environments import HOST, PYTHON

HERE = PLATFORMS.get(HOST.platform, PLATFORMS["linux-64"])
SHELLS = [shell for shell in ("sh", "dash", "bash", "busybox") if shutil.which(shell)]
MUSL = not HOST.glibc

posix = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")


def unpacked(root: Path, script: bytes | None) -> Path:
    """A tree with the script and the stand-in for the interpreter."""
    assert script is not None
    for path, content in ((SCRIPT, script), (STAND_IN, stand_in(HERE))):
        assert content is not None
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
        (root / path).chmod(0o755)
    return root


def relocate(root: Path, *arguments: str, shell: str = "sh", **env: str) -> subprocess.CompletedProcess[str]:
    command = [shell, *(["sh"] if shell == "busybox" else []), str(root / SCRIPT), *arguments]
    environ = {key: value for key, value in os.environ.items() if key != "ENVC_PYTHON"} | env
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


@posix
@pytest.mark.parametrize("shell", SHELLS)
def test_relocate_makes_the_same_tree_as_hydrate(shell: str, tmp_path: Path) -> None:
    root = unpacked(tmp_path / "a tree", relocate_script(HERE, PYTHON, {}))
    done = relocate(root, sys.executable, shell=shell)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    twin = tmp_path / "twin"
    twin.mkdir()
    make_prefix(twin, HOST, HERE, PYTHON)
    for path in made_paths(HERE, PYTHON):
        assert (root / path).is_symlink() == (twin / path).is_symlink()
        if (twin / path).is_symlink():
            assert (root / path).readlink() == (twin / path).readlink()
        else:
            assert (root / path).read_bytes() == (twin / path).read_bytes()
    assert {path.name for path in (root / "bin").iterdir()} == {path.name for path in (twin / "bin").iterdir()}


@posix
def test_relocate_searches_path(tmp_path: Path) -> None:
    """A candidate of another kind is skipped, whatever it prints."""
    root = unpacked(tmp_path / "tree", relocate_script(HERE, PYTHON, {}))
    folder = tmp_path / "path"
    folder.mkdir()
    minor = f"{PYTHON.minor[0]}.{PYTHON.minor[1]}"
    for name, code in ((f"python{minor}", 2), ("python3", 3)):
        (folder / name).write_text(f"#!/bin/sh\ncat >/dev/null\nexit {code}\n")
        (folder / name).chmod(0o755)
    (folder / "python").symlink_to(HOST.executable)
    assert relocate(root, PATH=f"{folder}:{os.environ['PATH']}").returncode == 0
    assert (root / "bin/python").resolve() == Path(HOST.executable).resolve()


OTHERS = [
    Python(minor=(3, 8)),
    Python(minor=PYTHON.minor, patch=99),
    Python(minor=PYTHON.minor, free_threaded=not HOST.free_threaded),
    Python(implementation="pypy", minor=PYTHON.minor),
]


@posix
@pytest.mark.parametrize("python", OTHERS, ids=lambda python: python.text)
def test_another_python_is_refused(python: Python, tmp_path: Path) -> None:
    root = unpacked(tmp_path, relocate_script(HERE, python, {}))
    done = relocate(root, sys.executable)
    name = "PyPy" if python.implementation == "pypy" else "CPython"
    patch = f".{python.patch}" if python.patch else ""
    threads = " (free-threaded)" if python.free_threaded else ""
    required = f"{name} {python.minor[0]}.{python.minor[1]}{patch}{threads} for {HERE.name}"
    assert done.returncode == 1
    assert done.stderr == f"relocate.sh: this machine has no {required} among: {sys.executable}\n"
    assert not (root / "pyvenv.cfg").exists()


@posix
@pytest.mark.parametrize("platform", [name for name in ("linux-64", "linux-aarch64", "osx-arm64", "linux-32")
                                      if name != HOST.platform])  # fmt: skip
def test_another_platform_is_refused(platform: str, tmp_path: Path) -> None:
    root = unpacked(tmp_path, relocate_script(PLATFORMS[platform], PYTHON, {}))
    done = relocate(root, sys.executable)
    assert done.returncode == 1
    assert f"for {platform} among" in done.stderr


@posix
@pytest.mark.skipif(MUSL or sys.platform != "linux", reason="needs glibc")
@pytest.mark.parametrize(
    ("needs", "says"),
    [
        ({"glibc": "99.0"}, f"needs glibc 99.0; this machine has {HOST.glibc}"),
        ({"musl": "1.2"}, f"needs musl 1.2; this machine has glibc {HOST.glibc}"),
    ],
)
def test_a_machine_that_cannot_run_it_is_refused(needs: dict[str, str], says: str, tmp_path: Path) -> None:
    root = unpacked(tmp_path, relocate_script(HERE, PYTHON, needs))
    done = relocate(root, sys.executable)
    assert (done.returncode, done.stderr) == (1, f"relocate.sh: the environment {says}\n")
    assert not (root / "pyvenv.cfg").exists()
    assert (
        relocate(unpacked(tmp_path / "old", relocate_script(HERE, PYTHON, {"glibc": "2.5"})), sys.executable).returncode
        == 0
    )


@posix
@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root may write anywhere")
def test_an_unwritable_tree_is_reported(tmp_path: Path) -> None:
    root = unpacked(tmp_path / "tree", relocate_script(HERE, PYTHON, {}))
    root.chmod(0o555)
    done = relocate(root, sys.executable)
    assert done.returncode == 1
    assert "Permission denied" in done.stderr


@posix
def test_the_stand_in_passes_everything_on(tmp_path: Path) -> None:
    root = unpacked(tmp_path / "tree", relocate_script(HERE, PYTHON, {}))
    code = "import sys; print(sys.argv[1:], sys.stdin.read()); sys.exit(7)"
    command = [root / "bin/python", "-c", code, "a b", "--"]
    environ = os.environ | {"ENVC_PYTHON": sys.executable}
    done = subprocess.run(command, env=environ, input="typed", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "['a b', '--'] typed\n", "")


@posix
def test_many_first_calls_at_once(tmp_path: Path) -> None:
    root = unpacked(tmp_path / "tree", relocate_script(HERE, PYTHON, {}))
    environ = os.environ | {"ENVC_PYTHON": sys.executable}
    calls = [
        subprocess.Popen(
            [root / "bin/python", "-c", "import sys; print(sys.prefix)"], env=environ, stdout=subprocess.PIPE
        )
        for _ in range(6)
    ]
    assert [call.communicate()[0].decode() for call in calls] == [f"{root}\n"] * 6
    assert sorted(path.name for path in (root / "bin").iterdir()) == sorted(
        path.removeprefix("bin/") for path in made_paths(HERE, PYTHON) if path.startswith("bin/")
    )


def test_bundles_for_windows_have_no_relocate_script() -> None:
    assert relocate_script(PLATFORMS["win-64"], PYTHON, {}) is None
    assert stand_in(PLATFORMS["win-64"]) is None


def test_the_script_has_no_facts_of_the_bundling_machine() -> None:
    for platform in ("linux-64", "linux-32", "linux-armv7l", "osx-arm64"):
        for python in (*OTHERS, PYTHON):
            script = relocate_script(PLATFORMS[platform], python, {"glibc": "2.28", "macos": "13.0"})
            assert script is not None
            assert b"@" not in script.replace(b'"$@"', b"")
            assert os.fsencode(sys.prefix) not in script


@posix
def test_a_tree_with_scripts_called_like_programs_of_the_system_is_relocated(tmp_path: Path) -> None:
    """Neither the script nor the stand-in looks up a program that the tree could have replaced."""
    root = unpacked(tmp_path / "tree", relocate_script(HERE, PYTHON, {}))
    launcher = posix_launcher(EntryPoint("tool", "platform", "python_version"))
    for name in ("dirname", "realpath", "readlink", "env", "sh", "tool"):
        (root / "bin" / name).write_bytes(launcher)
        (root / "bin" / name).chmod(0o755)
    env = {"PATH": f"{root}/bin", "ENVC_PYTHON": sys.executable}
    done = subprocess.run([root / "bin/tool"], env=env, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.strip()) == (1, ".".join(map(str, sys.version_info[:3])))
