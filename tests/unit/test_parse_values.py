"""Single values of a manifest: Python requests, cut-offs, addresses, paths."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from envc.fetch.net.urls import git_mistake, holds_token, redact, url_mistake
from envc.locking.manifest.cutoffs import BadCutoff, parse_cutoff
from envc.locking.manifest.paths import path_mistake
from envc.locking.manifest.python import BadPython, parse_python
from envc.model.manifest import PythonRequest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3.12", PythonRequest(text="3.12", specifier="==3.12.*")),
        ("3.12.7", PythonRequest(text="3.12.7", specifier="==3.12.7")),
        ("3.13t", PythonRequest(text="3.13t", free_threaded=True, specifier="==3.13.*")),
        ("3.13.2t", PythonRequest(text="3.13.2t", free_threaded=True, specifier="==3.13.2")),
        ("pypy3.10", PythonRequest(text="pypy3.10", implementation="pypy", specifier="==3.10.*")),
        (">=3.11,<3.13", PythonRequest(text=">=3.11,<3.13", specifier="<3.13,>=3.11")),
        (" 3.12 ", PythonRequest(text=" 3.12 ", specifier="==3.12.*")),
        ("==3.12.*", PythonRequest(text="==3.12.*", specifier="==3.12.*")),
    ],
)
def test_python_requests(text: str, expected: PythonRequest) -> None:
    assert parse_python(text) == expected


@pytest.mark.parametrize("text", ["", "3", "2.7", "3.012", "3.12t", "pypy3.10t", "python3.12", ">=3,<", ">=x", "3.x"])
def test_invalid_python_requests(text: str) -> None:
    with pytest.raises(BadPython):
        parse_python(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2026, 11, 1, 2, tzinfo=timezone(timedelta(hours=2))), datetime(2026, 11, 1, tzinfo=UTC)),
        (date(2026, 11, 1), datetime(2026, 11, 2, tzinfo=UTC)),
        ("2026-11-01", datetime(2026, 11, 2, tzinfo=UTC)),
        ("2026-11-01T00:00:00Z", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01t00:00:00z", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01 02:00:00.5+02:00", datetime(2026, 11, 1, 0, 0, 0, 500000, tzinfo=UTC)),
        ("7 days", timedelta(days=7)),
        ("1 day", timedelta(days=1)),
        ("2 weeks", timedelta(weeks=2)),
        ("12 hours", timedelta(hours=12)),
        ("1 day 12h", timedelta(hours=36)),
        ("1 week, 2 days and 30 mins", timedelta(days=9, minutes=30)),
        ("P7D", timedelta(days=7)),
        ("P2W", timedelta(weeks=2)),
        ("p1dt12h", timedelta(hours=36)),
        ("PT90M", timedelta(minutes=90)),
    ],
)
def test_cutoffs(value: object, expected: datetime | timedelta) -> None:
    assert parse_cutoff(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        *(datetime(2026, 11, 1), "2026-11-01T00:00:00", "2026-02-30", "2026-11-01T25:00:00Z", date(9999, 12, 31)),
        *("", "P", "PT", "P1Y", "P1M", "1 month", "2 years", "soon", "7", "days", "-1 day", "7 dayz", "0 days"),
        *(7, True, "9" * 30 + " days", "9999-12-31"),
    ],
    ids=str,
)
def test_invalid_cutoffs(value: object) -> None:
    with pytest.raises(BadCutoff):
        parse_cutoff(value)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/simple",
        "https://example.com/a@b",
        "s3://bucket/envc",
        "ssh://git@example.com/x",
        "git+ssh://git@example.com/x",
    ],
)
def test_addresses(url: str) -> None:
    assert url_mistake(url) is None


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "/srv/x", "://x", "https://a b/", "https://example.com/\n", "https://[::1"),
        *("https://joe@example.com", "https://joe:pw@example.com", "https://:pw@example.com", "https://@example.com"),
        "ssh://git:pw@example.com/x",
    ],
)
def test_invalid_addresses(url: str) -> None:
    assert url_mistake(url) is not None


@pytest.mark.parametrize("url", ["git@example.com:team/x.git", "https://example.com/x", "ssh://git@example.com/x"])
def test_git_addresses(url: str) -> None:
    assert git_mistake(url) is None


@pytest.mark.parametrize(
    "url", ["ext::sh -c x", "-oProxyCommand=x", "git@example.com", "../x", "-x@host:path", "s3://b/x", "u:pw@host:path"]
)
def test_unsafe_git_addresses_are_refused(url: str) -> None:
    assert git_mistake(url) is not None


def test_tokens_of_channels_are_not_shown() -> None:
    text = "'https://h.example/t/tk-1/x' t/tk-1/y (http://h:8080/conda/t/tk-1/linux-64) 't/tk-1/z::pkg'"
    assert redact(text) == text.replace("tk-1", "***")
    for plain in ("https://h.example/t", "https://h.example/art/x", "part/x/y", "t/file.py", "/srv/t/x/y"):
        assert redact(plain) == plain
        assert not holds_token(plain)
    assert holds_token("https://h.example/t/tk-1/x") and holds_token("t/tk-1/x")


def test_redaction() -> None:
    text = "a https://joe:pw@example.com/x b git+https://tok@h/y@v1 c user@example.com"
    assert redact(text) == "a https://***@example.com/x b git+https://***@h/y@v1 c user@example.com"


@pytest.mark.parametrize("path", ["x", "../x", "lib/**/*.py", "a b", "é"])
def test_paths(path: str) -> None:
    assert path_mistake(path) is None


@pytest.mark.parametrize("path", ["", "/x", "//host/x", "~/x", "C:/x", "c:x", "a\\b", "a\x00b", "a\nb"])
def test_invalid_paths(path: str) -> None:
    assert path_mistake(path) is not None
