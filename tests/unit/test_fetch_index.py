"""Pages and metadata through `Indexes`, against a real server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from envc.errors import DigestMismatch, OfflineMiss, SourceUnreachable, UsageError
from envc.fetch.net.settings import FetchSettings
from envc.fetch.pypi.indexes import Indexes, ProjectIndex, SourceOrder
from envc.fetch.pypi.listing import JSON_TYPE
from envc.model.manifest import Source
from envc.model.progress import Silent
from envc_solvers.errors import MetadataUnusable, ProjectNotFound
from envc_solvers.pypi.language.requirement import Metadata, parse
from envc_solvers.target import Python, default_target
from tests.support.fetching import fetching
from tests.support.imports import assert_importable
from tests.support.servers import IndexServer
from tests.support.wheels import build_sdist, build_wheel

LINUX, WINDOWS = default_target("linux-64"), default_target("win-64")
PYTHON = Python(minor=(3, 12))
NOW = 1_800_000_000


@pytest.fixture
def server() -> Iterator[IndexServer]:
    with IndexServer() as server:
        server.add(build_wheel("demo", "1.0"))
        server.add(build_wheel("demo", "2.0", requires=["other>=2; python_version >= '3'", "never; os_name == 'nt'"]))
        server.add(build_wheel("other", "2.0"))
        yield server


class Runs:
    """Runs over one cache folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.progress = Silent()

    def open(self, *urls: str, now: int = NOW, sources: dict[str, Source] | None = None, **options: Any) -> Indexes:
        names = ["pypi", "second", "third"]
        found = sources or {n: Source(name=n, kind="pypi", url=url) for n, url in zip(names, urls, strict=False)}
        return Indexes(found, fetching(self.folder, self.progress, now=now, **options))

    def lock(self, *urls: str, **options: Any) -> dict[str, Metadata]:
        """Return the newest version of `demo` and its requirements, queried as by a solver."""
        with self.open(*urls, **options) as origins:
            return closure(origins.index(LINUX, PYTHON, SourceOrder(("pypi",))))


def closure(index: ProjectIndex) -> dict[str, Metadata]:
    index.expect([parse("demo")])
    found: dict[str, Metadata] = {}
    for name in ("demo", "other"):
        view = index.view(name)
        found[name] = index.metadata(view, view.releases[0].files[0])
        index.expect(found[name].requires)
    return found


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "cache")


def test_a_project_is_listed_newest_first(server: IndexServer, runs: Runs) -> None:
    server.add(build_wheel("demo", "10.0"))
    server.add(build_sdist("demo", "11.0"))
    with runs.open(server.url) as origins:
        index = origins.index(LINUX, PYTHON, SourceOrder(("pypi",)))
        assert [release.version for release in index.view("demo").releases] == ["10.0", "2.0", "1.0"]
        assert "demo-11.0.tar.gz" in [file.name for file in index.files("demo")]


@pytest.mark.parametrize("pages", ["json", "html"])
@pytest.mark.parametrize("ranges", ["honoured", "ignored", "refused"])
@pytest.mark.parametrize("metadata", ["advertised", "present", "absent"])
@pytest.mark.parametrize("sizes", [True, False])
def test_metadata_is_found_on_every_kind_of_server(
    server: IndexServer, runs: Runs, pages: Any, ranges: Any, metadata: Any, sizes: bool
) -> None:
    behaviour = server.behaviour
    behaviour.pages, behaviour.ranges, behaviour.metadata, behaviour.sizes = pages, ranges, metadata, sizes
    found = runs.lock(server.url)
    assert [str(requirement) for requirement in found["demo"].requires] == [
        'other>=2; python_version >= "3"',
        'never; os_name == "nt"',
    ]
    server.forget()
    assert runs.lock(server.url) == found
    assert server.paths == []


def test_an_advertised_sibling_is_the_only_request_for_metadata(server: IndexServer, runs: Runs) -> None:
    runs.lock(server.url)
    assert sorted(server.paths) == [
        "/files/demo-2.0-py3-none-any.whl.metadata",
        "/files/other-2.0-py3-none-any.whl.metadata",
        "/simple/demo/",
        "/simple/other/",
    ]


def test_metadata_of_a_large_wheel_is_read_from_its_end(server: IndexServer, runs: Runs) -> None:
    server.behaviour.metadata = "absent"
    noise = bytes(range(256)) * 4096
    wheel = build_wheel(
        "demo", "3.0", requires=["other"], files={f"demo/{n}.bin": noise for n in range(3)}, compression=0
    )
    server.add(wheel)
    assert str(runs.lock(server.url)["demo"].requires[0]) == "other"
    ranged = [request for request in server.log if request.path.endswith("demo-3.0-py3-none-any.whl")]
    assert ranged and all(request.status == 206 for request in ranged)


def test_a_warm_run_imports_no_network_code_and_sends_no_request(server: IndexServer, runs: Runs) -> None:
    runs.lock(server.url)
    server.forget()
    assert_importable(HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", WARM, str(runs.folder), server.url], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["demo", "2.0", "other", "2.0"]
    assert server.paths == []


HEAVY = {"urllib3", "unearth", "ssl", "filelock", "packaging", "envc.fetch.pypi.remote", "envc.fetch.pypi.metadata"}
WARM = f"""
import sys
from pathlib import Path
from envc.context import Context
from envc.fetch.context import fetch_context
from envc.fetch.pypi.indexes import Indexes, SourceOrder
from envc.fetch.net.settings import FetchSettings
from envc.model.manifest import Source
from envc.model.progress import Silent
from envc_solvers.target import Python, default_target

source = Source(name="pypi", kind="pypi", url=sys.argv[2])
settings = FetchSettings(cache=Path(sys.argv[1]))
environ = {{"ENVC_NOW": "2027-01-15T08:00:00Z", "ENVC_CACHE_DIR": sys.argv[1]}}
context = Context(environ=environ, cwd=Path(), progress=Silent())
assert context.now.timestamp() == {NOW}
with Indexes({{"pypi": source}}, fetch_context(settings, context)) as origins:
    index = origins.index(default_target("linux-64"), Python(minor=(3, 12)), SourceOrder(("pypi",)))
    for name in ("demo", "other"):
        view = index.view(name)
        print(name, index.metadata(view, view.releases[0].files[0]).version)
print(*sorted({HEAVY} & set(sys.modules)))
"""


def test_pages_are_used_without_a_request_while_they_are_fresh(server: IndexServer, runs: Runs) -> None:
    server.behaviour.cache_control = "max-age=100"
    runs.lock(server.url)
    server.forget()
    runs.lock(server.url, now=NOW + 99)
    assert server.paths == []
    runs.lock(server.url, now=NOW + 101)
    assert [request.status for request in server.log] == [304, 304]
    runs.lock(server.url, now=NOW + 200)  # a 304 made it fresh again
    assert len(server.log) == 2


def test_pages_without_cache_control_are_fresh_for_ten_minutes(server: IndexServer, runs: Runs) -> None:
    server.behaviour.cache_control = None
    runs.lock(server.url)
    server.forget()
    runs.lock(server.url, now=NOW + 599)
    assert server.paths == []
    runs.lock(server.url, now=NOW + 601)
    assert server.requests_for("/simple/demo/") == 1


def test_pages_without_an_etag_are_revalidated_by_their_date(server: IndexServer, runs: Runs) -> None:
    server.behaviour.etag = False
    server.behaviour.modified = "Mon, 01 Jun 2026 00:00:00 GMT"
    runs.lock(server.url)
    server.forget()
    runs.lock(server.url, now=NOW + 601)
    assert [request.status for request in server.log] == [304, 304]


@pytest.mark.parametrize("control", ["no-store", "max-age=600, no-cache"])
def test_pages_that_must_not_be_stored_are_always_requested(server: IndexServer, runs: Runs, control: str) -> None:
    server.behaviour.cache_control = control
    runs.lock(server.url)
    server.forget()
    runs.lock(server.url)
    assert server.requests_for("/simple/demo/") == 1


def test_pages_from_the_future_expire(server: IndexServer, runs: Runs) -> None:
    runs.lock(server.url)
    server.forget()
    runs.lock(server.url, now=NOW - 10_000)
    assert server.requests_for("/simple/demo/") == 1


def test_refresh_requests_every_page_and_no_metadata(server: IndexServer, runs: Runs) -> None:
    runs.lock(server.url)
    server.forget()
    runs.lock(server.url, refresh=True)
    assert sorted(server.paths) == ["/simple/demo/", "/simple/other/"]


def test_a_new_release_appears_once_its_page_is_stale(server: IndexServer, runs: Runs) -> None:
    runs.lock(server.url)
    server.add(build_wheel("demo", "3.0", requires=["other"]))
    assert runs.lock(server.url)["demo"].version == "2.0"
    assert runs.lock(server.url, now=NOW + 10_000)["demo"].version == "3.0"


def test_offline_uses_the_cache_whatever_its_age(server: IndexServer, runs: Runs) -> None:
    found = runs.lock(server.url)
    server.stop()
    assert runs.lock(server.url, now=NOW + 10_000_000, offline=True) == found


def test_offline_names_what_is_missing(server: IndexServer, runs: Runs) -> None:
    with pytest.raises(OfflineMiss, match="the page of demo is not in the cache"):
        runs.lock(server.url, offline=True)
    with runs.open(server.url) as origins:
        origins.index(LINUX, PYTHON, SourceOrder(("pypi",))).view("demo")
    with pytest.raises(OfflineMiss, match=r"the metadata of demo-2\.0-py3-none-any\.whl"):
        runs.lock(server.url, offline=True)
    assert server.requests_for("/simple/other/") == 0


def test_a_view_is_per_wheel_tags(server: IndexServer, runs: Runs) -> None:
    server.add(build_wheel("demo", "3.0", tag="cp312-cp312-win_amd64"))
    with runs.open(server.url) as origins:
        linux, windows = (origins.index(target, PYTHON, SourceOrder(("pypi",))) for target in (LINUX, WINDOWS))
        assert linux.view("demo").releases[0].version == "2.0"
        assert windows.view("demo").releases[0].version == "3.0"
    assert server.requests_for("/simple/demo/") == 1


def test_threads_share_every_request(server: IndexServer, runs: Runs) -> None:
    server.behaviour.delay = 0.02
    targets = [default_target(name) for name in ("linux-64", "linux-aarch64", "osx-arm64", "win-64")] * 2
    with runs.open(server.url) as origins, ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda target: closure(origins.index(target, PYTHON, SourceOrder(("pypi",)))), targets))
    assert all(result == results[0] for result in results)
    assert sorted(server.paths) == sorted(set(server.paths))


def test_requirements_are_prefetched_ahead_of_the_solver(server: IndexServer, runs: Runs) -> None:
    chain = 12
    for step in range(chain):
        requires = [f"link{step + 1}"] if step < chain - 1 else []
        server.add(build_wheel(f"link{step}", "1.0", requires=requires))
    with runs.open(server.url) as origins:
        index = origins.index(LINUX, PYTHON, SourceOrder(("pypi",)))
        index.expect([parse("link0"), parse("demo")])
        index.view("demo")
        # The links are not looked up; they are fetched because link0 is expected.
        for _ in range(500):
            if server.requests_for(f"/files/link{chain - 1}-1.0-py3-none-any.whl.metadata"):
                break
            origins.workers.join(0.01)
        assert server.requests_for(f"/simple/link{chain - 1}/") == 1
        assert server.requests_for("/simple/never/") == 0


def test_an_unknown_project_is_reported_with_a_similar_one(server: IndexServer, runs: Runs) -> None:
    with runs.open(server.url) as origins:
        index = origins.index(LINUX, PYTHON, SourceOrder(("pypi",)))
        with pytest.raises(ProjectNotFound) as caught:
            index.view("reqeusts")
        assert str(caught.value) == "there is no project reqeusts in pypi; did you mean requests?"
        index.view("demo")
        with pytest.raises(ProjectNotFound, match=r"did you mean demo\?"):
            index.view("demoo")
        with pytest.raises(ProjectNotFound) as caught:
            index.view("qqqqzzzz")
        assert caught.value.nearest is None


def test_an_unknown_project_is_cached(server: IndexServer, runs: Runs) -> None:
    for _ in range(2):
        with runs.open(server.url) as origins, pytest.raises(ProjectNotFound):
            origins.index(LINUX, PYTHON, SourceOrder(("pypi",))).view("nowhere")
    assert server.requests_for("/simple/nowhere/") == 1


# Several sources


def test_the_first_index_that_knows_a_project_supplies_it(server: IndexServer, runs: Runs) -> None:
    with IndexServer([build_wheel("demo", "9.0"), build_wheel("extra", "1.0")]) as second:
        with runs.open(server.url, second.url) as origins:
            index = origins.index(LINUX, PYTHON, SourceOrder(("pypi", "second")))
            assert index.view("demo").source == "pypi"
            assert index.view("demo").releases[0].version == "2.0"
            assert index.view("extra").source == "second"
        assert second.requests_for("/simple/demo/") == 0


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_failure_of_the_first_index_never_leads_to_the_next(server: IndexServer, runs: Runs, status: int) -> None:
    server.behaviour.status = {"/simple/extra/": status}
    with IndexServer([build_wheel("extra", "1.0")]) as second, runs.open(server.url, second.url) as origins:
        with pytest.raises(SourceUnreachable, match=f"cannot get the page of extra from pypi: HTTP {status}"):
            origins.index(LINUX, PYTHON, SourceOrder(("pypi", "second"))).view("extra")
        assert second.paths == []


@pytest.mark.parametrize("way", ["no links", "no files", "removed"])
def test_an_index_that_has_a_project_without_files_supplies_it(server: IndexServer, runs: Runs, way: str) -> None:
    """A captive portal, an emptied project and a removed one: the next index is never asked, not even to explain."""
    if way == "removed":
        server.behaviour.status = {"/simple/extra/": 410}
    else:
        empty = {"no links": ("text/html", b"<p>please log in</p>"), "no files": (JSON_TYPE, b'{"files": []}')}
        server.behaviour.bodies = {"/simple/extra/": empty[way]}
    with IndexServer([build_wheel("extra", "1.0"), build_sdist("extra", "2.0")]) as second:
        for offline in (False, True):
            with runs.open(server.url, second.url, offline=offline) as origins:
                index = origins.index(LINUX, PYTHON, SourceOrder(("pypi", "second")))
                view = index.view("extra")
                assert (view.source, view.releases) == ("pypi", ())
                assert index.files("extra") == ()
        assert second.paths == []
        server.behaviour.status, server.behaviour.bodies = {}, {}
        with runs.open(server.url, second.url, refresh=True) as origins:
            index = origins.index(LINUX, PYTHON, SourceOrder(("pypi", "second")))
            assert index.view("extra").source == "second", "404 alone means that a source does not have it"
            assert len(index.files("extra")) == 2


def test_a_page_of_links_that_is_removed_ends_the_run(server: IndexServer, runs: Runs) -> None:
    server.behaviour.status = {"/links/": 410}
    with IndexServer([build_wheel("extra", "1.0")]) as second:
        sources = {
            "links": Source(name="links", kind="find-links", url=f"{server.base}/links/"),
            "second": Source(name="second", kind="pypi", url=second.url),
        }
        with runs.open(sources=sources) as origins, pytest.raises(SourceUnreachable, match="unexpected HTTP 410"):
            origins.index(LINUX, PYTHON, SourceOrder(("links", "second"))).view("extra")
        assert second.paths == []


def test_a_suggested_name_is_one_of_a_source_that_may_supply_it(server: IndexServer, runs: Runs) -> None:
    with IndexServer([build_wheel("zzqx-internal", "1.0")]) as second, runs.open(server.url, second.url) as origins:
        origins.index(LINUX, PYTHON, SourceOrder(("second",))).view("zzqx-internal")
        with pytest.raises(ProjectNotFound) as caught:
            origins.index(LINUX, PYTHON, SourceOrder(("pypi",))).view("zzqx-interna")
        assert "zzqx-internal" not in str(caught.value)
        with pytest.raises(ProjectNotFound, match="zzqx-internal"):
            origins.index(LINUX, PYTHON, SourceOrder(("second",))).view("zzqx-interna")


def test_a_project_claimed_by_a_source_comes_only_from_there(server: IndexServer, runs: Runs) -> None:
    with IndexServer() as internal:
        server.add(build_wheel("acme-core", "99.0"))
        internal.add(build_wheel("acme-core", "1.0"))
        internal.add(build_wheel("demo", "50.0"))
        sources = {
            "pypi": Source(name="pypi", kind="pypi", url=server.url),
            "internal": Source(name="internal", kind="pypi", url=internal.url, projects=("acme-*",)),
        }
        with runs.open(sources=sources) as origins:
            for index in (
                origins.index(LINUX, PYTHON, SourceOrder(("pypi",), dedicated=("internal",))),
                origins.index(LINUX, PYTHON, SourceOrder(("internal", "pypi"))),
            ):
                assert index.view("acme-core").releases[0].version == "1.0"
                assert index.view("demo").releases[0].version == "2.0"
                with pytest.raises(ProjectNotFound, match="there is no project acme-new in internal"):
                    index.view("acme-new")
        assert server.requests_for("/simple/acme-core/") == server.requests_for("/simple/acme-new/") == 0


def test_a_requirement_may_name_its_source(server: IndexServer, runs: Runs) -> None:
    with IndexServer([build_wheel("demo", "7.0"), build_wheel("spare", "1.0")]) as second:
        with runs.open(server.url, second.url) as origins:
            index = origins.index(LINUX, PYTHON, SourceOrder(("pypi",), {"demo": "second"}, dedicated=("second",)))
            assert index.view("demo").releases[0].version == "7.0"
            with pytest.raises(ProjectNotFound):
                index.view("spare")
            with pytest.raises(UsageError, match="there is no source elsewhere"):
                origins.index(LINUX, PYTHON, SourceOrder(("elsewhere",)))
        assert server.requests_for("/simple/demo/") == 0


@pytest.mark.parametrize("form", ["folder", "uri", "page"])
def test_find_links(server: IndexServer, runs: Runs, tmp_path: Path, form: str) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    wheel = build_wheel("demo", "5.0", requires=["other"])
    wheel.write(folder)
    build_wheel("other", "6.0").write(folder)
    build_sdist("demo", "9.0").write(folder)
    with IndexServer([wheel, build_wheel("other", "6.0")]) as pages:
        url = {"folder": str(folder), "uri": folder.as_uri(), "page": f"{pages.base}/links/"}[form]
        with runs.open(sources={"pypi": Source(name="pypi", kind="find-links", url=url)}) as origins:
            index = origins.index(LINUX, PYTHON, SourceOrder(("pypi",)))
            assert closure(index)["demo"].version == "5.0"
            view = index.view("demo")
            identity = origins.identify("pypi", "demo", view.releases[0].files[0])
            assert identity == (wheel.sha256, wheel.size)
            with pytest.raises(ProjectNotFound):
                index.view("missing")


def test_an_index_of_plain_files(runs: Runs, tmp_path: Path) -> None:
    project = tmp_path / "simple" / "demo"
    project.mkdir(parents=True)
    wheel = build_wheel("demo", "5.0")
    wheel.write(project)
    (project / "index.html").write_text(f'<a href="{wheel.file}#sha256={wheel.sha256}">{wheel.file}</a>')
    url = (tmp_path / "simple").as_uri()
    for offline in (False, True):
        with runs.open(url, offline=offline) as origins:
            index = origins.index(LINUX, PYTHON, SourceOrder(("pypi",)))
            view = index.view("demo")
            assert index.metadata(view, view.releases[0].files[0]).version == "5.0"
            with pytest.raises(ProjectNotFound):
                index.view("other")
    with runs.open((tmp_path / "gone").as_uri()) as origins, pytest.raises(SourceUnreachable, match="no such folder"):
        origins.index(LINUX, PYTHON, SourceOrder(("pypi",))).view("demo")


# What indexes omit, and what they get wrong


def test_digest_and_size_are_determined_if_no_page_states_them(server: IndexServer, runs: Runs) -> None:
    server.behaviour.hashes = server.behaviour.sizes = False
    wheel = server.file("demo-2.0-py3-none-any.whl")
    assert wheel is not None
    for _ in range(2):
        with runs.open(server.url) as origins:
            index = origins.index(LINUX, PYTHON, SourceOrder(("pypi",)))
            file = index.view("demo").releases[0].files[0]
            assert (file.sha256, file.size) == ("", 0)
            assert origins.identify("pypi", "demo", file) == (wheel.sha256, wheel.size)
            assert index.metadata(index.view("demo"), file).version == "2.0"
    assert server.requests_for(f"/files/{wheel.file}") == 1


def test_a_missing_size_costs_a_request_of_one_byte(server: IndexServer, runs: Runs) -> None:
    server.behaviour.sizes = False
    wheel = server.file("demo-2.0-py3-none-any.whl")
    assert wheel is not None
    with runs.open(server.url) as origins:
        file = origins.index(LINUX, PYTHON, SourceOrder(("pypi",))).view("demo").releases[0].files[0]
        assert origins.identify("pypi", "demo", file) == (wheel.sha256, wheel.size)
    assert server.log[-1].headers["range"] == "bytes=-1"


def test_broken_metadata_is_cached_until_refresh(server: IndexServer, runs: Runs) -> None:
    server.behaviour.metadata = "absent"
    server.add(build_wheel("demo", "3.0", metadata="Metadata-Version: 2.1\nName: demo\n\n"))
    for _ in range(2):
        with pytest.raises(MetadataUnusable, match="it states no values of Version"):
            runs.lock(server.url)
    path = "/files/demo-3.0-py3-none-any.whl"
    assert server.requests_for(path) == 1
    with pytest.raises(MetadataUnusable):
        runs.lock(server.url, refresh=True)
    assert server.requests_for(path) == 2


def test_a_sibling_with_another_digest_than_advertised_is_refused(server: IndexServer, runs: Runs) -> None:
    server.behaviour.corrupt = {"demo-2.0-py3-none-any.whl.metadata"}
    with pytest.raises(DigestMismatch, match=r"the metadata of demo-2\.0-py3-none-any\.whl, from pypi,"):
        runs.lock(server.url)


def test_locking_succeeds_if_a_third_of_the_requests_fail(server: IndexServer, runs: Runs) -> None:
    server.behaviour.unavailable = 3
    assert runs.lock(server.url)["demo"].version == "2.0"
    assert 503 in [request.status for request in server.log]


def test_a_stopped_server_is_named_by_its_source(server: IndexServer, runs: Runs) -> None:
    server.stop()
    with pytest.raises(SourceUnreachable) as caught:
        runs.lock(server.url)
    assert str(caught.value) == "cannot get the page of demo from pypi: connection refused, 3 times"


def test_what_was_fetched_before_an_error_stays_cached(server: IndexServer, runs: Runs) -> None:
    server.behaviour.status = {"/simple/other/": 403}
    with pytest.raises(SourceUnreachable):
        runs.lock(server.url)
    server.behaviour.status = {}
    server.forget()
    runs.lock(server.url)
    assert sorted(server.paths) == ["/files/other-2.0-py3-none-any.whl.metadata", "/simple/other/"]


def test_values_of_markers_are_cached(server: IndexServer, runs: Runs) -> None:
    with runs.open(server.url) as origins:
        index = origins.index(LINUX, PYTHON, SourceOrder(("pypi",)))
        index.expect(parse(text) for text in ("demo; os_name == 'nt'", "demo; os_name == 'posix'"))
        index.view("demo")
    with runs.open(server.url) as origins:
        answers = origins.answers(LINUX, PYTHON)
        assert answers['os_name == "nt"'].default is False
        assert answers['os_name == "posix"'].default is True
        assert origins.answers(WINDOWS, PYTHON) == {}


def test_warnings_about_settings_are_shown_once_the_network_is_used(server: IndexServer, tmp_path: Path) -> None:
    progress = Silent()
    settings = FetchSettings(cache=tmp_path, warnings=("ignored things",))
    sources = {"pypi": Source(name="pypi", kind="pypi", url=server.url)}
    for _ in range(2):
        with Indexes(sources, fetching(settings, progress, now=NOW)) as origins:
            assert progress.warnings == ([] if not origins.is_online and not _ else ["ignored things"])
            origins.index(LINUX, PYTHON, SourceOrder(("pypi",))).view("demo")
    assert progress.warnings == ["ignored things"]
