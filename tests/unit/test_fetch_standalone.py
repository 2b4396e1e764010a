"""The table of standalone interpreters: the archive that is chosen, and its URLs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from envc.errors import UsageError
from envc.fetch.standalone import NoStandalone, Table, archive_urls, choose, read_table
from envc.model.manifest import Standalone
from envc_solvers.target import Python, Target, default_target

PYTHON = Python(minor=(3, 12))
LINUX = default_target("linux-64")


def row(version: str, build: str, *triples: str, free_threaded: bool = False, **more: Any) -> dict[str, Any]:
    major, minor, micro = map(int, version.split("."))
    arches = {"x86_64": "x86_64", "aarch64": "aarch64", "i686": "x86"}
    systems = {"unknown-linux-gnu": "linux", "apple-darwin": "macos", "pc-windows-msvc": "windows"}
    files = []
    for triple in triples:
        arch, _, system = triple.partition("-")
        file = f"cpython-{version}+{build}-{triple}-install_only_stripped.tar.gz"
        files.append(
            {
                "platform": systems[system],
                "arch": arches[arch],
                "install_only": True,
                "filename": file,
                "url": f"https://releases.example/download/{build}/{file.replace('+', '%2B')}",
                "sha256": "ab" * 32,
                **more,
            }
        )
    python = {
        "implementation": "cpython",
        "major": major,
        "minor": minor,
        "micro": micro,
        "freethreaded": free_threaded,
    }
    return {"python_version": python, "files": files}


def table_of(folder: Path, *rows: dict[str, Any]) -> Table:
    path = folder / "versions.json"
    path.write_text(json.dumps(rows))
    return read_table(path)


GNU = "x86_64-unknown-linux-gnu"


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return table_of(
        tmp_path,
        row("3.12.9", "20250205", GNU, "aarch64-apple-darwin"),
        row("3.12.10", "20250409", GNU, "x86_64-pc-windows-msvc"),
        row("3.13.2", "20250205", GNU),
        row("3.13.2", "20250205", GNU, free_threaded=True),
        row("3.14.0", "20250501", GNU, sha256=None),
    )


def test_the_newest_patch_of_each_platform_is_chosen(table: Table) -> None:
    assert choose(table, LINUX, PYTHON).version == "3.12.10"
    assert choose(table, default_target("osx-arm64"), PYTHON).version == "3.12.9"
    chosen = choose(table, default_target("win-64"), PYTHON)
    assert (chosen.build, chosen.patch) == ("20250409", 10)
    assert chosen.uploaded == datetime(2025, 4, 9, tzinfo=UTC).timestamp()


def test_a_required_version_is_chosen(table: Table) -> None:
    assert choose(table, LINUX, PYTHON, version="3.12.9").version == "3.12.9"
    with pytest.raises(NoStandalone, match=r"in version 3\.12\.1\n  the table has 3\.12\.9, 3\.12\.10"):
        choose(table, LINUX, PYTHON, version="3.12.1")
    assert choose(table, LINUX, Python(minor=(3, 12), patch=9)).version == "3.12.9"


def test_free_threaded_builds_are_different_interpreters(table: Table) -> None:
    with pytest.raises(NoStandalone):
        choose(table, LINUX, Python(minor=(3, 12), free_threaded=True))
    assert choose(table, LINUX, Python(minor=(3, 13), free_threaded=True)).version == "3.13.2"


def test_exclude_newer_excludes_newer_builds(table: Table) -> None:
    moment = int(datetime(2025, 3, 1, tzinfo=UTC).timestamp())
    assert choose(table, LINUX, PYTHON, exclude_newer=moment).version == "3.12.9"
    with pytest.raises(NoStandalone, match=r"exclude-newer excludes cpython-3\.12\.10"):
        choose(table, LINUX, PYTHON, exclude_newer=moment - 10**8)


@pytest.mark.parametrize(
    ("target", "python", "reason"),
    [
        (Target(name="alpine", platform="linux-64", musl="1.2"), PYTHON, "the archives are for glibc"),
        (default_target("linux-s390x"), PYTHON, "the table has it for linux-64, osx-arm64, win-64"),
        (LINUX, Python(minor=(3, 8)), "the table has no such version"),
        (LINUX, Python(minor=(3, 14)), "the table has no such version"),  # its digest is not known
    ],
)
def test_a_missing_interpreter_is_reported(table: Table, target: Target, python: Python, reason: str) -> None:
    with pytest.raises(NoStandalone) as caught:
        choose(table, target, python)
    assert reason in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "{}", '[{"python_version": 1}]', "[" * 100_000])
def test_an_invalid_table_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "versions.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="not a table of standalone interpreters"):
        read_table(path)


def test_the_shipped_table_covers_the_common_platforms() -> None:
    table = read_table()
    for name in ("linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64"):
        chosen = choose(table, default_target(name), PYTHON)
        assert chosen.version.startswith("3.12.")
        (url,) = archive_urls(chosen.file, Standalone(), {}, Path())
        assert url.startswith("https://")
        assert url.endswith(chosen.file.replace("+", "%2B"))
    pypy = choose(table, LINUX, Python(implementation="pypy", minor=(3, 11)))
    assert pypy.file.startswith("pypy3.11-v7.3."), "with the ABI of the lowest patch release"
    named = choose(table, LINUX, Python(implementation="pypy", minor=(3, 11), patch=16))
    assert named.file.startswith("pypy3.11-v8.")
    assert choose(table, LINUX, Python(implementation="pypy", minor=(3, 12))).file.startswith("pypy3.12-v8.")


def test_archives_are_looked_for_at_every_known_url(tmp_path: Path) -> None:
    table_of(tmp_path, row("3.12.10", "20250409", GNU))
    file = f"cpython-3.12.10+20250409-{GNU}-install_only_stripped.tar.gz"
    old = f"cpython-3.12.9+20250205-{GNU}-install_only.tar.gz"
    own = Standalone(table="versions.json")

    def look(file: str, place: Standalone, **environ: str) -> tuple[str, ...]:
        return archive_urls(file, place, environ, tmp_path)

    escaped, old_escaped = file.replace("+", "%2B"), old.replace("+", "%2B")
    assert look(file, own) == (f"https://releases.example/download/20250409/{escaped}",)
    assert look(old, own) == (f"https://releases.example/download/20250205/{old_escaped}",)
    mirror = Standalone(url="https://mirror.example/py/")
    assert look(file, mirror) == (
        f"https://mirror.example/py/{escaped}",
        f"https://mirror.example/py/20250409/{escaped}",
    )
    assert look(file, own, PBS_INSTALLER_BASE_URL="https://m.example")[0] == f"https://m.example/{escaped}"
    assert look(file, Standalone(url="vendor"))[0] == f"{(tmp_path / 'vendor').as_uri()}/{escaped}"
    with pytest.raises(UsageError, match="not the name of a standalone interpreter"):
        look("../../etc/passwd", own)
