"""Conda packages that are spelt unusually, and that conda installs: through lock, bundle, hydrate and run."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.e2e.command import HOST_PYTHON, Workplace, host_platform
from tests.support.conda_channels import write_channel
from tests.support.conda_packages import PLACEHOLDER, File, build_conda, path_entry

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the packages hold links and scripts for a shell")

PLATFORM = host_platform()
TOOL = File('#!/bin/sh\necho "tool $NUMBER in $(/bin/pwd)"\n', mode=0o755)
PYTHON = build_conda(
    "python",
    f"{HOST_PYTHON}.0",
    "h0_0_cpython",
    {"bin/python": File("#!/bin/sh\n", mode=0o755), "bin/tool": TOOL},
    subdir=PLATFORM,
)
LINKS = {
    "lib/a": File(link="./real"),
    "lib/b": File(link="sub/"),
    "lib/c": File(link="."),
    "lib/d": File(link="sub/../real"),
    "lib/e": File(link="..//lib/real"),
    "lib/f": File(link="../lib/./real"),
}


def place_of(folder: Path, *packages: object, specs: str = '"python"', run: str = "tool") -> Workplace:
    place = Workplace(folder, None)
    write_channel(place.checkout / "channel", PYTHON, *packages, subdirs=[PLATFORM, "noarch"])  # type: ignore[arg-type]
    place.write(
        f'[project]\nname = "demo"\ntargets = ["{PLATFORM}"]\npython = "{HOST_PYTHON}"\nchannels = ["made"]\n'
        f'[sources.made]\nkind = "conda"\nurl = "channel"\n[steps.use]\nconda = [{specs}]\nrun = "{run}"\n'
    )
    return place


@pytest.mark.parametrize("format", ["conda", "tar.bz2"])
def test_links_that_stay_inside_are_followed_however_they_are_spelt(format: str, tmp_path: Path) -> None:
    files = {"lib/real": "real\n", "lib/sub/file": "file\n"} | LINKS
    package = build_conda("links", files=files, subdir=PLATFORM, format=format)  # type: ignore[arg-type]
    place = place_of(tmp_path, package, specs='"python", "links"')
    place.ok("lock")
    place.ok("bundle")
    prefix = tmp_path / "prefix"
    place.ok("hydrate", "use", "--prefix", str(prefix))
    lib = prefix.resolve() / "lib"
    targets = {path.name: path.resolve() for path in lib.iterdir() if path.is_symlink()}
    assert targets == {
        "a": lib / "real", "b": lib / "sub", "c": lib, "d": lib / "real", "e": lib / "real", "f": lib / "real"
    }  # fmt: skip
    assert "0 problems" in place.ok("verify", "--prefix", str(prefix)).err


@pytest.mark.parametrize("target", ["../../out", "sub/../../../out", "deep/../../x", "./../.."])
def test_a_link_that_leaves_the_package_is_refused(target: str, tmp_path: Path) -> None:
    """`deep` is a link to the root of the package, so that `deep/..` is outside."""
    files = {"lib/real": "", "lib/sub/file": "", "lib/deep": File(link=".."), "lib/evil": File(link=target)}
    place = place_of(tmp_path, build_conda("evil", files=files, subdir=PLATFORM), specs='"python", "evil"')
    place.ok("lock")
    assert "'lib/evil' is a link that leaves the tree" in place.fails(1, "bundle").err


def test_what_a_package_lists_twice_alike_counts_once(tmp_path: Path) -> None:
    files = {"site-packages/double.py": "def main():\n    print('once')\n"}
    tree = {path: File(content) for path, content in files.items()}
    package = build_conda(
        "double",
        files=tree,
        noarch="python",
        entry_points=["double = double:main", "double = double:main", "a/b = double:main"],
        paths=[path_entry(path, tree) for path in tree] * 2,
    )
    place = place_of(tmp_path, package, specs='"python", "double"')
    place.ok("lock")
    done = place.ok("bundle")
    assert f"{package.file}: its script 'a/b' is not made, because no file can have this name" in done.err


def test_numbers_in_variables_and_a_script_that_leaves_the_folder(tmp_path: Path) -> None:
    package = build_conda(
        "active",
        files={"etc/conda/env_vars.d/a.json": '{"NUMBER": 4}', "etc/conda/activate.d/a.sh": "cd /\n"},
        subdir=PLATFORM,
    )
    place = place_of(tmp_path, package, specs='"python", "active"')
    place.ok("lock")
    assert place.ok("run", "use").out == f"tool 4 in {place.checkout.resolve()}\n"


@pytest.mark.parametrize(
    "spec", ["active==", "active ==", "active[version='==']", "active[version='']", "active 1.0 ="]
)
def test_an_operator_without_a_version_is_a_mistake(spec: str, tmp_path: Path) -> None:
    place = place_of(tmp_path, build_conda("active", subdir=PLATFORM), specs=f'"{spec}"')
    refused = place.fails(2, "lock")
    assert f"steps.use.conda[0]: {spec}: " in refused.err


def test_prefix_records_have_the_fields_that_other_conda_tools_read(tmp_path: Path) -> None:
    files = {"share/where": f"{PLACEHOLDER}/share\n", "share/plain": "plain\n", "lib/empty": File(directory=True)}
    packages = [build_conda("relocated", files=files, subdir=PLATFORM), build_conda("plain", files={"share/x": "x"})]
    place = place_of(tmp_path, *packages, specs='"python", "relocated"')
    place.ok("lock")
    place.ok("bundle")
    prefix = tmp_path / "prefix"
    place.ok("hydrate", "use", "--prefix", str(prefix))
    records = {path.stem: json.loads(path.read_bytes()) for path in (prefix / "conda-meta").glob("*.json")}
    assert len(records) == 2
    for record in records.values():
        assert record["link"] == {"source": "", "type": 1}
        assert record["url"].endswith(f"/{PLATFORM}/{record['fn']}")
        assert record["files"] and record["paths_data"]["paths"]
    assert "0 problems" in place.ok("verify", "--prefix", str(prefix)).err
    if importlib.util.find_spec("rattler") is not None:
        import rattler

        for path in (prefix / "conda-meta").glob("*.json"):
            read = rattler.PrefixRecord.from_path(path)
            assert read.name.normalized in path.name and len(read.files) == len(records[path.stem]["files"])

    # The same after `tar` has unpacked a single file. (The fields stand in another order.)
    tree = tmp_path / "tree"
    tree.mkdir()
    place.ok("bundle", "--step", "use", "--output", str(tmp_path / "use.tar.zst"))
    place.ok("hydrate", str(tmp_path / "use.tar.zst"), "--prefix", str(tmp_path / "other"))
    for path in (tmp_path / "other/conda-meta").glob("*.json"):
        assert json.loads(path.read_bytes())["link"] == {"source": "", "type": 1}


def test_a_prefix_of_an_earlier_version_has_no_links_and_is_intact(tmp_path: Path) -> None:
    place = place_of(tmp_path)
    place.ok("lock")
    place.ok("bundle")
    prefix = tmp_path / "prefix"
    place.ok("hydrate", "use", "--prefix", str(prefix))
    [path] = (prefix / "conda-meta").glob("*.json")
    text = path.read_bytes()
    path.write_bytes(text.replace(b',"link":{"source":"","type":1}', b""))
    assert "0 problems" in place.ok("verify", "--prefix", str(prefix)).err
    path.write_bytes(text.replace(b'"link":{"source":""', b'"link":{"source":"/evil"'))
    assert "conda-meta" in place.fails(1, "verify", "--prefix", str(prefix)).out


@pytest.mark.skipif(importlib.util.find_spec("conda_pack") is None, reason="conda-pack is not installed")
def test_conda_pack_packs_a_prefix(tmp_path: Path) -> None:
    files = {"share/where": f"{PLACEHOLDER}/share\n", "lib/real": "real\n", "lib/a": File(link="./real")}
    place = place_of(tmp_path, build_conda("some", files=files, subdir=PLATFORM), specs='"python", "some"')
    place.ok("lock")
    place.ok("bundle")
    prefix = tmp_path / "prefix"
    place.ok("hydrate", "use", "--prefix", str(prefix))
    out = tmp_path / "packed.tar"
    program = "import sys, conda_pack; conda_pack.pack(prefix=sys.argv[1], output=sys.argv[2])"
    command = [sys.executable, "-c", program, str(prefix), str(out)]
    subprocess.run(command, check=True, capture_output=True)
    moved = tmp_path / "moved"
    with tarfile.open(out) as archive:
        archive.extractall(moved, filter="tar")
    subprocess.run([sys.executable, str(moved / "bin/conda-unpack")], check=True, capture_output=True)
    assert (moved / "share/where").read_text() == f"{moved}/share\n"
    assert (moved / "lib/a").read_text() == "real\n"
