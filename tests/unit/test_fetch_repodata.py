"""Repodata through `Channels`: every kind of file, from a server and from disk, and the cache between runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from envc.errors import OfflineMiss, SourceUnreachable, UsageError
from envc.fetch.conda.channel_locations import CHANNELS_URL, known_channel, resolve_channels
from envc.fetch.conda.channels import Channels
from envc.fetch.conda.subdir import FILES
from envc.fetch.net.credentials import Keyring
from envc.model.manifest import Source
from envc.model.progress import Silent
from envc.system.drafts import file_draft
from envc_solvers.conda.language.index import Repodata
from envc_solvers.conda.language.record import Record
from tests.support.channel_server import BUILT, ChannelServer, entry, packed, repodata, shards
from tests.support.fetching import fetching

NOW = 1_800_000_000
LINUX = "/forge/linux-64"
DEMO = entry("demo", "1.0", depends=["other >=1"]) | entry("demo", "2.0") | entry("other", "1.0")


@pytest.fixture
def server() -> Iterator[ChannelServer]:
    with ChannelServer({f"{LINUX}/repodata.json.zst": packed(repodata(DEMO))}) as server:
        yield server


class Runs:
    """Runs over one cache folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.progress = Silent()

    def open(self, *channels: str, now: int = NOW, **options: Any) -> Channels:
        keyring = Keyring()
        places = resolve_channels(channels, {}, keyring)
        return Channels(places, fetching(self.folder, self.progress, now=now, keyring=keyring, **options))

    def files(self, channel: str, name: str = "demo", **options: Any) -> list[str]:
        """Return the files of a name on linux-64 in one run."""
        with self.open(channel, **options) as channels:
            return [record.file for record in found(channels.repodata("linux-64"), name)]


def found(repodata: Repodata, name: str, channel: str = "forge") -> list[Record]:
    return [record for subdir in repodata.subdirs(channel) for record in repodata.records(channel, subdir, name)]


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "cache")


@pytest.fixture
def forge(server: ChannelServer) -> str:
    return f"{server.base}/forge"


TWO = ["demo-1.0-h_0.conda", "demo-2.0-h_0.conda"]


@pytest.mark.parametrize("kind", ["shards", "zst", "json"])
@pytest.mark.parametrize("place", ["server", "disk"])
def test_every_kind_of_file_has_the_same_records(tmp_path: Path, runs: Runs, kind: str, place: str) -> None:
    """Shards and repodata that conda-index wrote for the same packages."""
    folder = tmp_path / "forge"
    shutil.copytree(BUILT, folder)
    for path in folder.rglob("*.*"):
        shown = {"zst": "repodata.json.zst", "json": "repodata.json"}.get(kind)
        if path.is_file() and (path.name != shown if shown else not path.name.endswith(".msgpack.zst")):
            path.unlink()
    with ChannelServer() as server:
        server.add_folder("forge", folder)
        with runs.open(f"{server.base}/forge" if place == "server" else str(folder)) as channels:
            view = channels.repodata("linux-64")
            assert view.subdirs("forge") == ("linux-64", "noarch")
            assert view.names("forge", "linux-64") == {"harbour", "pier"}
            old, new = found(view, "harbour")
            # The .tar.bz2 of version 1.0 has a .conda twin, so it is left out.
            assert (old.file, new.file) == ("harbour-1.0-h1_0.conda", "harbour-1.1-h2_1.conda")
            assert (new.depends, new.constrains) == (("pier >=1.1,<2", "tide"), ("storm <3",))
            assert new.sha256 == "9f86993a1936d42e4cbaa70f6bcf392c5806b4fc824fd12756850bd63ccbe385"
            assert new.timestamp == 1_700_000_000_001
            assert {record.file: record.track_features for record in found(view, "pier")} == {
                "pier-0.9-h5_0.tar.bz2": ("wood", "rope"),
                "pier-1.0-h3_0.conda": (),
                "pier-1.1-h4_0.conda": (),
            }
            (tide,) = found(view, "tide")
            assert (tide.subdir, tide.noarch) == ("noarch", "python")
            assert found(view, "absent") == []
        # A second run finds everything in the cache.
        server.log.clear()
        with runs.open(f"{server.base}/forge" if place == "server" else str(folder), offline=True) as channels:
            assert found(channels.repodata("linux-64"), "harbour") == [old, new]
        assert server.log == []


def test_the_best_kind_is_looked_for_first_and_remembered(server: ChannelServer, forge: str, runs: Runs) -> None:
    assert runs.files(forge) == TWO
    requested = [path for path in server.paths if path.startswith(LINUX)]
    assert requested == [f"{LINUX}/repodata_shards.msgpack.zst", f"{LINUX}/repodata.json.zst"]
    server.log.clear()
    assert runs.files(forge, now=NOW + 700) == TWO
    assert [each for each in server.log if each[0].startswith(LINUX)] == [(f"{LINUX}/repodata.json.zst", 304)]
    # After a week envc looks for a better kind again.
    server.log.clear()
    server.files |= shards(LINUX, {"demo": entry("demo", "3.0")})
    assert runs.files(forge, now=NOW + 8 * 86_400) == ["demo-3.0-h_0.conda"]


def test_a_kind_that_disappeared_is_replaced_by_another(server: ChannelServer, forge: str, runs: Runs) -> None:
    assert runs.files(forge) == TWO
    server.files = {f"{LINUX}/repodata.json": repodata(entry("demo", "4.0"))}
    assert runs.files(forge, now=NOW + 700) == ["demo-4.0-h_0.conda"]


def test_a_subdir_that_was_removed_ends_the_run(server: ChannelServer, forge: str, runs: Runs) -> None:
    """Only a 404 means that a channel lacks a subdir: the next channel must not take its place."""
    server.status = {f"{LINUX}/repodata_shards.msgpack.zst": 410}
    assert runs.files(forge) == TWO, "another kind of file may be there"
    server.status = {f"{LINUX}/{file}": 410 for file in FILES}
    with pytest.raises(SourceUnreachable, match="the repodata of linux-64 from forge: HTTP 410"):
        runs.files(forge, now=NOW + 700)


@pytest.mark.parametrize("etag", [True, False])
def test_nothing_is_requested_while_fresh_and_little_afterwards(
    server: ChannelServer, forge: str, runs: Runs, etag: bool
) -> None:
    server.etag = etag
    runs.files(forge)
    server.log.clear()
    assert runs.files(forge, now=NOW + 599) == TWO
    assert server.log == []
    assert runs.files(forge, now=NOW + 601) == TWO
    assert (f"{LINUX}/repodata.json.zst", 304) in server.log
    server.log.clear()
    assert runs.files(forge, now=NOW + 602, refresh=True) == TWO
    assert (f"{LINUX}/repodata.json.zst", 304) in server.log
    server.files[f"{LINUX}/repodata.json.zst"] = packed(repodata(entry("demo", "5.0")))
    if etag:
        assert runs.files(forge, now=NOW + 5000) == ["demo-5.0-h_0.conda"]
        assert len(list(runs.folder.rglob("linux-64-*.slices"))) == 1


def test_a_server_without_validators_sends_everything_again(server: ChannelServer, forge: str, runs: Runs) -> None:
    server.cache_control = "no-cache"
    runs.files(forge)
    state = next(runs.folder.rglob("linux-64.json"))
    state.write_bytes(state.read_bytes().replace(b'"etag":"', b'"etag":"W/other'))
    assert runs.files(forge) == TWO
    assert server.log.count((f"{LINUX}/repodata.json.zst", 200)) == 2


def test_offline_uses_the_cache_whatever_its_age(server: ChannelServer, forge: str, runs: Runs) -> None:
    with pytest.raises(OfflineMiss, match=r"the repodata of forge/linux-64 is not in the cache"):
        runs.files(forge, offline=True)
    runs.files(forge)
    server.log.clear()
    assert runs.files(forge, now=NOW + 10**8, offline=True) == TWO
    assert server.log == []


def test_a_shard_that_was_never_fetched_is_an_error_offline(server: ChannelServer, forge: str, runs: Runs) -> None:
    server.files = shards(LINUX, {"demo": entry("demo", "1.0"), "other": entry("other", "1.0")})
    assert runs.files(forge) == ["demo-1.0-h_0.conda"]
    assert runs.files(forge, offline=True) == ["demo-1.0-h_0.conda"]
    with pytest.raises(OfflineMiss, match=r"the shard of other of forge/linux-64 is not in the cache"):
        runs.files(forge, "other", offline=True)


def test_only_reached_shards_are_fetched_and_concurrently(server: ChannelServer, forge: str, runs: Runs) -> None:
    wide = {f"leaf{number}": entry(f"leaf{number}", "1.0") for number in range(12)}
    root = entry("root", "1.0", depends=[f"{name} >=1" for name in wide])
    server.files = shards(LINUX, {"root": root, "far": entry("far", "1.0"), **wide})
    server.delay = 0.05
    with runs.open(forge) as channels:
        view = channels.repodata("linux-64")
        found(view, "root")
        # The dependencies of the newest build are prefetched.
        for name in wide:
            assert len(found(view, name)) == 1
    assert server.busiest > 4
    assert len([path for path, status in server.log if "_shards" not in path and status == 200]) == 13


def test_shards_and_packages_may_be_on_another_server(server: ChannelServer, forge: str, runs: Runs) -> None:
    server.files = shards(LINUX, {"demo": entry("demo", "1.0")}, shards_base_url="../shards/", base_url="../../pool")
    server.files = {path.replace("linux-64/../", ""): body for path, body in server.files.items()}
    assert runs.files(forge) == ["demo-1.0-h_0.conda"]
    with runs.open(forge, offline=True) as channels:
        opened = channels.subdir("forge", "linux-64")
        assert opened.file_url("demo-1.0-h_0.conda") == f"{server.base}/pool/demo-1.0-h_0.conda"


def test_packages_are_next_to_their_repodata_unless_it_states_a_base_url(
    server: ChannelServer, forge: str, runs: Runs
) -> None:
    with runs.open(forge) as channels:
        assert channels.subdir("forge", "linux-64").file_url("a-1-0.conda") == f"{forge}/linux-64/a-1-0.conda"
    elsewhere = repodata(DEMO, info={"base_url": "https://files.example/x"})
    server.files[f"{LINUX}/repodata.json.zst"] = packed(elsewhere)
    with runs.open(forge, refresh=True) as channels:
        assert channels.subdir("forge", "linux-64").file_url("a-1-0.conda") == "https://files.example/x/a-1-0.conda"


def test_removed_files_and_twins_are_omitted(server: ChannelServer, forge: str, runs: Runs) -> None:
    old = {"demo-1.0-h_0.tar.bz2": DEMO["demo-1.0-h_0.conda"], "demo-0.5-h_0.tar.bz2": {"version": "0.5"}}
    old["demo-0.5-h_0.tar.bz2"] = DEMO["demo-1.0-h_0.conda"] | {"version": "0.5"}
    body = repodata(DEMO, old, removed=["demo-2.0-h_0.conda", "never-was-here.conda"])
    server.files[f"{LINUX}/repodata.json.zst"] = packed(body)
    assert runs.files(forge) == ["demo-0.5-h_0.tar.bz2", "demo-1.0-h_0.conda"]


def test_newer_records_are_left_out_with_one_warning(server: ChannelServer, forge: str, runs: Runs) -> None:
    newer: dict[str, Any] = {
        "packages.whl": {"demo-9.0-py3-none-any.whl": {}},
        "v3": {"whl": {"x.whl": {}}, "conda": None},
    }
    body = repodata(DEMO, **newer)
    server.files[f"{LINUX}/repodata.json.zst"] = packed(body)
    assert runs.files(forge) == TWO
    warning = "forge has records in newer formats than envc reads, which are left out: 2"
    assert runs.progress.warnings == [warning]
    runs.progress.warnings.clear()
    assert runs.files(forge, offline=True) == TWO
    assert runs.progress.warnings == [warning], "also if everything is in the cache"


def test_newer_records_in_shards_are_counted_for_the_names_that_are_looked_up(
    server: ChannelServer, forge: str, runs: Runs
) -> None:
    v3 = {"conda": {"demo-3.0-h_0": {}, "demo-3.1-h_0": {}}, "whl": {"demo-3.2-py3-none-any": {}}}
    named = {"demo": entry("demo", "1.0"), "far": entry("far", "1.0")}
    server.files = shards(LINUX, named, {"v3": v3})
    for offline in (False, True):
        assert runs.files(forge, offline=offline) == ["demo-1.0-h_0.conda"]
        assert runs.progress.warnings == [
            "forge has records in newer formats than envc reads, which are left out: 3 of the packages that were "
            "looked up"
        ]
        runs.progress.warnings.clear()


@pytest.mark.parametrize(
    ("more", "number"),
    [
        ({"v3": {"conda": {"demo-3.0-h_0": {}}, "tar.bz2": None, "about": "text"}}, 1),
        ({"v3": [1]}, 0),
        ({"v4": {"conda": {"demo-3.0-h_0": {}, "x-1-0": {}}}, "repodata_version": 4}, 2),
        ({"packages.new": {"demo-3.0-h_0.new": {}}, "repodata_version": 9}, 1),
        ({"signatures": {"demo-1.0-h_0.conda": {}}, "repodata_version": 2}, 0),
        ({"signatures": {"demo-1.0-h_0.conda": {}}, "repodata_version": "new"}, 1),
    ],
)
def test_tables_of_any_later_format_leave_the_others_usable(
    server: ChannelServer, forge: str, runs: Runs, more: dict[str, Any], number: int
) -> None:
    server.files[f"{LINUX}/repodata.json.zst"] = packed(repodata(DEMO, **more))
    assert runs.files(forge) == TWO
    text = f"forge has records in newer formats than envc reads, which are left out: {number}"
    assert runs.progress.warnings == ([text] if number else [])


@pytest.mark.parametrize("kind", ["plain", "indented", "shards"])
def test_an_archive_is_kept_beside_its_newer_twin_for_cut_offs(
    server: ChannelServer, forge: str, runs: Runs, kind: str
) -> None:
    old: dict[str, Any] = {}
    for version in ("0.0", "1.0", "2.0"):
        old |= {file.replace(".conda", ".tar.bz2"): record for file, record in entry("demo", version).items()}
    gone = ["demo-0.0-h_0.tar.bz2", "demo-0.0-h_0.conda"]
    new = DEMO | entry("demo", "0.0")
    if kind == "shards":
        server.files = shards(LINUX, {"demo": new}, {"packages": old, "removed": gone})
    else:
        body = repodata(new, old, removed=gone)
        plain = msgspec.json.encode(msgspec.json.decode(body))
        server.files = {f"{LINUX}/repodata.json": plain if kind == "plain" else body}
    for offline in (False, True):
        with runs.open(forge, offline=offline) as channels:
            view = channels.repodata("linux-64")
            assert [each.file for each in found(view, "demo")] == TWO
            archives = ["demo-1.0-h_0.tar.bz2", "demo-2.0-h_0.tar.bz2"]
            assert [each.file for each in view.archives("forge", "linux-64", "demo")] == archives
            assert view.archives("forge", "linux-64", "absent") == ()
            assert view.names("forge", "linux-64") <= {"demo", "other"}


def test_an_odd_record_is_left_out_with_a_warning(server: ChannelServer, forge: str, runs: Runs) -> None:
    odd = {"demo-3.0-h_0.conda": entry("liar", "3.0")["liar-3.0-h_0.conda"]} | entry("demo", "4..0")
    odd |= entry("lone", "1.0", sha256="00") | entry("other", "2.0", build="h 0")
    server.files[f"{LINUX}/repodata.json.zst"] = packed(repodata(DEMO | odd))
    with runs.open(forge) as channels:
        view = channels.repodata("linux-64")
        for _ in range(2):
            assert [record.file for record in found(view, "demo")] == TWO
            assert runs.progress.warnings == [
                "forge/linux-64/demo-3.0-h_0.conda is left out, and so is 1 more of demo: "
                "it names the package 'liar', and its file name another one"
            ]
        assert found(view, "lone") == []
        assert [view.lists("forge", "linux-64", name) for name in ("demo", "lone", "absent")] == [True, True, False]


def test_a_server_without_a_kind_of_file_may_say_so_in_any_way(server: ChannelServer, forge: str, runs: Runs) -> None:
    for number, status in enumerate((400, 403, 405, 410, 451, 501)):
        server.status = {f"{LINUX}/repodata_shards.msgpack.zst": status}
        assert runs.files(forge, refresh=True, now=NOW + number * 8 * 86_400) == TWO
        server.status = {f"{LINUX}/{file}": status for file in FILES}
        with pytest.raises(SourceUnreachable, match=f"HTTP {status}"):
            runs.files(forge, refresh=True)
    # A server that does not know shards may lack the whole subdir.
    server.files = {"/forge/noarch/repodata.json": repodata(DEMO)}
    server.status = {f"{LINUX}/repodata_shards.msgpack.zst": 501}
    assert runs.files(forge, refresh=True) == TWO


def test_a_page_for_people_is_not_taken_for_a_kind_of_file(server: ChannelServer, forge: str, runs: Runs) -> None:
    page = b"<!doctype html><title>Welcome</title>"
    server.files[f"{LINUX}/repodata_shards.msgpack.zst"] = page
    assert runs.files(forge) == TWO
    server.files |= {f"{LINUX}/repodata.json.zst": page, f"{LINUX}/repodata.json": repodata(entry("demo", "4.0"))}
    assert runs.files(forge, refresh=True) == ["demo-4.0-h_0.conda"]
    server.files |= {f"{LINUX}/repodata.json": page}
    with pytest.raises(SourceUnreachable, match="linux-64/repodata"):
        runs.files(forge, refresh=True)


def test_one_missing_subdir_is_empty_but_two_are_an_error(server: ChannelServer, forge: str, runs: Runs) -> None:
    with runs.open(forge) as channels:
        view = channels.repodata("linux-64")
        assert view.records("forge", "noarch", "demo") == ()
        assert view.names("forge", "noarch") == frozenset()
        assert view.digest("forge", "noarch") == ""
        with pytest.raises(SourceUnreachable, match="it has neither osx-64 nor noarch"):
            channels.repodata("osx-64").subdirs("forge")


def test_the_digest_identifies_the_content(server: ChannelServer, forge: str, runs: Runs) -> None:
    with runs.open(forge) as channels:
        first = channels.repodata("linux-64").digest("forge", "linux-64")
    server.files[f"{LINUX}/repodata.json.zst"] = packed(repodata(entry("demo", "5.0")))
    with runs.open(forge, refresh=True) as channels:
        second = channels.repodata("linux-64").digest("forge", "linux-64")
    assert len(first) == len(second) == 64
    assert first != second


def test_a_channel_on_disk_is_read_again_when_its_files_change(tmp_path: Path, runs: Runs) -> None:
    path = tmp_path / "forge" / "linux-64" / "repodata.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(repodata(DEMO))
    assert runs.files(str(tmp_path / "forge")) == TWO
    path.write_bytes(repodata(entry("demo", "5.0")))
    assert runs.files(str(tmp_path / "forge")) == ["demo-5.0-h_0.conda"]
    with pytest.raises(SourceUnreachable, match="there is no such folder"):
        runs.files(str(tmp_path / "elsewhere" / "forge"))


def test_threads_share_the_work(server: ChannelServer, forge: str, runs: Runs) -> None:
    server.delay = 0.02
    with runs.open(forge) as channels, ThreadPoolExecutor(8) as pool:
        view = channels.repodata("linux-64")
        assert set(pool.map(lambda _: len(found(view, "demo")), range(32))) == {2}
    assert server.log.count((f"{LINUX}/repodata.json.zst", 200)) == 1


SCRIPT = """
import sys
from pathlib import Path
from envc.fetch.conda.channel_locations import resolve_channels
from envc.fetch.context import FetchContext
from envc.fetch.net.settings import FetchSettings
from envc.fetch.net.credentials import Keyring
from envc.fetch.net.http import Client
from envc.fetch.conda.channels import Channels
from envc.model.progress import Silent

keyring = Keyring()
places = resolve_channels([sys.argv[2]], {}, keyring)
settings = FetchSettings(cache=Path(sys.argv[1]))
client, now = Client(keyring), int(sys.argv[3])
context = FetchContext(settings=settings, keyring=keyring, client=client, progress=Silent(), now=now)
with Channels(places, context) as channels:
    view = channels.repodata("linux-64")
    names = sorted(view.names("forge", "linux-64"))
    print(sum(len(view.records("forge", "linux-64", name)) for name in names))
"""


def test_processes_share_a_cache_and_a_killed_one_leaves_it_intact(
    server: ChannelServer, forge: str, tmp_path: Path
) -> None:
    many: dict[str, Any] = {}
    for number in range(3000):
        many |= entry(f"package{number}", "1.0", depends=["x" * 200])
    server.files[f"{LINUX}/repodata.json.zst"] = packed(repodata(many))

    def start(now: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SCRIPT, str(tmp_path), forge, str(now)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    for delay in (0.15, 0.25):
        victim = start(NOW)
        time.sleep(delay)
        victim.kill()
        victim.communicate()
    together = [start(NOW + number * 10_000) for number in range(4)]
    for process in together:
        output, errors = process.communicate(timeout=60)
        assert (output.strip(), errors) == ("3000", "")


def test_files_of_interrupted_runs_are_deleted(server: ChannelServer, forge: str, runs: Runs) -> None:
    runs.files(forge)
    folder = next(runs.folder.rglob("linux-64.json")).parent
    left, also_left, recent = (folder / file_draft(name) for name in ("", "linux-64.json", "linux-64.json"))
    strangers = [folder / name for name in ("a.partial", ".a.0123.partial", "linux-64-notes.slices", "notes")]
    for path in (left, also_left, recent, *strangers):
        path.write_bytes(b"half")
        if path != recent:
            os.utime(path, (1, 1))
    server.files[f"{LINUX}/repodata.json.zst"] = packed(repodata(entry("demo", "5.0")))
    runs.files(forge, refresh=True)
    assert not left.exists() and not also_left.exists()
    assert all(path.exists() for path in (recent, *strangers))


def test_channel_names_paths_and_urls(tmp_path: Path) -> None:
    keyring = Keyring()
    sources = {
        "conda-forge": Source(name="conda-forge", kind="conda"),
        "internal": Source(name="internal", kind="conda", url="https://me:secret@conda.example/team/"),
        "local": Source(name="local", kind="conda", url="built"),
    }
    named = ["conda-forge", "bioconda/label/dev", "internal", "local", "./mine", "https://other.example/x/y/?q#f"]
    places = resolve_channels(named, sources, keyring, root=tmp_path)
    assert {name: place.url for name, place in places.items()} == {
        "conda-forge": f"{CHANNELS_URL}/conda-forge",
        "bioconda/label/dev": f"{CHANNELS_URL}/bioconda/label/dev",
        "internal": "https://conda.example/team",
        "local": (tmp_path / "built").as_uri(),
        "mine": (tmp_path / "mine").as_uri(),
        "y": "https://other.example/x/y",
    }
    assert places["local"].folder == tmp_path / "built"
    assert keyring.login("https://conda.example/team/linux-64/x") is not None
    assert not any("secret" in repr(place) for place in places.values())
    tokens = (["https://x.example/t/secret/y"], ["t/secret/y"], ["https://me:secret@x.example/t/secret"])
    for wrong in (["ftp://me:secret@x.example/y"], ["/a/mine", "/b/mine"], ["https://"], ["http://[x"], *tokens):
        with pytest.raises(UsageError) as caught:
            resolve_channels(wrong, {}, keyring)
        assert "secret" not in str(caught.value)


def test_specs_give_channels_by_name_or_url() -> None:
    places = resolve_channels(["conda-forge", "https://other.example/x/y"], {}, Keyring())
    assert (
        known_channel("conda-forge", places) == known_channel(f"{CHANNELS_URL}/conda-forge/", places) == "conda-forge"
    )
    assert known_channel("https://me:secret@other.example/x/y", places) == known_channel("y", places) == "y"
    for wrong in ("bioconda", "https://me:secret@third.example/y", "https://other.example/t/secret/x/y", "t/secret/y"):
        with pytest.raises(UsageError, match="is not in use") as caught:
            known_channel(wrong, places)
        assert "secret" not in str(caught.value)


def test_a_channel_with_a_login(server: ChannelServer, runs: Runs) -> None:
    server.auth = "Basic bWU6c2VjcmV0"
    forge = f"{server.base}/forge"
    assert runs.files(forge.replace("://", "://me:secret@")) == TWO
    with pytest.raises(SourceUnreachable, match="HTTP 401"):
        runs.files(forge, refresh=True)
    kept = b"".join(path.read_bytes() for path in runs.folder.rglob("*") if path.is_file())
    assert b"secret" not in kept and b"127.0.0.1" not in kept
