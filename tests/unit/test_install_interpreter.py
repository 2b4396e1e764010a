"""Interpreters describe themselves. The required one is found, or the message lists those that exist."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from envc.errors import EnvcError
from envc.shipping.machine.interpreter import HostPython, NoInterpreter, describe, find_host_python, this_python
from envc.shipping.prefix.venv import made_paths, make_prefix
from envc_solvers.target import PLATFORMS, Python
from tests.support.environments import HOST

posix = pytest.mark.skipif(sys.platform == "win32", reason="the fake interpreters are shell scripts")


def pretend(path: Path, version: str, **facts: object) -> HostPython:
    """Write an executable that describes itself as an interpreter of that version."""
    host = msgspec.structs.replace(HOST, **({"executable": str(path.resolve()), "version": version} | facts))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho asked >> '{path}.log'\ncat <<'END'\n{msgspec.json.encode(host).decode()}\nEND\n")
    path.chmod(0o755)
    return host


def times_run(path: Path) -> int:
    log = Path(f"{path}.log")
    return len(log.read_text().splitlines()) if log.exists() else 0


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """An environment without this machine's interpreters, except those in system folders."""
    return {"PATH": str(folder / "bin"), "HOME": str(folder / "home"), **variables}


def test_an_interpreter_is_described_alike_from_inside_and_outside() -> None:
    assert describe(Path(this_python().executable)) == this_python()


def test_the_interpreter_of_a_virtual_environment_is_its_base() -> None:
    assert describe(Path(sys.executable)) == this_python()
    assert not (Path(this_python().executable).parent.parent / "pyvenv.cfg").exists()


@posix
@pytest.mark.parametrize("content", ["", "#!/bin/sh\nexit 1\n", "#!/bin/sh\necho hello\n", "#!/bin/sh\necho '{}'\n"])
def test_other_executables_are_skipped(content: str, tmp_path: Path) -> None:
    path = tmp_path / "python"
    path.write_text(content)
    path.chmod(0o755)
    assert describe(path) is None
    assert describe(tmp_path / "missing") is None
    assert describe(tmp_path) is None


@posix
def test_answers_are_kept_until_the_executable_changes(tmp_path: Path) -> None:
    path = tmp_path / "bin/python3.99"
    first = pretend(path, "3.99.1")
    for _ in range(3):
        assert describe(path, tmp_path / "cache") == first
    assert times_run(path) == 1
    second = pretend(path, "3.99.10")
    assert describe(path, tmp_path / "cache") == second
    assert times_run(path) == 2


@posix
def test_answers_of_shims_are_not_kept(tmp_path: Path) -> None:
    """A shim may start another interpreter tomorrow although its file is unchanged."""
    path = tmp_path / "shim"
    pretend(path, "3.99.1", executable="/somewhere/else")
    for _ in range(2):
        assert describe(path, tmp_path / "cache") is not None
    assert times_run(path) == 2


@posix
def test_a_broken_cache_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "bin/python3.99"
    host = pretend(path, "3.99.1")
    describe(path, tmp_path / "cache")
    (note,) = (tmp_path / "cache/interpreters").iterdir()
    note.write_text("{")
    assert describe(path, tmp_path / "cache") == host
    (tmp_path / "file").write_text("")
    assert describe(path, tmp_path / "file") == host


def test_the_running_interpreter_needs_no_search(tmp_path: Path) -> None:
    python = Python(minor=sys.version_info[:2], patch=sys.version_info[2])
    assert find_host_python(python, environment(tmp_path)) == this_python()


@posix
@pytest.mark.parametrize(
    "place",
    [
        "bin/python3.99",
        "bin/python3",
        "home/.pyenv/versions/3.99.1/bin/python3.99",
        "home/.local/share/uv/python/cpython-3.99.1-linux-x86_64-gnu/bin/python3.99",
        "home/.local/share/mise/installs/python/3.99.1/bin/python3",
        "home/.asdf/installs/python/3.99.1/bin/python3.99",
    ],
)
def test_interpreters_are_found_where_installers_put_them(place: str, tmp_path: Path) -> None:
    host = pretend(tmp_path / place, "3.99.1")
    assert find_host_python(Python(minor=(3, 99)), environment(tmp_path)) == host


@posix
def test_path_comes_before_other_places(tmp_path: Path) -> None:
    pretend(tmp_path / "home/.pyenv/versions/3.99.9/bin/python3.99", "3.99.9")
    host = pretend(tmp_path / "bin/python3.99", "3.99.1")
    assert find_host_python(Python(minor=(3, 99)), environment(tmp_path)) == host


@posix
def test_a_choice_is_kept_while_it_works(tmp_path: Path) -> None:
    """A shim is slow and its answer cannot be cached, but the choice of the interpreter behind it can."""
    real = tmp_path / "real/python3.99"
    host = pretend(real, "3.99.1")
    shim = tmp_path / "bin/python3.99"
    pretend(shim, "3.99.1", executable=str(real))
    context, cache = environment(tmp_path), tmp_path / "cache"
    python = Python(minor=(3, 99))
    for _ in range(3):
        assert find_host_python(python, context, cache) == host
    assert (times_run(shim), times_run(real)) == (1, 1)

    first = pretend(tmp_path / "first/python3.99", "3.99.2")
    elsewhere = {**context, "PATH": f"{tmp_path / 'first'}:{context['PATH']}"}
    assert find_host_python(python, elsewhere, cache) == first, "another PATH is another search"
    assert find_host_python(python, context, cache) == host

    pretend(real, "3.98.11")
    changed = pretend(shim, "3.99.12")
    assert find_host_python(python, context, cache) == changed, "a choice that no longer works is made again"


@posix
def test_every_part_of_the_request_must_match(tmp_path: Path) -> None:
    plain = pretend(tmp_path / "bin/python3.99", "3.99.1")
    threaded = pretend(tmp_path / "bin/python3.99t", "3.99.1", free_threaded=True)
    pypy = pretend(tmp_path / "bin/pypy3.99", "3.99.1", implementation="pypy")
    exact = pretend(tmp_path / "home/.pyenv/versions/3.99.4/bin/python3.99", "3.99.4")
    context = environment(tmp_path)
    assert find_host_python(Python(minor=(3, 99)), context) == plain
    assert find_host_python(Python(minor=(3, 99), free_threaded=True), context) == threaded
    assert find_host_python(Python(minor=(3, 99), implementation="pypy"), context) == pypy
    assert find_host_python(Python(minor=(3, 99), patch=4), context) == exact


@posix
def test_a_missing_interpreter_is_reported_with_the_existing_ones(tmp_path: Path) -> None:
    pretend(tmp_path / "bin/python3.99", "3.99.1")
    with pytest.raises(NoInterpreter) as refused:
        find_host_python(Python(minor=(3, 99), patch=2), environment(tmp_path))
    text = str(refused.value)
    assert text.startswith("this machine has no CPython 3.99.2 that envc can find\n")
    assert f"found CPython 3.99.1 in {tmp_path / 'bin/python3.99'}" in text
    assert f"found {HOST.text} in" in text
    assert "ENVC_PYTHON" in (refused.value.hint or "")
    with pytest.raises(NoInterpreter, match=r"no CPython 3\.98 \(free-threaded\)"):
        find_host_python(Python(minor=(3, 98), free_threaded=True), environment(tmp_path))


@posix
def test_a_named_interpreter_is_the_only_candidate(tmp_path: Path) -> None:
    chosen = tmp_path / "chosen"
    host = pretend(chosen, "3.99.7")
    pretend(tmp_path / "bin/python3.99", "3.99.1")
    context = environment(tmp_path, ENVC_PYTHON=str(chosen))
    assert find_host_python(Python(minor=(3, 99)), context) == host
    with pytest.raises(NoInterpreter, match=r"CPython 3\.99\.7 in ENVC_PYTHON"):
        find_host_python(Python(minor=sys.version_info[:2]), context)
    with pytest.raises(NoInterpreter, match="nothing in ENVC_PYTHON"):
        find_host_python(Python(minor=(3, 99)), environment(tmp_path, ENVC_PYTHON=str(tmp_path / "none")))


@pytest.mark.parametrize(
    ("system", "machine", "bits", "platform"),
    [
        ("linux", "x86_64", 64, "linux-64"),
        ("linux", "x86_64", 32, "linux-32"),
        ("linux", "i686", 32, "linux-32"),
        ("linux", "aarch64", 64, "linux-aarch64"),
        ("linux", "aarch64", 32, "linux-armv7l"),
        ("linux", "riscv64", 64, "linux-riscv64"),
        ("darwin", "arm64", 64, "osx-arm64"),
        ("darwin", "x86_64", 64, "osx-64"),
        ("win32", "amd64", 64, "win-64"),
        ("win32", "win32", 32, "win-32"),
        ("win32", "arm64", 64, "win-arm64"),
        ("freebsd14", "amd64", 64, "freebsd14-amd64"),
    ],
)
def test_platforms_are_derived_from_the_description(system: str, machine: str, bits: int, platform: str) -> None:
    host = msgspec.structs.replace(HOST, system=system, machine=machine, bits=bits)
    assert host.platform == platform


PYTHONS = [
    Python(minor=(3, 12)),
    Python(minor=(3, 13), free_threaded=True),
    Python(minor=(3, 10), implementation="pypy"),
]


@posix
@pytest.mark.parametrize("python", PYTHONS, ids=lambda python: python.key)
def test_the_made_interpreter_matches_the_announced_paths(python: Python, tmp_path: Path) -> None:
    make_prefix(tmp_path, HOST, PLATFORMS["linux-64"], python)
    made = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if not path.is_dir())
    assert tuple(made) == made_paths(PLATFORMS["linux-64"], python)
    for path in made:
        if path != "pyvenv.cfg":
            assert (tmp_path / path).resolve() == Path(HOST.executable).resolve()


@pytest.mark.parametrize("python", PYTHONS[:2], ids=lambda python: python.key)
@pytest.mark.parametrize("names", [("python.exe", "pythonw.exe"), ("venvlauncher{t}.exe", "venvwlauncher{t}.exe")])
def test_windows_gets_redirectors(names: tuple[str, str], python: Python, tmp_path: Path) -> None:
    base = tmp_path / "Python"
    source = base / "Lib/venv/scripts/nt"
    source.mkdir(parents=True)
    for name in names:
        (source / name.format(t="t" if python.free_threaded else "")).write_text(name)
    host = msgspec.structs.replace(HOST, executable=str(base / "python.exe"), free_threaded=python.free_threaded)
    root = tmp_path / "prefix"
    root.mkdir()
    make_prefix(root, host, PLATFORMS["win-64"], python)
    made = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    assert tuple(made) == made_paths(PLATFORMS["win-64"], python)
    assert (root / "Scripts/python.exe").read_text() == names[0]
    assert (root / "Scripts/pythonw.exe").read_text() == names[1]
    assert f"home = {base}\n" in (root / "pyvenv.cfg").read_text()


def test_windows_without_redirectors_is_an_error(tmp_path: Path) -> None:
    host = msgspec.structs.replace(HOST, executable=str(tmp_path / "python.exe"))
    (tmp_path / "prefix").mkdir()
    with pytest.raises(EnvcError, match="no environment can be made on it"):
        make_prefix(tmp_path / "prefix", host, PLATFORMS["win-64"], PYTHONS[0])


def test_the_description_of_an_interpreter_is_plain_json(tmp_path: Path) -> None:
    from envc.shipping.machine import probe

    assert set(json.loads(json.dumps(probe.facts()))) == set(HostPython.__struct_fields__)


@posix
@pytest.mark.parametrize(
    ("changes", "own"),
    [
        ({"system": "linux", "machine": "x86_64", "bits": 32}, ("linux-64", "linux-32")),
        ({"system": "darwin", "machine": "x86_64", "bits": 64}, ("osx-arm64", "osx-64")),
        ({"system": "win32", "machine": "AMD64", "bits": 64}, ("win-arm64", "win-64")),
    ],
)
def test_an_interpreter_for_another_platform_does_not_serve(
    changes: dict[str, Any], own: tuple[str, str], tmp_path: Path
) -> None:
    """An interpreter for 32 bits, or one for a CPU that the machine emulates, loads no libraries of the other kind."""
    platform, other = own
    host = pretend(tmp_path / "bin/python3.99", "3.99.1", **changes)
    python = Python(minor=(3, 99))
    assert find_host_python(python, environment(tmp_path), platform=other) == host
    for environ in (environment(tmp_path), environment(tmp_path, ENVC_PYTHON=host.executable)):
        with pytest.raises(NoInterpreter) as refused:
            find_host_python(python, environ, platform=platform)
        assert str(refused.value).startswith(f"this machine has no CPython 3.99 for {platform} that envc can find\n")
        assert f"found CPython 3.99.1 for {other} in " in str(refused.value)


@posix
def test_an_older_patch_release_than_an_environment_holds_for_does_not_serve(tmp_path: Path) -> None:
    pretend(tmp_path / "bin/python3.99", "3.99.1")
    python = Python(minor=(3, 99), release=3)
    with pytest.raises(NoInterpreter, match=r"(?s)no CPython 3\.99\.3 or a newer 3\.99 that envc .*3\.99\.1 in"):
        find_host_python(python, environment(tmp_path), tmp_path / "cache")
    newer = pretend(tmp_path / "home/.pyenv/versions/3.99.3/bin/python3.99", "3.99.3")
    assert find_host_python(python, environment(tmp_path), tmp_path / "cache") == newer
    older = pretend(tmp_path / "bin/python3.99", "3.99.1")
    assert find_host_python(Python(minor=(3, 99)), environment(tmp_path), tmp_path / "cache") == older
    limited = Python(minor=(3, 99), limits="!=3.99.1")
    assert find_host_python(limited, environment(tmp_path)) == newer


@posix
def test_a_pypy_with_another_abi_does_not_serve(tmp_path: Path) -> None:
    """PyPy 8 implements Python 3.11 from 3.11.16 on, and loads no extension modules of PyPy 7."""
    pretend(tmp_path / "bin/pypy3.11", "3.11.17", implementation="pypy")
    python = Python(implementation="pypy", minor=(3, 11))
    with pytest.raises(NoInterpreter):
        find_host_python(python, environment(tmp_path))
    seven = pretend(tmp_path / "bin/pypy3", "3.11.15", implementation="pypy")
    assert find_host_python(python, environment(tmp_path)) == seven
