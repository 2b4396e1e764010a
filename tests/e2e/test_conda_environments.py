"""Conda packages from a channel to a running step: locked, bundled, hydrated and relocated."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.command import Workplace, host_platform
from tests.e2e.conda_places import MADE, bundled
from tests.support import conda_real
from tests.support.conda_channels import write_channel
from tests.support.conda_environments import conda_meta
from tests.support.conda_packages import PLACEHOLDER, File, Package, build_conda
from tests.support.manifests import conda_tables

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the packages contain shell scripts")
MANIFEST = f"""\
{conda_tables(host_platform(), url="../channel")}
[steps.one]
conda = ["tool", "lib"]
run = "tool"
"""


def packages(subdir: str = host_platform(), *, empty: bool = True) -> list[Package]:
    """A `python` that is a shell script, and packages with every feature of conda. `empty` adds a folder."""
    folder = {"var/empty": File(directory=True)} if empty else {}
    interpreter = f"#!/bin/sh\n# {PLACEHOLDER}\nexit 3\n"
    return [
        build_conda(
            "python",
            "3.12.4",
            files={"bin/python3.12": File(interpreter, mode=0o755), "bin/python": File(link="python3.12")},
            subdir=subdir,
        ),
        build_conda(
            "tool",
            "1.2",
            files={
                "bin/tool": File(f"#!/bin/sh\ncat {PLACEHOLDER}/share/words\n", mode=0o755),
                "lib/tool.bin": b"\0" + PLACEHOLDER.encode() + b"/lib:" + PLACEHOLDER.encode() + b"\0tail",
                "lib/same.bin": File(hard="lib/tool.bin"),
                "share/words": "words\n",
                "share/plain": File("own\n", no_link=True),
                "bin/.tool-post-link.sh": "exit 1\n",
                **folder,
            },
            subdir=subdir,
        ),
        build_conda(
            "lib",
            "2.0",
            "py_0",
            files={"site-packages/lib/__init__.py": "X = 1\n", "share/words": "other words\n"},
            noarch="python",
            entry_points=["lib-main = lib.cli:main"],
            format="tar.bz2",
        ),
    ]


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    workplace = Workplace(tmp_path, None)
    write_channel(tmp_path / "channel", *packages())
    workplace.write(MANIFEST)
    return workplace


def tree(folder: Path) -> dict[str, tuple[int, bytes | str]]:
    """Return mode and content of every file below a folder, except envc's state, and the targets of links."""
    found: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = 0, str(path.readlink())
        elif path.is_file() and not name.startswith(".envc/"):
            found[name] = path.stat().st_mode & 0o777, path.read_bytes()
    return found


def test_tar_and_envc_unpack_a_bundle_to_the_same_tree(place: Workplace, tmp_path: Path) -> None:
    place.ok("lock")
    place.ok("bundle", "--output", "../one.tar.zst")
    untarred = tmp_path / "untarred"
    untarred.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", tmp_path / "one.tar.zst", "-C", untarred], check=True)
    script = ["sh", str(untarred / ".envc/relocate.sh"), sys.executable]
    subprocess.run(script, check=True)
    subprocess.run(script, check=True)
    by_script = tree(untarred)
    moved = tmp_path / "elsewhere"
    untarred.rename(moved)
    again = subprocess.run(
        ["sh", moved / ".envc/relocate.sh", sys.executable], capture_output=True, text=True, check=False
    )
    assert again.returncode == 1
    assert f"the files of this tree name {untarred}" in again.stderr
    place.ok("hydrate", "../one.tar.zst", "--prefix", str(untarred))
    for path, (mode, content) in tree(untarred).items():
        if path.startswith("conda-meta/") and path.endswith(".json"):
            assert json.loads(content) == json.loads(by_script[path][1])
        else:
            assert by_script[path] == (mode, content), path
    assert place.ok("run", "../one.tar.zst").out == "words\n"


def test_a_step_is_locked_bundled_and_hydrated(place: Workplace, tmp_path: Path) -> None:
    place.ok("lock")
    done = place.ok("bundle")
    assert "tool 1.2 has bin/.tool-post-link.sh, which envc never runs" in done.err
    assert "lib and tool both contain share/words" in done.err
    prefix = tmp_path / "prefix"
    place.ok("hydrate", "one", "--prefix", str(prefix))
    assert (prefix / "bin/tool").read_text() == f"#!/bin/sh\ncat {prefix}/share/words\n"
    spelt = str(prefix).encode()
    binary = b"\0" + spelt + b"/lib:" + spelt
    filled = bytes(2 * (len(PLACEHOLDER) - len(spelt)))
    assert (prefix / "lib/tool.bin").read_bytes() == binary + filled + b"\0tail"
    assert (prefix / "lib/same.bin").read_bytes() == binary + filled + b"\0tail"
    assert (prefix / "var/empty").is_dir()
    assert (prefix / "lib/python3.12/site-packages/lib/__init__.py").exists()
    assert place.ok("run", "one").out == "words\n"
    assert conda_meta(prefix, "tool")["url"] == f"envc://small/{host_platform()}/tool-1.2-h0_0.conda"
    assert "share/words" not in conda_meta(prefix, "lib")["files"]
    assert place.ok("verify", "--prefix", str(prefix))


def test_verify_finds_changes_in_relocated_files(place: Workplace, tmp_path: Path) -> None:
    place.ok("lock")
    place.ok("bundle")
    prefix = tmp_path / "prefix"
    place.ok("hydrate", "one", "--prefix", str(prefix))
    place.ok("verify", "--prefix", str(prefix))
    (prefix / "bin/tool").write_text(f"#!/bin/sh\nrm {prefix}/share/words\n")
    binary = (prefix / "lib/tool.bin").read_bytes()
    (prefix / "lib/tool.bin").write_bytes(binary.replace(b"tail", b"tale"))
    (prefix / "share/plain").unlink()
    done = place.fails(1, "verify", "--prefix", str(prefix))
    assert done.out.splitlines() == [
        "bin/tool: has other content",
        "lib/tool.bin: has other content",
        "share/plain: is missing",
    ]
    moved = tmp_path / "moved"
    prefix.rename(moved)
    done = place.fails(1, "verify", "--prefix", str(moved))
    assert f"its files contain the path {prefix}, where it was made" in done.err
    place.ok("hydrate", "one", "--prefix", str(moved))
    place.ok("verify", "--prefix", str(moved))
    assert str(moved) in (moved / "bin/tool").read_text()


@pytest.mark.engines
def test_py_rattler_reads_the_prefix_and_agrees_on_the_files(place: Workplace, tmp_path: Path) -> None:
    import rattler

    # py-rattler 0.28 tries to copy packaged folders as if they were files.
    write_channel(tmp_path / "channel", *packages(empty=False))
    place.ok("lock")
    place.ok("bundle")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    place.ok("hydrate", "one", "--prefix", str(ours))

    async def install() -> None:
        channel = rattler.Channel(str(tmp_path / "channel"))
        records = await rattler.solve([channel], ["tool", "lib", "python"], platforms=[host_platform(), "noarch"])
        await rattler.install(records, theirs, cache_dir=tmp_path / "cache", show_progress=False)

    asyncio.run(install())
    for path in sorted(theirs.glob("conda-meta/*.json")):
        left, right = (rattler.PrefixRecord.from_path(side / "conda-meta" / path.name) for side in (ours, theirs))
        assert (left.name, left.version, left.build, left.subdir) == (
            right.name,
            right.version,
            right.build,
            right.subdir,
        )
        # If two packages have the same path, py-rattler keeps both, and the path belongs to the last one installed.
        contested = {"share/words", "__clobbers__/tool/share/words"}
        bytecode = {str(file) for file in right.files if file.suffix == ".pyc"}
        assert {*map(str, left.files)} - contested == {*map(str, right.files)} - contested - bytecode, path.name
        for file in {*map(str, left.files)} - contested - {"bin/lib-main"}:
            text = (ours / file).read_bytes()
            assert text.replace(os.fsencode(ours), os.fsencode(theirs)).rstrip(b"\0tail") == (
                theirs / file
            ).read_bytes().rstrip(b"\0tail"), file
        for entry in left.paths_data.paths:
            if str(entry.path_type) != "PathType.directory":
                assert (ours / entry.relative_path).exists()


@pytest.mark.skipif(bool(conda_real.missing()), reason=str(conda_real.missing()))
def test_a_real_python_compiles_its_packages_and_lets_an_untarred_bundle_run(tmp_path: Path) -> None:
    place = bundled(tmp_path, conda_real.real_channel(extra=MADE), "native")
    prefix = tmp_path / "prefix"
    place.ok("hydrate", "work", "--prefix", str(prefix), "--bytecode")
    compiled = [path for path in prefix.rglob("*.pyc") if path.name.startswith("__init__.") and "greeter" in path.parts]
    assert len(compiled) == 1
    place.ok("verify", "--prefix", str(prefix))
    place.ok("bundle", "--output", "../work.tar.zst", "--fast")
    untarred = tmp_path / "untarred"
    untarred.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", tmp_path / "work.tar.zst", "-C", untarred], check=True)
    environ = {"PATH": "/usr/bin:/bin"}
    subprocess.run(["sh", untarred / ".envc/relocate.sh"], check=True, env=environ)
    done = subprocess.run([untarred / "bin/greet"], check=True, env=environ, capture_output=True, text=True)
    assert done.stdout == f"hello from {untarred}\n"
    assert (untarred / "etc/native.conf").read_text() == f"prefix = {untarred}\n"
