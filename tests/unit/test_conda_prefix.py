"""Conda packages in a prefix: relocated files, folders, prefix records, and files that must not be shared."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from envc.errors import EnvcError
from envc.model.digest import Sha256, sha256
from envc.model.progress import Silent
from envc.model.record import MTIME, Record
from envc.shipping.deliver.hydrate import PREFIX, StoredEnvironment, hydrate
from envc.shipping.deliver.verify import verify_prefix
from envc.shipping.format.decode import read_object
from envc.shipping.prefix.conda_prefix import PrefixTooLongFor, complete_prefix
from envc.shipping.store.keys import object_key
from envc.shipping.store.objects import range_reader
from envc.shipping.unpack.conda import open_conda
from tests.support.conda_environments import bundle_conda, conda_meta, hydrate_conda
from tests.support.conda_packages import PLACEHOLDER, SECONDS, File, Package, build_conda
from tests.support.environments import HOST
from tests.support.stores import MemoryBlobs

posix = pytest.mark.skipif(os.name != "posix", reason="the files are those of a POSIX package")
TOOL = build_conda(
    "tool",
    "1.2",
    files={
        "bin/tool": File(f"#!{PLACEHOLDER}/bin/sh\n", mode=0o755),
        "lib/tool.bin": b"\0" + PLACEHOLDER.encode() + b"/lib\0tail",
        "share/plain": "plain\n",
        "share/own": File("own\n", no_link=True),
        "var/log/tool": File(directory=True),
    },
    subdir=HOST.platform,
)


class Warnings(Silent):
    """A progress reporter that records warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str, *, hint: str = "") -> None:
        self.warnings.append(text)


class Bench:
    """A store with one environment, and prefixes of it that share one cache."""

    def __init__(self, folder: Path, *packages: Package, platform: str = HOST.platform) -> None:
        self.folder = folder
        self.store = MemoryBlobs()
        self.progress = Warnings()
        self.record: Record = bundle_conda(
            self.store, folder, *packages, platform=platform, progress=self.progress
        ).records[0]

    def prefix(self, name: str, **loading: Any) -> Path:
        prefix = self.folder / name
        hydrate_conda(self.store, self.record, prefix, self.folder / "cache", progress=self.progress, **loading)
        return prefix

    def unpacked(self, root: Path) -> Path:
        """Return the files of the objects before any of them is rewritten."""
        for item in self.record.objects:
            key = object_key(item.index.layout, item.index.artifact)
            for piece in read_object(item.index, range_reader(self.store, key)):
                path = root / piece.member.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(piece.data)
                path.chmod(piece.member.mode)
        return root


def entries(prefix: Path, name: str) -> dict[str, dict[str, Any]]:
    return {entry["_path"]: entry for entry in conda_meta(prefix, name)["paths_data"]["paths"]}


@posix
def test_a_cache_serves_prefixes_of_any_length(tmp_path: Path) -> None:
    """A file rewritten for one prefix must reach neither the cache nor another prefix."""
    bench = Bench(tmp_path, TOOL)
    for name in ("a", "b" * 30, "c" * 12):
        prefix = bench.prefix(name, link_mode="hardlink")
        assert (prefix / "bin/tool").read_text() == f"#!{prefix}/bin/sh\n"
        binary = (prefix / "lib/tool.bin").read_bytes()
        assert binary.startswith(b"\0" + os.fsencode(prefix) + b"/lib\0\0")
        assert (binary[-4:], len(binary)) == (b"tail", len(PLACEHOLDER) + 10)
    shared = [(tmp_path / name / "share/plain").stat().st_ino for name in ("a", "b" * 30)]
    assert shared[0] == shared[1], "files that do not contain the prefix are shared"
    for path in ("bin/tool", "lib/tool.bin", "share/own"):
        assert (tmp_path / "a" / path).stat().st_nlink == 1, f"{path} is the prefix's own"


@posix
def test_files_do_not_contain_the_path_of_a_link_to_the_prefix(tmp_path: Path) -> None:
    bench = Bench(tmp_path, TOOL)
    (tmp_path / "passed").mkdir()
    bench.prefix("passed/../prefix")
    (tmp_path / "passed").rmdir()
    assert (tmp_path / "prefix/bin/tool").read_text() == f"#!{tmp_path}/prefix/bin/sh\n"


@posix
def test_rewritten_files_keep_mode_and_time(tmp_path: Path) -> None:
    prefix = Bench(tmp_path, TOOL).prefix("prefix")
    assert (prefix / "bin/tool").stat().st_mode & 0o777 == 0o755
    assert {(prefix / path).stat().st_mtime for path in ("bin/tool", "lib/tool.bin", "share/plain")} == {SECONDS}
    assert (prefix / "conda-meta/history").stat().st_mtime == MTIME


@posix
def test_the_same_environment_is_the_same_bytes(tmp_path: Path) -> None:
    bench = Bench(tmp_path, TOOL)
    prefix = bench.prefix("prefix")
    first = {path: path.read_bytes() for path in prefix.rglob("*") if path.is_file()}
    (prefix / PREFIX).write_text("{}")
    bench.prefix("prefix", cached=False)
    assert {path: path.read_bytes() for path in prefix.rglob("*") if path.is_file()} == first


@posix
def test_prefix_records_match_the_prefix(tmp_path: Path) -> None:
    prefix = Bench(tmp_path, TOOL).prefix("prefix")
    record = conda_meta(prefix, "tool")
    assert (record["name"], record["version"], record["build"]) == ("tool", "1.2", "h0_0")
    assert (record["fn"], record["sha256"], record["size"]) == (TOOL.file, TOOL.sha256, len(TOOL.data))
    assert record["url"] == f"envc://bundle/{HOST.platform}/{TOOL.file}", "its channel is unknown"
    assert record["files"] == ["bin/tool", "lib/tool.bin", "share/own", "share/plain"]
    found = entries(prefix, "tool")
    assert found["var/log/tool"] == {"_path": "var/log/tool", "path_type": "directory"}
    for path in record["files"]:
        content = (prefix / path).read_bytes()
        assert found[path]["sha256_in_prefix"] == sha256(content)
        assert found[path]["size_in_bytes"] == len(TOOL_CONTENT[path])
        assert found[path]["sha256"] == sha256(TOOL_CONTENT[path])
    assert found["bin/tool"]["prefix_placeholder"] == PLACEHOLDER
    assert (found["bin/tool"]["file_mode"], found["lib/tool.bin"]["file_mode"]) == ("text", "binary")
    assert found["share/own"]["no_link"] is True
    assert (prefix / "var/log/tool").is_dir()
    lines = (prefix / "conda-meta/history").read_text().splitlines()
    assert lines[-1] == f"+bundle/{HOST.platform}::tool-1.2-h0_0"


TOOL_CONTENT = {
    "bin/tool": f"#!{PLACEHOLDER}/bin/sh\n".encode(),
    "lib/tool.bin": b"\0" + PLACEHOLDER.encode() + b"/lib\0tail",
    "share/plain": b"plain\n",
    "share/own": b"own\n",
}


@posix
def test_every_rewritten_file_is_in_the_record(tmp_path: Path) -> None:
    bench = Bench(tmp_path, TOOL)
    assert bench.record.made == (
        ".envc/prefix.json",
        "bin/tool",
        "conda-meta/history",
        "conda-meta/tool-1.2-h0_0.json",
        "lib/tool.bin",
    )


@posix
def test_a_record_is_the_same_whether_objects_were_made_or_found(tmp_path: Path) -> None:
    bench = Bench(tmp_path, TOOL)
    again = bundle_conda(bench.store, tmp_path, TOOL)
    assert again.made == ()
    assert again.records[0] == bench.record


@posix
def test_only_the_winner_of_a_contested_path_is_rewritten(tmp_path: Path) -> None:
    first = build_conda("alpha", files={"etc/conf": f"alpha {PLACEHOLDER}\n"}, subdir=HOST.platform)
    second = build_conda("beta", files={"etc/conf": "beta /opt/built_elsewhere\n"}, subdir=HOST.platform)
    bench = Bench(tmp_path, first, second)
    prefix = bench.prefix("prefix")
    assert bench.progress.warnings == ["alpha and beta both contain etc/conf; the one from beta is used"]
    assert (prefix / "etc/conf").read_text() == "beta /opt/built_elsewhere\n"
    assert (conda_meta(prefix, "alpha")["files"], conda_meta(prefix, "beta")["files"]) == ([], ["etc/conf"])
    assert "etc/conf" not in bench.record.made


@posix
def test_a_prefix_that_is_too_long_for_a_file_is_refused_with_both_lengths(tmp_path: Path) -> None:
    short = "/opt/short_placeholder"
    package = build_conda(
        "old", files={"lib/old.so": File(b"\0" + short.encode() + b"/lib\0", placeholder=short)}, subdir=HOST.platform
    )
    bench = Bench(tmp_path, package)
    long = tmp_path / "deeply" / ("x" * 40)
    with pytest.raises(PrefixTooLongFor) as error:
        hydrate_conda(bench.store, bench.record, long, tmp_path / "cache")
    assert str(error.value) == (
        f"lib/old.so of old 1.0 has room for a prefix of 22 bytes; {long} has {len(os.fsencode(long))}"
    )
    assert error.value.hint is not None and "--prefix" in error.value.hint
    assert list(long.parent.iterdir()) == [], "no files are left behind"


@posix
def test_empty_files_with_a_placeholder_stay_empty(tmp_path: Path) -> None:
    entry = {"_path": "etc/none", "path_type": "hardlink", "prefix_placeholder": PLACEHOLDER, "file_mode": "binary"}
    package = build_conda("p", files={"etc/none": ""}, paths=[entry], subdir=HOST.platform)
    assert (Bench(tmp_path, package).prefix("prefix") / "etc/none").read_bytes() == b""


def test_a_foreign_environment_is_unpacked_unchanged(tmp_path: Path) -> None:
    """An environment for Windows, packed and inspected on another platform."""
    package = build_conda(
        "tool",
        files={"Library/bin/tool.dll": b"\0" + PLACEHOLDER.encode() + b"\0", "etc/tool.ini": f"at = {PLACEHOLDER}\n"},
        subdir="win-64",
    )
    noarch = build_conda("lib", files={"site-packages/lib.py": ""}, noarch="python", entry_points=["lib = lib:main"])
    bench = Bench(tmp_path, package, noarch, platform="win-64")
    prefix = tmp_path / "prefix"
    hydrate(
        StoredEnvironment(bench.store, bench.record),
        prefix,
        interpreter=None,
        cache=tmp_path / "cache",
        progress=Silent(),
    )
    assert (prefix / "etc/tool.ini").read_text() == f"at = {PLACEHOLDER}\n"
    launcher = (prefix / "Scripts/lib.exe").read_bytes()
    assert b"#!<launcher_dir>\\..\\python.exe\n" in launcher, "conda's python is in the prefix itself"
    assert (prefix / "Lib/site-packages/lib.py").exists()


def test_windows_binaries_stay_unchanged_and_texts_get_forward_slashes(tmp_path: Path) -> None:
    package = build_conda(
        "tool",
        files={"Library/bin/tool.dll": b"\0" + PLACEHOLDER.encode() + b"\0", "etc/tool.ini": f"at = {PLACEHOLDER}\n"},
        subdir="win-64",
    )
    bench = Bench(tmp_path, package, platform="win-64")
    root = bench.unpacked(tmp_path / "root")
    place = Path("C:\\Users\\me\\env")
    complete_prefix(root, place, bench.record, origins={}, progress=Silent())
    assert (root / "etc/tool.ini").read_text() == "at = C:/Users/me/env\n"
    assert PLACEHOLDER.encode() in (root / "Library/bin/tool.dll").read_bytes()
    assert "Library/bin/tool.dll" not in bench.record.made


@posix
def test_rewritten_files_are_signed_again_for_apple_silicon(tmp_path: Path) -> None:
    program = b"\xcf\xfa\xed\xfe\0" + PLACEHOLDER.encode() + b"\0"
    package = build_conda(
        "tool",
        files={"bin/tool": program, "lib/data.bin": b"\0" + PLACEHOLDER.encode() + b"\0", "bin/other": program[:5]},
        subdir="osx-arm64",
    )
    bench = Bench(tmp_path, package, platform="osx-arm64")
    signer = tmp_path / "codesign"
    signer.write_text('#!/bin/sh\n[ "$1 $2 $3" = "--sign - --force" ] && printf signed >> "$4"\n')
    signer.chmod(0o755)
    root = bench.unpacked(tmp_path / "root")
    complete_prefix(root, Path("/env"), bench.record, origins={}, progress=bench.progress, codesign=str(signer))
    signed = (root / "bin/tool").read_bytes()
    assert signed.endswith(b"signed")
    assert not (root / "lib/data.bin").read_bytes().endswith(b"signed")
    assert entries(root, "tool")["bin/tool"]["sha256_in_prefix"] == sha256(signed)
    assert bench.progress.warnings == []
    again = bench.unpacked(tmp_path / "again")
    complete_prefix(
        again, Path("/env"), bench.record, origins={}, progress=bench.progress, codesign=str(tmp_path / "none")
    )
    (warning,) = bench.progress.warnings
    assert "could not sign bin/tool, which now contain the path of the prefix" in warning


@posix
def test_link_scripts_are_reported_and_not_run(tmp_path: Path) -> None:
    package = build_conda(
        "tool",
        files={
            "bin/.tool-post-link.sh": "touch /tmp/evil\n",
            "bin/.other-post-link.sh": "",
            "bin/.tool-pre-unlink.sh": "",
        },
        subdir=HOST.platform,
    )
    bench = Bench(tmp_path, package)
    assert bench.progress.warnings == [
        "tool 1.0 has bin/.tool-post-link.sh, which envc never runs",
        "tool 1.0 has bin/.tool-pre-unlink.sh, which envc never runs",
    ]


def test_activation_batch_files_are_reported_for_windows(tmp_path: Path) -> None:
    files = {
        "etc/conda/activate.d/tool.bat": "",
        "etc/conda/activate.d/tool.sh": "",
        "etc/conda/deactivate.d/x.bat": "",
    }
    bench = Bench(tmp_path, build_conda("tool", files=files, subdir="win-64"), platform="win-64")
    assert bench.progress.warnings == ["tool 1.0 has etc/conda/activate.d/tool.bat, which envc never runs"]
    assert (
        Bench(
            tmp_path / "linux", build_conda("tool", files=files, subdir="linux-64"), platform="linux-64"
        ).progress.warnings
        == []
    )


@posix
def test_old_packages_are_rewritten_by_has_prefix(tmp_path: Path) -> None:
    files = {
        "bin/tool": File(f"#!{PLACEHOLDER}/bin/sh\n", mode=0o755),
        "lib/tool.bin": b"\0" + PLACEHOLDER.encode() + b"\0",
        "lib/again": File(link="tool.bin"),
        "lib/same": File(hard="lib/tool.bin"),
    }
    package = build_conda(
        "tool", files=files, format="tar.bz2", legacy=True, info={"no_link": "lib/same\n"}, subdir=HOST.platform
    )
    prefix = Bench(tmp_path, package).prefix("prefix")
    assert (prefix / "bin/tool").read_text() == f"#!{prefix}/bin/sh\n"
    for path in ("lib/tool.bin", "lib/same", "lib/again"):
        assert (prefix / path).read_bytes().startswith(b"\0" + os.fsencode(prefix) + b"\0")
    assert entries(prefix, "tool")["lib/same"]["no_link"] is True


@posix
def test_has_prefix_without_placeholders_means_anacondas_first_one(tmp_path: Path) -> None:
    old = "/opt/anaconda1anaconda2anaconda3"
    package = build_conda(
        "tool",
        files={"etc/conf": File(f"at = {old}\n", placeholder=None)},
        format="tar.bz2",
        legacy=True,
        info={"has_prefix": "# a remark\netc/conf\n"},
        subdir=HOST.platform,
    )
    prefix = Bench(tmp_path, package).prefix("prefix")
    assert (prefix / "etc/conf").read_text() == f"at = {prefix}\n"


@posix
def test_a_prefix_that_cannot_be_encoded_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path, TOOL)
    for name, why in (("line\nfeed", "line end"), (os.fsdecode(b"not-unicode-\xff"), "not Unicode")):
        with pytest.raises(EnvcError, match=why):
            bench.prefix(name)
        assert not (tmp_path / name).exists()


GOLDEN = """\
{"name":"tool","version":"1.2","build":"py_0","build_number":7,"subdir":"noarch","noarch":"python",\
"depends":["python >=3.9"],"license":"MIT","timestamp":1700000000000,"fn":"tool-1.2-py_0.tar.bz2","sha256":"SHA256",\
"size":SIZE,"files":["bin/tool","etc/conf","lib/python3.12/site-packages/tool.py"],"paths_data":{"paths":[\
{"_path":"bin/tool","path_type":"unix_python_entry_point",\
"sha256":"LAUNCHER","size_in_bytes":LENGTH,"sha256_in_prefix":"LAUNCHER"},\
{"_path":"etc/conf","path_type":"hardlink",\
"sha256":"8e84f07bd4ab13da9fc987302b702477cdb343977e46cb8bd519a6fc5a964e42","size_in_bytes":19,\
"prefix_placeholder":"/opt/placeholder","file_mode":"text"},\
{"_path":"lib/python3.12/site-packages/tool.py","path_type":"hardlink",\
"sha256":"01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b","size_in_bytes":1,\
"sha256_in_prefix":"01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b","no_link":true,\
"original_path":"site-packages/tool.py"}],"paths_version":1}}
"""


def test_the_prefix_record_in_an_object_never_changes(tmp_path: Path) -> None:
    """Content digests recorded in locks depend on it."""
    package = build_conda(
        "tool",
        "1.2",
        "py_0",
        {
            "site-packages/tool.py": File("\n", no_link=True),
            "etc/conf": File("at=/opt/placeholder", placeholder="/opt/placeholder"),
        },
        ["python >=3.9"],
        noarch="python",
        entry_points=["tool = tool:main"],
        build_number=7,
        format="tar.bz2",
    )
    path = tmp_path / "package"
    path.write_bytes(package.data)
    with open_conda(path, package.file, "py3.12-posix", Sha256(package.sha256)) as contents:
        members = {member.path: member for member in contents.members}
        (text,) = (entry.content for entry in contents.entries if entry.path == "conda-meta/tool-1.2-py_0.json")
    launcher = members["bin/tool"]
    expected = GOLDEN.replace("SHA256", package.sha256).replace("SIZE", str(len(package.data)))
    expected = expected.replace("LAUNCHER", launcher.sha256).replace("LENGTH", str(launcher.size))
    assert isinstance(text, bytes)
    assert text.decode() == expected


@posix
def test_a_moved_prefix_is_made_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, TOOL)
    bench.prefix("here").rename(tmp_path / "there")
    prefix = bench.prefix("there")
    assert (prefix / "bin/tool").read_text() == f"#!{prefix}/bin/sh\n"
    state = json.loads((prefix / PREFIX).read_bytes())
    assert (state["place"], state["interpreter"]) == (str(prefix), "conda")
    before = (prefix / "bin/tool").stat().st_ino
    bench.prefix("there")
    assert (prefix / "bin/tool").stat().st_ino == before, "existing files are left alone"


def test_prefix_records_round_trip() -> None:
    from envc.shipping.unpack.conda_meta import InstalledPath, PathsData, PrefixRecord, decode_record, encode_record

    record = PrefixRecord(
        name="p",
        version="1",
        build="0",
        build_number=0,
        subdir="noarch",
        depends=(),
        fn="p-1-0.conda",
        sha256="0" * 64,
        size=1,
        files=("a",),
        paths_data=PathsData(paths=(InstalledPath(path="a", path_type="hardlink", size_in_bytes=0),)),
    )
    assert decode_record(encode_record(record)) == record
    assert msgspec.json.decode(encode_record(record))["paths_data"]["paths"][0]["size_in_bytes"] == 0


# verified prefixes


def problems(prefix: Path) -> dict[str, str]:
    return {problem.where: problem.reason for problem in verify_prefix(prefix, Silent()).problems}


def change_meta(prefix: Path, name: str, change: Callable[[dict[str, Any]], object]) -> str:
    """Change a prefix record, and return its path."""
    (path,) = (prefix / "conda-meta").glob(f"{name}-*.json")
    meta = json.loads(path.read_text())
    change(meta)
    path.write_text(json.dumps(meta, separators=(",", ":")) + "\n")
    return path.relative_to(prefix).as_posix()


RIVAL = build_conda("winner", files={"share/plain": "other\n", "bin/winner": f"#!{PLACEHOLDER}/bin/sh\n"})


@posix
@pytest.mark.parametrize("packages", [(TOOL,), (TOOL, RIVAL)], ids=["alone", "with a contested path"])
@pytest.mark.parametrize(
    "change",
    [
        lambda meta: meta["paths_data"]["paths"][0].update(sha256="0" * 64),
        lambda meta: meta["paths_data"]["paths"].append({"_path": "bin/more", "path_type": "hardlink"}),
        lambda meta: meta.update(version="9", fn="tool-9-h0_0.conda"),
        lambda meta: meta.update(url="https://evil.example/tool-1.2-h0_0.conda"),
        lambda meta: meta.update(files=[]),
    ],
)
def test_a_changed_prefix_record_is_found(
    tmp_path: Path, packages: tuple[Package, ...], change: Callable[[dict[str, Any]], object]
) -> None:
    prefix = Bench(tmp_path, *packages).prefix("prefix")
    assert problems(prefix) == {}
    path = change_meta(prefix, "tool", change)
    assert problems(prefix)[path] == "has other content"


@posix
def test_a_forged_placeholder_hides_no_change(tmp_path: Path) -> None:
    """Files that contain the path of the prefix are restored by the placeholder that the prefix record names."""
    prefix = Bench(tmp_path, TOOL).prefix("prefix")

    def forge(meta: dict[str, Any]) -> None:
        for entry in meta["paths_data"]["paths"]:
            if entry["_path"] == "share/plain":
                entry.update(prefix_placeholder="plain\nplain", file_mode="text")
            elif entry["_path"] == "bin/tool":
                del entry["prefix_placeholder"]

    path = change_meta(prefix, "tool", forge)
    found = problems(prefix)
    assert found[path] == found["bin/tool"] == "has other content"


@posix
@pytest.mark.parametrize("kind", ["fifo", "device", "link"])
def test_a_prefix_record_that_is_not_a_regular_file_is_named(tmp_path: Path, kind: str) -> None:
    """verify neither waits for a FIFO nor reads a device without an end."""
    prefix = Bench(tmp_path, TOOL).prefix("prefix")
    (meta,) = (prefix / "conda-meta").glob("*.json")
    kept = meta.rename(tmp_path / meta.name)
    if kind == "fifo":
        os.mkfifo(meta)
    else:
        meta.symlink_to("/dev/zero" if kind == "device" else kept)
    assert meta.relative_to(prefix).as_posix() in problems(prefix)


@posix
def test_a_changed_history_and_mode_are_found(tmp_path: Path) -> None:
    prefix = Bench(tmp_path, TOOL).prefix("prefix")
    (prefix / "bin/tool").chmod(0o644)
    with (prefix / "conda-meta/history").open("a") as history:
        history.write("+forge/noarch::evil-1.0-0\n")
    assert problems(prefix) == {
        "bin/tool": "is not executable any more",
        "conda-meta/history": "has other content",
    }
    (prefix / "conda-meta/history").unlink()
    assert problems(prefix)["conda-meta/history"] == "is missing"
    (meta,) = (prefix / "conda-meta").glob("*.json")
    meta.write_text("[]")
    assert problems(prefix)[meta.relative_to(prefix).as_posix()] == "has other content"
