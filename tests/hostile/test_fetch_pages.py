"""Hostile index pages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envc.errors import EnvcError, SourceUnreachable
from envc.fetch.pypi.indexes import Indexes, SourceOrder
from envc.fetch.pypi.listing import ADVERTISED, JSON_TYPE, parse_page
from envc.model.manifest import Source
from envc_solvers.errors import SolverError
from envc_solvers.pypi.language.index import File
from envc_solvers.target import Python, default_target
from tests.support.fetching import fetching
from tests.support.servers import IndexServer

URL = "https://example.com/simple/demo/"
HASHES = {"sha256": "a" * 64}
GOOD = {"filename": "demo-1.0-py3-none-any.whl", "url": "../../files/demo-1.0-py3-none-any.whl", "hashes": {}}


def page(*files: object) -> bytes:
    return json.dumps({"meta": {"api-version": "1.0"}, "name": "demo", "files": files}).encode()


def test_every_field_is_read() -> None:
    [listed] = parse_page(
        page(
            GOOD
            | {
                "hashes": {"md5": "x", "sha256": "AB" * 32},
                "size": 7,
                "upload-time": "2026-01-01T00:00:00.000001Z",
                "requires-python": ">=3.8",
                "yanked": "broken",
                "core-metadata": {"sha256": "c" * 64},
            }
        ),
        f"{JSON_TYPE}; charset=utf-8",
        URL,
    )
    # The fraction rounds up, so that a cut-off at that second excludes the file.
    assert listed.file == File("demo-1.0-py3-none-any.whl", "ab" * 32, 7, 1_767_225_601, ">=3.8", "broken", "c" * 64)
    assert listed.url == "https://example.com/files/demo-1.0-py3-none-any.whl"
    assert listed.core == "c" * 64


@pytest.mark.parametrize(
    ("changes", "core"),
    [
        ({"core-metadata": True}, ADVERTISED),
        ({"core-metadata": False}, ""),
        ({"core-metadata": None, "dist-info-metadata": True}, ADVERTISED),
        ({"core-metadata": False, "dist-info-metadata": True}, ""),
        ({"core-metadata": {"md5": "x"}}, ADVERTISED),
        ({"core-metadata": {"sha256": "nonsense"}}, ADVERTISED),
        ({"core-metadata": {}}, ""),
        ({}, ""),
    ],
)
def test_advertised_metadata(changes: dict[str, object], core: str) -> None:
    assert next(iter(parse_page(page(GOOD | changes), JSON_TYPE, URL))).core == core


@pytest.mark.parametrize(
    ("yanked", "reason"),
    [
        (False, None),
        (True, ""),
        ("", None),
        ("why", "why"),
        (None, None),
        (0, None),
        (1, ""),
        ([], None),
        ({"a": 1}, ""),
    ],
)
def test_yanked_in_json(yanked: object, reason: str | None) -> None:
    assert next(iter(parse_page(page(GOOD | {"yanked": yanked}), JSON_TYPE, URL))).file.yanked == reason


@pytest.mark.parametrize(
    ("attributes", "yanked", "core"),
    [
        ("", None, ""),
        ("data-yanked", "", ""),
        ('data-yanked=""', "", ""),
        ('data-yanked="why &amp; how"', "why & how", ""),
        ('data-core-metadata="true"', None, ADVERTISED),
        (f'data-dist-info-metadata="sha256={"d" * 64}"', None, "d" * 64),
    ],
)
def test_html(attributes: str, yanked: str | None, core: str) -> None:
    body = f"""<!DOCTYPE html><a href="/f/demo-1.0-py3-none-any.whl?x=1#sha256={"a" * 64}"
        data-requires-python="&gt;=3.8" {attributes}>demo</a><a>nothing</a>""".encode()
    [listed] = parse_page(body, "text/html", URL)
    assert listed.file == File(
        "demo-1.0-py3-none-any.whl", "a" * 64, 0, None, ">=3.8", yanked, core if core != ADVERTISED else ""
    )
    assert listed.url == "https://example.com/f/demo-1.0-py3-none-any.whl?x=1"
    assert listed.core == core


@pytest.mark.parametrize(
    "bad",
    [
        7,
        None,
        [],
        {},
        {"filename": 7, "url": "x"},
        GOOD | {"filename": "../../../etc/passwd"},
        GOOD | {"filename": "..\\..\\x.whl"},
        GOOD | {"filename": "C:x-1.0.whl"},
        GOOD | {"filename": ".hidden-1.0.whl"},
        GOOD | {"filename": "a\0b.whl"},
        GOOD | {"filename": "a\nb.whl"},
        GOOD | {"filename": ""},
        GOOD | {"filename": "a" * 300},
        GOOD | {"url": "file:///etc/passwd"},
        GOOD | {"url": "ftp://example.com/x"},
        GOOD | {"url": "javascript:alert(1)"},
        GOOD | {"url": "https://[bad/x"},
        GOOD | {"url": 7},
    ],
)
def test_an_entry_that_cannot_be_understood_is_left_out(bad: object) -> None:
    other = GOOD | {"filename": "demo-2.0-py3-none-any.whl"}
    assert [item.file.name for item in parse_page(page(bad, other), JSON_TYPE, URL)] == ["demo-2.0-py3-none-any.whl"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hashes", None),
        ("hashes", []),
        ("hashes", "sha256"),
        ("hashes", {"sha256": None}),
        ("size", "123"),
        ("size", 1.5),
        ("size", [1]),
        ("upload-time", ""),
        ("upload-time", "yesterday"),
        ("upload-time", 1767225600),
        ("requires-python", 3.8),
        ("requires-python", ["3.8"]),
        ("requires-python", {"a": ">=3"}),
        ("core-metadata", "true"),
        ("core-metadata", {"sha256": 7}),
        ("dist-info-metadata", 1),
    ],
)
def test_an_odd_optional_key_counts_as_absent(key: str, value: object) -> None:
    noted: list[tuple[str, str]] = []
    odd = GOOD | {key: value, "size": value if key == "size" else 7, "hashes": value if key == "hashes" else HASHES}
    listing = parse_page(page(odd, GOOD), JSON_TYPE, URL, lambda file, key: noted.append((file, key)))
    absent = {name: item for name, item in odd.items() if name != key}
    expected = parse_page(page(absent, GOOD), JSON_TYPE, URL)
    assert list(listing) == list(expected)
    assert noted == [("demo-1.0-py3-none-any.whl", key)]


def test_of_odd_digests_the_readable_ones_are_kept() -> None:
    [listed] = parse_page(page(GOOD | {"hashes": {"sha256": "a" * 64, "md5": 7, "sha1": "b" * 40}}), JSON_TYPE, URL)
    assert (listed.file.sha256, listed.others) == ("a" * 64, (("sha1", "b" * 40),))


def test_a_requires_python_of_unusual_length_counts_as_absent() -> None:
    [listed] = parse_page(page(GOOD | {"requires-python": "," * 5000 + ">=3"}), JSON_TYPE, URL)
    assert listed.file.requires_python == ""


@pytest.mark.parametrize("size", [-1, 1 << 60, 1 << 100])
def test_a_malformed_size_is_ignored(size: int) -> None:
    assert next(iter(parse_page(page(GOOD | {"size": size}), JSON_TYPE, URL))).file.size == 0


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "g" * 64, "0" * 64 + "\n", "../" * 20])
def test_a_malformed_digest_is_ignored(digest: str) -> None:
    assert next(iter(parse_page(page(GOOD | {"hashes": {"sha256": digest}}), JSON_TYPE, URL))).file.sha256 == ""


def test_credentials_in_urls_are_dropped() -> None:
    for url in ("https://me:secret@files.example.com/x-1.0.whl", "//me:secret@files.example.com/x-1.0.whl"):
        [listed] = parse_page(page(GOOD | {"url": url}), JSON_TYPE, URL)
        assert listed.url == "https://files.example.com/x-1.0.whl"


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (b"", JSON_TYPE, "not JSON"),
        (b"{", JSON_TYPE, "not JSON"),
        (b"\xff\xfe", JSON_TYPE, "not JSON"),
        (b"[]", JSON_TYPE, "not a page"),
        (b"{}", JSON_TYPE, "not a page"),
        (b'{"files": 7}', JSON_TYPE, "not a page"),
        (b'{"files": ' + b"[" * 200_000, JSON_TYPE, "nested too deeply|not"),
        (b'{"a": ' + b'{"a": ' * 200_000, JSON_TYPE, "nested too deeply|not"),
        (b"hello", "text/plain", "content type"),
        (b"hello", "image/png", "content type is 'image/png'"),
    ],
)
def test_a_body_that_is_not_a_page_is_refused(body: bytes, kind: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_page(body, kind, URL)


_JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
_FIELDS = st.sampled_from(
    [
        "filename",
        "url",
        "hashes",
        "size",
        "upload-time",
        "yanked",
        "core-metadata",
        "requires-python",
        "dist-info-metadata",
    ]
)
_FILES = st.dictionaries(_FIELDS, _JSON_VALUES, max_size=9).map(lambda changes: GOOD | changes)


@settings(deadline=None)
@given(files=st.lists(_FILES | _JSON_VALUES, max_size=5))
def test_any_json_gives_a_listing_or_a_reason(files: list[object]) -> None:
    for listed in parse_page(page(*files), JSON_TYPE, URL):
        assert "/" not in listed.file.name
        assert listed.url.startswith("https://") or listed.url.startswith("http://")
        assert 0 <= listed.file.size < 1 << 53


@settings(deadline=None)
@given(body=st.binary(max_size=300) | st.text("<a href=\"'>/!-&#;\n data-yanked", max_size=200).map(str.encode))
def test_any_html_gives_a_listing(body: bytes) -> None:
    for listed in parse_page(body, "text/html", URL):
        assert "/" not in listed.file.name


# From a server


def ask(url: str, folder: Path) -> Exception:
    """The error for the project `demo` of that index."""
    sources = {"internal": Source(name="internal", kind="pypi", url=url)}
    with Indexes(sources, fetching(folder, now=1)) as origins:
        index = origins.index(default_target("linux-64"), Python(minor=(3, 12)), SourceOrder(("internal",)))
        with pytest.raises((EnvcError, SolverError)) as caught:
            view = index.view("demo")
            index.metadata(view, view.releases[0].files[0])
        return caught.value


def test_a_malformed_page_names_project_and_source(server: IndexServer, tmp_path: Path) -> None:
    server.behaviour.bodies = {"/simple/demo/": (JSON_TYPE, b"{")}
    error = ask(server.url, tmp_path)
    assert str(error) == "cannot get the page of demo from internal: it is not JSON"


def test_credentials_in_the_urls_of_files_are_not_shown(server: IndexServer, tmp_path: Path) -> None:
    server.behaviour.bodies = {"/simple/demo/": (JSON_TYPE, page(GOOD | {"url": "file:///etc/passwd"}))}
    with pytest.raises(IndexError):
        # The only file of the page is dropped, so the project is known and has no releases.
        ask(server.url, tmp_path)


@pytest.mark.parametrize("trouble", ["401", "403", "500", "cut", "garbage", "gone", "redirect", "metadata", "type"])
def test_credentials_are_never_shown(
    server: IndexServer, tmp_path: Path, trouble: str, capfd: pytest.CaptureFixture[str]
) -> None:
    behaviour = server.behaviour
    url = server.url_with("someone", "hunter2")
    if trouble.isdigit():
        behaviour.status = {"/simple/": int(trouble)}
    elif trouble == "cut":
        behaviour.unavailable = 1
        behaviour.retry_after = "1000"
    elif trouble == "garbage":
        behaviour.bodies = {"/simple/demo/": (JSON_TYPE, b"{")}
    elif trouble == "type":
        behaviour.bodies = {"/simple/demo/": ("text/plain", url.encode())}
    elif trouble == "gone":
        server.stop()
    elif trouble == "redirect":
        behaviour.auth = ("someone", "hunter2")
        behaviour.metadata = "absent"
        behaviour.redirect_files = "ftp://someone:hunter2@example.com"
    elif trouble == "metadata":
        behaviour.corrupt = {"demo-1.0-py3-none-any.whl.metadata"}
    error = ask(url, tmp_path)
    shown = [str(error), repr(error), str(error.args), getattr(error, "hint", None) or "", "".join(capfd.readouterr())]
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    for text in shown:
        assert "hunter2" not in text and "127.0.0.1" not in text
        # A refused login is named, so that it can be corrected. A user that may be a token is not.
        assert "someone" not in text or trouble in ("401", "403")
    assert not any(b"hunter2" in data for data in kept)
    if trouble != "gone":
        assert server.log[0].headers["authorization"].startswith("Basic ")


def test_a_private_index_works_with_credentials_in_its_url(server: IndexServer, tmp_path: Path) -> None:
    server.behaviour.auth = ("someone", "hunter2")
    assert isinstance(ask(server.url, tmp_path / "without"), SourceUnreachable)
    sources = {"internal": Source(name="internal", kind="pypi", url=server.url_with("someone", "hunter2"))}
    for _ in range(2):
        with Indexes(sources, fetching(tmp_path, now=1)) as origins:
            index = origins.index(default_target("linux-64"), Python(minor=(3, 12)), SourceOrder(("internal",)))
            view = index.view("demo")
            assert index.metadata(view, view.releases[0].files[0]).version == "1.0"
