"""Downloads are verified and resumed, and cached files are verified again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from envc.errors import DigestMismatch, OfflineMiss, SourceUnreachable, Unwritable, UsageError
from envc.fetch.pypi.indexes import Indexes
from envc.model.digest import Sha256, sha256
from envc.model.environment import EnvironmentMember
from envc.model.manifest import Source
from envc.model.progress import Silent, Task
from tests.support.fetching import fetching
from tests.support.servers import IndexServer
from tests.support.wheels import Distribution, build_wheel

# Incompressible, so that cuts fall inside it, and longer than one chunk.
_NOISE = b"".join(bytes.fromhex(sha256(str(number).encode())) for number in range(10_000))


class Counted(Silent):
    """Progress that counts."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.done_so_far = 0

    def task(self, label: str, total: int | None = None, unit: str = "") -> Task:
        if unit == "B":
            self.total += total or 0
            return _CountedTask(self)
        return super().task(label, total, unit)


class _CountedTask:
    def __init__(self, progress: Counted) -> None:
        self._progress = progress

    def advance(self, amount: int = 1) -> None:
        self._progress.done_so_far += amount

    def grow(self, amount: int) -> None:
        self._progress.total += amount

    def done(self) -> None:
        pass


@pytest.fixture
def server() -> Iterator[IndexServer]:
    with IndexServer([build_wheel("demo", "1.0"), build_wheel("big", "1.0", files={"big.bin": _NOISE})]) as server:
        yield server


class Runs:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.progress = Counted()

    def open(self, url: str, **options: Any) -> Indexes:
        return Indexes(
            {"pypi": Source(name="pypi", kind=options.pop("kind", "pypi"), url=url)},
            fetching(self.folder, self.progress, now=options.pop("now", 1_800_000_000), **options),
        )

    def fetch(self, url: str, *wheels: Distribution, **options: Any) -> dict[str, bytes]:
        with self.open(url, **options) as origins:
            members = [member(wheel) for wheel in wheels]
            return {found.name: path.read_bytes() for found, path in origins.artifacts.fetch(members)}

    def files(self) -> list[str]:
        """Names of the files below the cache's artifacts."""
        folder = self.folder / "artifacts"
        return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "cache")


def member(wheel: Distribution, **changes: Any) -> EnvironmentMember:
    facts: dict[str, Any] = {"size": wheel.size, "sha256": Sha256(wheel.sha256)} | changes
    return EnvironmentMember(
        kind="pypi", name=wheel.project, version=wheel.version, source="pypi", file=wheel.file, layout="any", **facts
    )


def wheel_of(server: IndexServer, name: str) -> Distribution:
    wheel = server.file(f"{name}-1.0-py3-none-any.whl")
    assert wheel is not None
    return wheel


def test_files_arrive_verified_and_are_counted_by_bytes(server: IndexServer, runs: Runs) -> None:
    demo, big = wheel_of(server, "demo"), wheel_of(server, "big")
    assert runs.fetch(server.url, demo, big) == {"demo": demo.data, "big": big.data}
    assert runs.progress.total == runs.progress.done_so_far == demo.size + big.size
    assert runs.files() == [big.file, demo.file]


def test_cached_files_need_no_network(server: IndexServer, runs: Runs) -> None:
    demo = wheel_of(server, "demo")
    runs.fetch(server.url, demo)
    server.stop()
    assert runs.fetch(server.url, demo) == {"demo": demo.data}
    assert runs.fetch(server.url, demo, offline=True) == {"demo": demo.data}


def test_a_poisoned_cache_is_detected_and_replaced(server: IndexServer, runs: Runs) -> None:
    demo = wheel_of(server, "demo")
    runs.fetch(server.url, demo)
    [path] = (runs.folder / "artifacts").rglob("*.whl")
    path.write_bytes(demo.data[:-1] + b"!")
    assert runs.fetch(server.url, demo) == {"demo": demo.data}
    assert server.requests_for(f"/files/{demo.file}") == 2


def test_wrong_bytes_are_refused_and_not_kept(server: IndexServer, runs: Runs) -> None:
    demo = wheel_of(server, "demo")
    server.behaviour.corrupt = {demo.file}
    with pytest.raises(DigestMismatch, match=r"demo-1\.0-py3-none-any\.whl of demo 1\.0, from pypi, does not match"):
        runs.fetch(server.url, demo)
    assert runs.files() == []


@pytest.mark.parametrize("change", [-1, 1, 1000])
def test_a_file_of_another_size_is_refused(server: IndexServer, runs: Runs, change: int) -> None:
    demo = wheel_of(server, "demo")
    with runs.open(server.url) as origins, pytest.raises(DigestMismatch, match="bytes where"):
        list(origins.artifacts.fetch([member(demo, size=demo.size + change)]))
    assert runs.files() == []


def test_an_endless_download_stops_at_the_stated_size(server: IndexServer, runs: Runs) -> None:
    demo = wheel_of(server, "demo")
    server.behaviour.bodies = {f"/files/{demo.file}": ("application/octet-stream", b"x" * 50_000_000)}
    with pytest.raises(DigestMismatch):
        runs.fetch(server.url, demo)
    assert runs.progress.done_so_far < 1_000_000


@pytest.mark.parametrize("ranges", ["honoured", "ignored", "refused"])
def test_a_cut_download_is_resumed(server: IndexServer, runs: Runs, ranges: Any) -> None:
    big = wheel_of(server, "big")
    server.behaviour.ranges = ranges
    server.behaviour.cut = {big.file: 200_000}
    assert runs.fetch(server.url, big) == {"big": big.data}
    assert runs.progress.done_so_far == big.size
    requests = [request for request in server.log if request.path == f"/files/{big.file}"]
    assert requests[1].headers["range"].startswith("bytes=")
    assert requests[1].headers["if-range"].startswith('"')
    assert (requests[1].status == 206) == (ranges == "honoured")


def test_an_interrupted_download_is_resumed_by_the_next_run(server: IndexServer, runs: Runs) -> None:
    big = wheel_of(server, "big")
    partial = runs.folder / "artifacts" / "partial" / big.sha256
    partial.parent.mkdir(parents=True)
    partial.write_bytes(big.data[:150_000])
    assert runs.fetch(server.url, big) == {"big": big.data}
    assert server.log[-1].headers["range"] == "bytes=150000-"
    assert not partial.exists()


@pytest.mark.parametrize("length", [10, 150_000, 10_000_000])
def test_a_damaged_leftover_does_no_harm(server: IndexServer, runs: Runs, length: int) -> None:
    big = wheel_of(server, "big")
    partial = runs.folder / "artifacts" / "partial" / big.sha256
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"\0" * length)
    assert runs.fetch(server.url, big) == {"big": big.data}


def test_a_download_that_is_always_cut_is_given_up(server: IndexServer, runs: Runs) -> None:
    demo = wheel_of(server, "demo")
    with runs.open(server.url) as origins:
        server.behaviour.ranges = "ignored"

        class Always(dict[str, int]):
            def pop(self, key: str, default: Any = None) -> Any:
                return 5 if key == demo.file else default

        server.behaviour.cut = Always()
        with pytest.raises(SourceUnreachable, match="the download broke off 5 times"):
            origins.artifacts.get(member(demo))


def test_a_file_that_left_its_page_is_reported_as_gone(server: IndexServer, runs: Runs) -> None:
    demo = wheel_of(server, "demo")
    server.remove(demo.file)
    server.add(build_wheel("demo", "2.0"))
    with pytest.raises(SourceUnreachable, match="its page does not list it with the locked digest") as caught:
        runs.fetch(server.url, demo)
    assert caught.value.hint is not None and "--upgrade" in caught.value.hint


def test_an_old_page_is_enough_to_find_a_file(server: IndexServer, runs: Runs) -> None:
    demo = wheel_of(server, "demo")
    with runs.open(server.url) as origins:
        origins.files("pypi", "demo")
    server.forget()
    runs.fetch(server.url, demo, now=1_900_000_000)
    assert server.paths == [f"/files/{demo.file}"]


def test_an_old_page_without_the_file_is_fetched_again(server: IndexServer, runs: Runs) -> None:
    with runs.open(server.url) as origins:
        origins.files("pypi", "demo")
    newer = server.add(build_wheel("demo", "2.0"))
    assert runs.fetch(server.url, newer, now=1_900_000_000) == {"demo": newer.data}


def test_a_page_without_digests_is_enough(server: IndexServer, runs: Runs) -> None:
    server.behaviour.hashes = server.behaviour.sizes = False
    demo = wheel_of(server, "demo")
    assert runs.fetch(server.url, demo) == {"demo": demo.data}


def test_offline_names_the_file(server: IndexServer, runs: Runs) -> None:
    demo = wheel_of(server, "demo")
    with runs.open(server.url) as origins:
        origins.files("pypi", "demo")
    with pytest.raises(OfflineMiss, match=r"demo-1\.0-py3-none-any\.whl of demo 1\.0 is not in the cache"):
        runs.fetch(server.url, demo, offline=True)


def test_files_from_a_folder_are_verified_too(runs: Runs, tmp_path: Path) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    wheel = build_wheel("demo", "3.0")
    path = wheel.write(folder)
    assert runs.fetch(str(folder), wheel, kind="find-links", offline=True) == {"demo": wheel.data}
    [cached] = (runs.folder / "artifacts").rglob("*.whl")
    cached.unlink()
    path.write_bytes(build_wheel("demo", "3.0", requires=["sneaky"]).data)
    with pytest.raises(DigestMismatch):
        runs.fetch(str(folder), wheel, kind="find-links")


@pytest.mark.parametrize("file", ["../../../victim", "/etc/victim", "..", "a\\..\\b", "", "x\0y", "C:victim"])
def test_a_lock_cannot_name_a_path_elsewhere(server: IndexServer, runs: Runs, file: str) -> None:
    runs.folder.mkdir()
    (runs.folder / "victim").write_text("precious")
    hostile = msgspec.structs.replace(member(wheel_of(server, "demo")), file=file)
    with runs.open(server.url) as origins, pytest.raises(UsageError, match="is not the name of an artifact"):
        list(origins.artifacts.fetch([hostile]))
    assert (runs.folder / "victim").read_text() == "precious"


def test_a_source_that_is_no_longer_declared_is_named(server: IndexServer, runs: Runs) -> None:
    orphan = msgspec.structs.replace(member(wheel_of(server, "demo")), source="former")
    with runs.open(server.url) as origins, pytest.raises(UsageError, match="there is no source former"):
        list(origins.artifacts.fetch([orphan]))


def test_redirects_are_followed(server: IndexServer, runs: Runs) -> None:
    demo = wheel_of(server, "demo")
    with IndexServer([demo]) as mirror:
        server.behaviour.redirect_files = mirror.base
        assert runs.fetch(server.url, demo) == {"demo": demo.data}
        assert mirror.requests_for(f"/files/{demo.file}") == 1


def test_a_cache_that_cannot_be_written_is_named(server: IndexServer, runs: Runs) -> None:
    runs.folder.mkdir()
    (runs.folder / "artifacts").write_text("a file where a folder should be")
    with pytest.raises(Unwritable, match="the cache in") as caught:
        runs.fetch(server.url, wheel_of(server, "demo"))
    assert caught.value.hint is not None and "ENVC_CACHE_DIR" in caught.value.hint


def test_the_first_failure_ends_a_fetch(server: IndexServer, runs: Runs) -> None:
    demo, big = wheel_of(server, "demo"), wheel_of(server, "big")
    server.behaviour.status = {f"/files/{big.file}": 403}
    with pytest.raises(SourceUnreachable, match="HTTP 403"):
        runs.fetch(server.url, demo, big)
