"""Hostile and broken channels. Each gives an error that names channel, subdir and file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from envc.errors import SourceUnreachable
from envc.fetch.conda.repodata import Bounds, decompress, index_shards, records_of_shard
from envc.fetch.conda.slices import Damaged, Slices, append_index
from envc.system.atomic_file import atomic_file
from envc_solvers.conda.language.record import RecordUnusable, decode_records
from tests.support.channel_server import ChannelServer, entry, packed, repodata, shards
from tests.support.channels import cut_whole
from tests.unit.test_fetch_repodata import LINUX, Runs, found

DEMO = entry("demo", "1.0")


@pytest.fixture
def server() -> Iterator[ChannelServer]:
    with ChannelServer() as server:
        yield server


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "cache")


def bomb(size: int) -> bytes:
    return zstandard.ZstdCompressor().compress(b" " * size)


BROKEN: dict[str, tuple[str, bytes, str]] = {
    "cut JSON": ("repodata.json", repodata(DEMO)[:-9], "it is not JSON, or cut short"),
    "no JSON": ("repodata.json", b"<html>login</html>", "it is not JSON"),
    "empty": ("repodata.json", b"", "it is not JSON"),
    "no object": ("repodata.json", b"[]", "it is not repodata"),
    "no tables": ("repodata.json", b"{}", "it holds no table of packages"),
    "a table of another type": ("repodata.json", b'{"packages": [1]}', "it is not repodata"),
    "nested too deeply": ("repodata.json", b'{"packages": ' + b"[" * 200_000, "it is not"),
    "half a surrogate": ("repodata.json", b'{"packages": {"\\ud800-1-0.conda": {}}}', "it is not"),
    "cut zstd": ("repodata.json.zst", packed(repodata(DEMO))[:-5], "it is not zstd, or cut short|it is not JSON"),
    "no zstd": ("repodata.json.zst", repodata(DEMO), "it is not zstd"),
    "a bomb": ("repodata.json.zst", bomb(1 << 27), "it decompresses to far more than such a file may hold"),
    "no index of shards": ("repodata_shards.msgpack.zst", packed(b"\xc0"), "it is not an index of shards"),
    "a short digest": (
        "repodata_shards.msgpack.zst",
        packed(msgspec.msgpack.encode({"version": 1, "info": {}, "shards": {"demo": b"abc"}})),
        "its digest of 'demo' is not a sha256",
    ),
    "a newer index": (
        "repodata_shards.msgpack.zst",
        packed(msgspec.msgpack.encode({"version": 2, "info": {}, "shards": {}})),
        "it is of version 2",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_named(server: ChannelServer, runs: Runs, case: str) -> None:
    file, body, reason = BROKEN[case]
    server.files[f"{LINUX}/{file}"] = body
    with pytest.raises(SourceUnreachable, match=reason) as caught:
        runs.files(f"{server.base}/forge")
    assert str(caught.value).startswith(f"cannot get linux-64/{file} from forge: ")
    assert "127.0.0.1" not in str(caught.value)
    assert not list(runs.folder.rglob("*.slices"))


def test_a_cut_body_is_reported(server: ChannelServer, runs: Runs) -> None:
    server.files[f"{LINUX}/repodata.json"] = repodata(DEMO)
    server.cut[f"{LINUX}/repodata.json"] = 20
    with pytest.raises(SourceUnreachable, match=r"cannot get linux-64/repodata.json from forge: .*cut short"):
        runs.files(f"{server.base}/forge")


@pytest.mark.parametrize("status", [401, 403, 500, 501])
def test_a_failure_is_not_absence(server: ChannelServer, runs: Runs, status: int) -> None:
    """A subdir that a server refuses is not missing: the next channel must not take its place."""
    server.files["/forge/noarch/repodata.json"] = repodata(DEMO)
    server.status[f"{LINUX}/repodata.json"] = status
    with pytest.raises(SourceUnreachable, match=f"linux-64/repodata.json from forge: HTTP {status}"):
        runs.files(f"{server.base}/forge")


@pytest.mark.parametrize("status", [401, 500])
def test_a_refused_login_and_a_busy_server_end_the_run(server: ChannelServer, runs: Runs, status: int) -> None:
    server.files[f"{LINUX}/repodata.json"] = repodata(DEMO)
    server.status[f"{LINUX}/repodata.json.zst"] = status
    with pytest.raises(SourceUnreachable, match=f"linux-64/repodata.json.zst from forge: HTTP {status}"):
        runs.files(f"{server.base}/forge")


def test_a_broken_update_leaves_the_cache_unchanged(server: ChannelServer, runs: Runs) -> None:
    path = f"{LINUX}/repodata.json"
    server.files[path] = repodata(DEMO)
    runs.files(f"{server.base}/forge")
    server.files[path] = b"{"
    with pytest.raises(SourceUnreachable):
        runs.files(f"{server.base}/forge", refresh=True)
    assert runs.files(f"{server.base}/forge", offline=True) == ["demo-1.0-h_0.conda"]


def shard_of(server: ChannelServer) -> str:
    return next(path for path in server.files if "repodata" not in path)


@pytest.mark.parametrize("change", ["other bytes", "gone", "truncated"])
def test_a_shard_with_another_digest_than_in_the_index_is_refused(
    server: ChannelServer, runs: Runs, change: str
) -> None:
    server.files = shards(LINUX, {"demo": DEMO})
    path = shard_of(server)
    if change == "gone":
        del server.files[path]
    else:
        body = server.files[path]
        server.files[path] = body[:-1] if change == "truncated" else body[:-1] + bytes([body[-1] ^ 1])
    reason = "HTTP 404" if change == "gone" else "it does not match its digest"
    with pytest.raises(SourceUnreachable, match=f"the shard of demo, from forge: {reason}") as caught:
        runs.files(f"{server.base}/forge")
    assert path.rpartition("/")[2] in str(caught.value)


def test_a_shard_may_contain_only_its_own_name(server: ChannelServer, runs: Runs) -> None:
    server.files = shards(LINUX, {"demo": entry("python", "3.12") | DEMO})
    assert runs.files(f"{server.base}/forge") == ["demo-1.0-h_0.conda"]
    (warning,) = runs.progress.warnings
    assert warning.startswith("forge/linux-64/python-3.12-h_0.conda is left out: ")
    assert "the channel lists it as a file of 'demo'" in warning


def test_a_cached_shard_may_contain_only_its_own_name(server: ChannelServer, runs: Runs) -> None:
    """The index of another channel gives one name the shard of another, which the cache has under its digest."""
    server.files = shards(LINUX, {"demo": DEMO})
    assert runs.files(f"{server.base}/forge") == ["demo-1.0-h_0.conda"]
    server.files |= shards(LINUX.replace("forge", "other"), {"python": DEMO})
    with runs.open(f"{server.base}/other") as channels:
        assert channels.records("other", "linux-64", "python") == ()
        assert channels.lists("other", "linux-64", "python")
    assert "lists it as a file of 'python'" in runs.progress.warnings[0]


@pytest.mark.parametrize("base", ["file:///etc/", "ftp://x.example/", "//[bad/"])
def test_a_channel_cannot_refer_to_files_of_this_machine(server: ChannelServer, runs: Runs, base: str) -> None:
    server.files = shards(LINUX, {"demo": DEMO}, base_url=base, shards_base_url=base)
    with runs.open(f"{server.base}/forge") as channels:
        with pytest.raises(SourceUnreachable, match="its base URL cannot be used"):
            found(channels.repodata("linux-64"), "demo")
        with pytest.raises(SourceUnreachable, match=r"linux-64/demo-1.0-h_0.conda from forge: its base URL"):
            channels.subdir("forge", "linux-64").file_url("demo-1.0-h_0.conda")


def test_an_unusable_record_is_reported_only_if_it_is_reached(server: ChannelServer, runs: Runs) -> None:
    server.files[f"{LINUX}/repodata.json"] = repodata(DEMO | entry("liar", "1.0", sha256="00"))
    with runs.open(f"{server.base}/forge") as channels:
        view = channels.repodata("linux-64")
        assert len(found(view, "demo")) == 1
        assert runs.progress.warnings == []
        assert found(view, "liar") == []
        assert "forge/linux-64/liar-1.0-h_0.conda is left out: its sha256" in runs.progress.warnings[0]


def test_a_record_that_is_not_json_is_named_only_when_it_is_reached(server: ChannelServer, runs: Runs) -> None:
    table = {file: record for name in "abcd" for file, record in entry(name, "1.0").items()}
    body = msgspec.json.encode(json.loads(repodata(table)))
    assert b'"name":"b"' in body
    server.files[f"{LINUX}/repodata.json"] = body.replace(b'"name":"b"', b'"name":bee')
    with runs.open(f"{server.base}/forge") as channels:
        view = channels.repodata("linux-64")
        assert [len(found(view, name)) for name in "acd"] == [1, 1, 1]
        with pytest.raises(RecordUnusable, match=r"the record of forge/linux-64/b-1.0-h_0.conda .*it is not JSON"):
            found(view, "b")


def test_names_stay_in_the_cache_folder(server: ChannelServer, runs: Runs) -> None:
    odd = {"../../../x-1-0.conda": DEMO["demo-1.0-h_0.conda"], "nodashes.conda": {}, '\n"\\-1-0.conda': {}}
    server.files[f"{LINUX}/repodata.json"] = repodata(DEMO | odd)
    assert runs.files(f"{server.base}/forge") == ["demo-1.0-h_0.conda"]
    assert runs.files(f"{server.base}/forge", "../../../x") == []
    assert {path.name for path in runs.folder.parent.iterdir()} == {"cache"}


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "state"])
def test_a_damaged_cache_is_repaired(server: ChannelServer, runs: Runs, damage: str) -> None:
    server.files[f"{LINUX}/repodata.json"] = repodata(DEMO)
    forge = f"{server.base}/forge"
    runs.files(forge)
    path = next(runs.folder.rglob("linux-64.json" if damage == "state" else "linux-64-*.slices"))
    data = path.read_bytes()
    changed = data.replace(b'"1.0"', b'"6.6"')
    path.write_bytes({"cut": data[:-4], "changed": changed, "empty": b"", "state": data[:-4]}[damage])
    assert runs.files(forge) == ["demo-1.0-h_0.conda"]


def test_a_damaged_copy_of_a_channel_that_has_changed_since_ends_the_run(server: ChannelServer, runs: Runs) -> None:
    server.files[f"{LINUX}/repodata.json"] = repodata(DEMO | entry("other", "3.0"))
    forge = f"{server.base}/forge"
    runs.files(forge)
    path = next(runs.folder.rglob("linux-64-*.slices"))
    path.write_bytes(path.read_bytes().replace(b'"1.0"', b'"6.6"'))
    server.files[f"{LINUX}/repodata.json"] = repodata(DEMO)
    with runs.open(forge) as channels:
        view = channels.repodata("linux-64")
        assert found(view, "other")
        with pytest.raises(SourceUnreachable, match="was damaged, and the channel has changed since"):
            found(view, "demo")
    assert runs.files(forge) == ["demo-1.0-h_0.conda"]


def test_a_damaged_shard_in_the_cache_is_fetched_again(server: ChannelServer, runs: Runs) -> None:
    server.files = shards(LINUX, {"demo": DEMO})
    forge = f"{server.base}/forge"
    runs.files(forge)
    path = next(path for path in (runs.folder / "repodata" / "shards-2").rglob("*") if path.is_file())
    path.write_bytes(path.read_bytes().replace(b'"1.0"', b'"6.6"'))
    with runs.open(forge) as channels:
        assert [record.version for record in found(channels.repodata("linux-64"), "demo")] == ["1.0"]


def test_a_cache_that_cannot_be_written_is_an_error(server: ChannelServer, tmp_path: Path) -> None:
    server.files[f"{LINUX}/repodata.json"] = repodata(DEMO)
    (tmp_path / "cache").write_bytes(b"a file, not a folder")
    with pytest.raises(SourceUnreachable, match="the cache folder cannot be written"):
        Runs(tmp_path / "cache").files(f"{server.base}/forge")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    "name version build build_number depends constrains track_features timestamp size sha256 md5 noarch".split()  # noqa: SIM905
)


@given(
    st.dictionaries(st.sampled_from(["demo-1.0-h_0.conda", "demo-1.0-h_0.tar.bz2", "x"]), st.dictionaries(KEYS, JSON))
)
def test_records_of_any_types_are_read_or_refused(table: dict[str, dict[str, Any]]) -> None:
    try:
        decode_records(json.dumps(table).encode(), "forge", "linux-64")
    except RecordUnusable as error:
        assert str(error).startswith("the record of forge/linux-64/")


@given(st.binary(max_size=200))
def test_any_bytes_are_indexed_or_refused(data: bytes) -> None:
    """No error except ValueError is raised, whatever the bytes are."""
    for read in (
        cut_whole,
        index_shards,
        records_of_shard,
        lambda data: list(decompress(BytesIO(data), len(data), Bounds(99, 200, 99))),
    ):
        try:
            read(data)
        except ValueError:
            pass


@given(st.data())
def test_a_changed_byte_in_slices_is_detected_or_harmless(data: st.DataObject) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.slices"
        with atomic_file(path) as file:
            file.write(b"aaaaabbbbbccccc")
            append_index(file, [("a", 0, 5), ("bb", 5, 10), ("ccc", 10, 15)], b"{}")
        whole = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] ^= data.draw(st.integers(1, 255))
        path.write_bytes(whole)
        try:
            slices = Slices(path)
            for name in ("a", "bb", "ccc"):
                assert slices.get(name) == [name[:1].encode() * 5]
            slices.names()
        except Damaged:
            pass


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (rb'{"x-1-0.conda":5,"y-1-0.conda":{}}', {"x": {"x-1-0.conda": 5}, "y": {"y-1-0.conda": {}}}),
        (rb'{"x-1-0.conda":{},"x-2-0\u0041.conda":{}}', {"x": {"x-1-0.conda": {}, "x-2-0A.conda": {}}}),
        ('{"x-1-0.conda":{},"x-2-0é.conda":{}}'.encode(), {"x": {"x-1-0.conda": {}}}),
        (rb'{"x-1-0.conda":{}, "x-2-0.conda":{}}', {"x": {"x-1-0.conda": {}, "x-2-0.conda": {}}}),
        (rb'{"x-1-0.conda":1,"x-1-0.conda":12,"z-1-0.conda":3}', {"x": {"x-1-0.conda": 12}, "z": {"z-1-0.conda": 3}}),
    ],
    ids=["no table", "escaped", "not ASCII", "white space", "twice"],
)
def test_a_table_with_an_odd_layout_is_indexed_correctly(table: bytes, expected: dict[str, Any]) -> None:
    data = b'{"v3":{"conda":{"x-1-0.conda":{}}},"packages":{},"packages.conda":%b}' % table
    cut = cut_whole(data)
    text = cut.data if cut.data is not None else data
    found: dict[str, dict[str, Any]] = {}
    for name, start, stop in cut.spans:
        found.setdefault(name, {}).update(json.loads(b"{%b}" % text[start:stop]))
    assert found == expected
