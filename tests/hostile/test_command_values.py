"""Odd values on command lines, in environment variables and in manifests end in an expected error, never in a bug."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from envc.cli.main import run

BUG = "a bug in envc"
MANIFEST = """
[project]
name = "demo"
python = "3.12"
targets = ["linux-64"]
{project}
[steps.train]
pypi = []
{step}
{more}
"""
# None of them names a place outside of the test's folder that could be written.
VALUES = (
    "",
    " ",
    ".",
    "..",
    "/proc/nosuch",
    "~nosuchuser",
    "~nosuchuser/x",
    "\udcff",
    "a\udcff/b",
    "²",
    "-1",
    "9" * 5000,
    "9" * 5000 + " days",
    "99999999 days",
    "0001-01-01",
    "9999-12-31",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "s3://",
    "s3:///",
    "gs://[",
    "nosuch://x",
    "http://",
    "http://[",
    "http://[::1",
    "http://a:99999999/",
    "http://a:" + "9" * 5000,
    "https://a b/",
    "file://[",
    "file://\udcff/",
    "[a**b]",
    "**",
    "a[",
    "x" * 5000,
)
COMMANDS = (
    ("lock", "--offline", "--store"),
    ("lock", "--offline", "--exclude-newer"),
    ("lock", "--offline", "-P"),
    ("bundle", "--offline", "--store"),
    ("bundle", "--offline", "--step"),
    ("bundle", "--offline", "--platform"),
    ("bundle", "--offline", "--jobs"),
    ("hydrate", "train", "--offline", "--store"),
    ("hydrate", "train", "--offline", "--prefix"),
    ("run", "train", "--offline", "--store"),
    ("run",),
    ("status", "--store"),
    ("status",),
    ("gc", "--store"),
    ("gc", "--recent"),
    ("tag", "list", "--store"),
    ("tag", "add"),
    ("cache", "prune", "--unused"),
    ("verify", "--store"),
    ("verify", "--prefix"),
    ("add",),
    ("add", "--conda"),
    ("remove",),
    ("init", "--offline"),
    ("solve", "--offline", "--pypi"),
    ("solve", "--offline", "--pypi", "a", "--index"),
    ("solve", "--offline", "--pypi", "a", "--python"),
    ("solve", "--offline", "--pypi", "a", "--platform"),
    ("solve", "--offline", "--pypi", "a", "--exclude-newer"),
    ("solve", "--offline", "--conda"),
    ("solve", "--offline", "--conda", "a", "--channel"),
    ("solve", "--offline", "--conda", "a", "--virtual-package"),
)
VARIABLES = (
    "ENVC_STORE",
    "ENVC_CACHE_DIR",
    "ENVC_MANIFEST",
    "ENVC_NOW",
    "ENVC_INDEX_URL",
    "ENVC_KEYRING_PROVIDER",
    "ENVC_OFFLINE",
    "ENVC_PYTHON",
    "ENVC_SOURCE_A_PASSWORD",
    "HTTPS_PROXY",
    "NETRC",
    "PIP_CONFIG_FILE",
    "PIP_INDEX_URL",
    "SSL_CERT_FILE",
    "XDG_CACHE_HOME",
    "HOME",
    "COLUMNS",
)
KEYS = (
    'project: store = {}',
    'project: exclude-newer = {}',
    'project: channels = [{}]',
    'project: indexes = [{}]',
    'step: run = {}',
    'step: run = [{}]',
    'step: code = [{}]',
    'step: conda = [{}]',
    'step: pypi = [{}]',
    'step: env = {{ A = {} }}',
    'step: env = {{ {} = "a" }}',
    'step: needs = [{}]',
    'step: python = {}',
    'step: interpreter = {}',
    'more: [sources.a]\nkind = "pypi"\nurl = {}',
    'more: [sources.a]\nkind = "conda"\nurl = {}',
    'more: [sources.a]\nkind = "find-links"\npath = {}',
    'more: [sources.{}]\nkind = "pypi"\nurl = "https://e.com"',
    'more: [targets.{}]\nplatform = "linux-64"',
    'more: [targets.gpu]\nplatform = {}',
    'more: [targets.gpu]\nplatform = "linux-64"\nglibc = {}',
    'more: [targets.gpu]\nplatform = "linux-64"\ncuda = {}',
    'more: [standalone]\nurl = {}',
    'more: [standalone]\ntable = {}',
    'more: [policy]\nbuild = [{}]',
    'more: [policy]\nexclude-newer-package = {{ a = {} }}',
    'more: [mapping]\na = {}',
    'more: [mapping]\n{} = "a"',
    'more: [virtual-packages.linux-64]\n__cuda = {}',
    'more: [groups.{}]\npypi = []',
)  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a manifest, as the current one, with a cache and a home of its own."""
    for name in [name for name in os.environ if name.startswith(("ENVC_", "PIP_"))]:
        monkeypatch.delenv(name)
    for name, value in {"HOME": "home", "ENVC_CACHE_DIR": "cache", "XDG_DATA_HOME": "data"}.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    folder = tmp_path / "project"
    folder.mkdir()
    write(folder)
    monkeypatch.chdir(folder)
    yield folder


def write(folder: Path, **parts: str) -> None:
    text = MANIFEST.format(**{"project": "", "step": "", "more": "", **parts})
    (folder / "manifest.toml").write_bytes(text.encode("utf-8", "surrogateescape"))


def toml(value: str) -> str:
    """A TOML string. A lone surrogate is written as the byte that it stands for, which is not UTF-8."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\0", "\\u0000") + '"'


def expect_no_bug(capsys: pytest.CaptureFixture[str], *words: str) -> None:
    run(list(words))
    captured = capsys.readouterr()
    assert BUG not in captured.err, (words, captured.err[-2000:])


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_odd_options_end_in_an_expected_error(
    command: tuple[str, ...], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in VALUES:
        expect_no_bug(capsys, *command, value)
        write(project)


@pytest.mark.parametrize("variable", VARIABLES)
def test_odd_variables_end_in_an_expected_error(
    variable: str, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in VALUES:
        monkeypatch.setenv(variable, value)
        for words in (("status",), ("lock", "--offline"), ("solve", "--offline", "--pypi", "a")):
            expect_no_bug(capsys, *words)


@pytest.mark.parametrize("key", KEYS)
def test_odd_values_of_a_manifest_end_in_an_expected_error(
    key: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part, _, line = key.partition(": ")
    for value in (*VALUES, "\0", "a\0b", "\x85"):
        write(project, **{part: line.format(toml(value))})
        for words in (("lock", "--offline"), ("status",), ("bundle", "--offline")):
            expect_no_bug(capsys, *words)
