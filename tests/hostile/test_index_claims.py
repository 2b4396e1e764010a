"""What one index claims never serves another: metadata is kept with what proves it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Literal

import pytest

from envc.fetch.pypi.indexes import Indexes, SourceOrder
from envc.fetch.pypi.listing import JSON_TYPE
from envc.model.manifest import Source
from envc_solvers.errors import MetadataUnusable
from envc_solvers.pypi.language.requirement import Metadata
from envc_solvers.target import Python, default_target
from tests.support.fetching import fetching
from tests.support.servers import IndexServer
from tests.support.wheels import Distribution, build_wheel

WHEEL = build_wheel("demo", "1.0", ["honest"])
INVENTED = WHEEL.metadata.replace(b"honest", b"added")
HOUR = 3600

Lie = Literal["stated", "not stated", "wheel"]


@pytest.fixture
def honest() -> Iterator[IndexServer]:
    with IndexServer([WHEEL]) as server:
        yield server


@pytest.fixture
def evil() -> Iterator[IndexServer]:
    with IndexServer() as server:
        yield server


def lie(server: IndexServer, way: Lie, metadata: bytes = INVENTED, *, listed: Distribution = WHEEL) -> None:
    """List a file under its right digest, with other metadata."""
    entry: dict[str, object] = {
        "filename": listed.file,
        "url": f"../../files/{listed.file}",
        "hashes": {"sha256": WHEEL.sha256},
        "size": WHEEL.size,
    }
    if way == "wheel":
        # Ranged reads of the file are not verified.
        other = build_wheel("demo", "1.0", ["added"])
        server.add(other)
        server.behaviour.metadata = "absent"
        entry["size"] = other.size
    else:
        entry["core-metadata"] = {"sha256": sha256(metadata).hexdigest()} if way == "stated" else True
        server.behaviour.bodies[f"/files/{listed.file}.metadata"] = ("text/plain", metadata)
    body = json.dumps({"meta": {"api-version": "1.1"}, "name": "demo", "files": [entry]}).encode()
    server.behaviour.bodies[f"/simple/{listed.project}/"] = (JSON_TYPE, body)


def ask(url: str, cache: Path, *, now: int = 1, refresh: bool = False, project: str = "demo") -> Metadata:
    """The metadata of the project's newest file, as a project with this index alone finds it."""
    sources = {"pypi": Source(name="pypi", kind="pypi", url=url)}
    with Indexes(sources, fetching(cache, now=now, refresh=refresh)) as origins:
        index = origins.index(default_target("linux-64"), Python(minor=(3, 12)), SourceOrder(("pypi",)))
        view = index.view(project)
        return index.metadata(view, view.releases[0].files[0])


def required(metadata: Metadata) -> str:
    return ", ".join(map(str, metadata.requires))


@pytest.mark.parametrize("way", ["stated", "not stated", "wheel"])
@pytest.mark.parametrize("siblings", ["advertised", "present", "absent"])
def test_metadata_that_one_index_invents_never_serves_another(
    honest: IndexServer, evil: IndexServer, tmp_path: Path, way: Lie, siblings: Literal["advertised"]
) -> None:
    lie(evil, way)
    honest.behaviour.metadata = siblings
    assert required(ask(evil.url, tmp_path)) == "added"
    assert required(ask(honest.url, tmp_path)) == "honest"
    assert required(ask(evil.url, tmp_path)) == "added", "each keeps its own"


@pytest.mark.parametrize("way", ["stated", "not stated"])
def test_what_one_index_calls_broken_another_may_use(
    honest: IndexServer, evil: IndexServer, tmp_path: Path, way: Lie
) -> None:
    lie(evil, way, b"Metadata-Version: 2.1\nName: demo\n\n")
    with pytest.raises(MetadataUnusable):
        ask(evil.url, tmp_path)
    assert required(ask(honest.url, tmp_path)) == "honest"


def test_a_wheel_stated_as_metadata_does_not_break_the_wheel(
    honest: IndexServer, evil: IndexServer, tmp_path: Path
) -> None:
    """Digests of metadata and of artifacts are kept apart: the page states the wheel's digest for the metadata."""
    lie(evil, "stated", WHEEL.data)
    with pytest.raises(MetadataUnusable):
        ask(evil.url, tmp_path)
    honest.behaviour.metadata, honest.behaviour.ranges = "absent", "ignored"
    assert required(ask(honest.url, tmp_path)) == "honest"


def test_a_file_listed_under_another_name_does_not_break_it(
    honest: IndexServer, evil: IndexServer, tmp_path: Path
) -> None:
    other = build_wheel("other", "1.0")
    lie(evil, "stated", WHEEL.metadata, listed=other)
    with pytest.raises(MetadataUnusable, match="it calls itself demo"):
        ask(evil.url, tmp_path, project="other")
    assert required(ask(honest.url, tmp_path)) == "honest"


def test_indexes_that_state_the_same_digest_share_the_metadata(
    honest: IndexServer, evil: IndexServer, tmp_path: Path
) -> None:
    """A mirror costs no request: the metadata has the digest that both state."""
    evil.add(WHEEL)
    for server in (honest, evil):
        assert required(ask(server.url, tmp_path)) == "honest"
    assert honest.requests_for(f"/files/{WHEEL.file}.metadata") == 1
    assert evil.requests_for(f"/files/{WHEEL.file}.metadata") == 0


def test_what_was_read_from_the_verified_file_serves_every_index(
    honest: IndexServer, evil: IndexServer, tmp_path: Path
) -> None:
    evil.add(WHEEL)
    for server in (honest, evil):
        server.behaviour.metadata, server.behaviour.ranges = "absent", "ignored"
        assert required(ask(server.url, tmp_path)) == "honest"
    assert evil.paths == ["/simple/demo/"]


def test_what_was_read_from_the_verified_file_ends_a_claim(
    honest: IndexServer, evil: IndexServer, tmp_path: Path
) -> None:
    lie(evil, "not stated")
    assert required(ask(evil.url, tmp_path)) == "added"
    honest.behaviour.metadata, honest.behaviour.ranges = "absent", "ignored"
    assert required(ask(honest.url, tmp_path)) == "honest"
    assert required(ask(evil.url, tmp_path)) == "honest"


@pytest.mark.parametrize("way", ["not stated", "wheel"])
def test_a_refresh_asks_again_for_what_is_merely_claimed(evil: IndexServer, tmp_path: Path, way: Lie) -> None:
    lie(evil, way)
    assert required(ask(evil.url, tmp_path)) == "added"
    evil.behaviour.bodies.clear()
    evil.behaviour.metadata = "absent"
    evil.add(WHEEL)
    assert required(ask(evil.url, tmp_path, now=2 * HOUR)) == "added", "nothing that identifies it has changed"
    assert required(ask(evil.url, tmp_path, now=2 * HOUR, refresh=True)) == "honest"


def test_a_page_that_states_another_digest_is_believed_at_once(evil: IndexServer, tmp_path: Path) -> None:
    lie(evil, "stated")
    assert required(ask(evil.url, tmp_path)) == "added"
    evil.behaviour.bodies.clear()
    evil.add(WHEEL)
    assert required(ask(evil.url, tmp_path, now=2 * HOUR)) == "honest"


def test_a_claim_belongs_to_the_address_and_not_to_the_name_of_a_source(
    honest: IndexServer, evil: IndexServer, tmp_path: Path
) -> None:
    """Both projects call their index `pypi`."""
    lie(evil, "not stated")
    honest.behaviour.metadata = "present"
    assert required(ask(evil.url, tmp_path)) == "added"
    assert required(ask(honest.url, tmp_path)) == "honest"
