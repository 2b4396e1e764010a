"""Common mistakes of users: each message says what is wrong, where, and what to do, and is never an internal error."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import pytest

from tests.e2e.command import ENVC, HOST_PYTHON, Workplace, host_platform


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("lock", "--time-limit", "soon"), "--time-limit: 'soon' is neither a moment nor a span"),
        (("gc", "--recent", "2 months"), "--recent: '2 months' is not a fixed span"),
        (("cache", "prune", "--unused", "2026-01-01"), "--unused: '2026-01-01' is a point in time, not a span"),
    ],
)
def test_spans_name_their_option(workplace: Workplace, words: tuple[str, ...], message: str) -> None:
    done = workplace.fails(2, *words)
    assert message in done.err
    assert 'write a span of time such as "90s"' in done.err


def test_a_python_that_does_not_exist_yet_is_reported(workplace: Workplace) -> None:
    done = workplace.fails(2, "solve", "--pypi", "alpha", "--python", "3.99")
    assert "--python 3.99: no Python that envc knows satisfies '3.99'" in done.err
    assert "it knows 3.8" in done.err


def test_a_platform_not_in_the_manifest_is_not_treated_as_a_typo(workplace: Workplace) -> None:
    done = workplace.fails(2, "lock", "--target", "osx-64")
    assert "no target for osx-64; it has linux-64, linux-aarch64, osx-arm64, win-64" in done.err
    assert 'add "osx-64" to the targets' in done.err
    assert "did you mean osx-arm64?" in workplace.fails(2, "lock", "--target", "osx-arm46").err


def test_every_verb_accepts_the_manifest_option(workplace: Workplace) -> None:
    named = ("--manifest", str(workplace.manifest))
    elsewhere = workplace.folder
    workplace.ok("lock", *named, cwd=elsewhere)
    workplace.ok("bundle", *named, "--platform", host_platform(), "--step", "train", cwd=elsewhere)
    assert "the lock is up to date" in workplace.ok("status", "-m", str(workplace.manifest), cwd=elsewhere).out
    assert "given twice" in workplace.fails(2, "lock", "manifest.toml", *named).err
    assert "name it with --manifest" in workplace.fails(2, "run", "train", cwd=elsewhere).err


def test_frozen_is_suggested_if_it_helps(workplace: Workplace) -> None:
    workplace.ok("lock")
    workplace.manifest.write_text(workplace.manifest.read_text().replace('"alpha>=1"', '"alpha>=1.1"'))
    assert "run `envc lock`, or pass --frozen" in workplace.fails(1, "bundle").err
    assert "run `envc lock`, or pass --frozen" in workplace.fails(1, "verify").err
    for words in (("lock", "--check"), ("bundle", "--record"), ("tag", "v1")):
        message = workplace.fails(1, *words).err
        assert "hint: run `envc lock`\n" in message


@pytest.mark.parametrize(
    "words", [("lock", "--no-such-option"), ("solve", "--resolution", "newest"), ("cache", "grow")]
)
def test_wrong_options_are_reported_as_json_too(workplace: Workplace, words: tuple[str, ...]) -> None:
    done = workplace.fails(2, *words, "--json")
    assert done.json["error"]["code"] == "usage"
    assert done.json["error"]["message"]


def test_the_cache_is_shown_as_json_without_a_verb_too(workplace: Workplace) -> None:
    assert workplace.ok("cache", "--json").json == workplace.ok("cache", "show", "--json").json


def test_unwritable_locations_are_reported(workplace: Workplace) -> None:
    """A file in place of a folder is an example of an unusable location."""
    workplace.ok("lock")
    place = str(workplace.checkout / "main.py" / "x")
    no_cache = {"ENVC_CACHE_DIR": place}
    workplace.ok("lock", "--upgrade", **no_cache)
    for words in (("bundle", "--step", "train"), ("hydrate", "train")):
        workplace.ok("bundle", "--step", "train") if words[0] == "hydrate" else None
        message = workplace.fails(1, *words, **no_cache).err
        assert f"{place}" in message and "cannot be written: Not a directory" in message and "ENVC_CACHE_DIR" in message
    assert workplace.ok("cache", **no_cache).out == f"{place}\n"
    assert "removed 0 items" in workplace.ok("cache", "prune", "--all", **no_cache).err
    assert "choose another --prefix" in workplace.fails(1, "hydrate", "train", "--prefix", place).err
    done = workplace.fails(1, "init", place, "--python", HOST_PYTHON)
    assert "manifest.toml cannot be written: Not a directory" in done.err


def without_rights(workplace: Workplace, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command with only the rights that file modes give, even if the tests run as root."""
    before: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root's rights cannot be dropped here")
        before = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]
    command = [*before, str(ENVC), *words]
    return subprocess.run(
        command, cwd=workplace.checkout, env=workplace.env, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(sys.platform == "win32", reason="rights are not file modes there")
def test_locations_of_other_users_are_reported(workplace: Workplace) -> None:
    workplace.ok("lock")
    workplace.ok("bundle", "--step", "train", "--platform", host_platform())
    workplace.ok("hydrate", "train")
    envs = workplace.cache / "envs"
    envs.chmod(0)
    workplace.checkout.chmod(0o555)
    try:
        shown = without_rights(workplace, "cache")
        assert shown.returncode == 1 and f"error: {envs}: Permission denied" in shown.stderr
        assert "check the free space and the permissions there" in shown.stderr
        added = without_rights(workplace, "add", "--step", "report", "delta")
        assert added.returncode == 1 and "manifest.toml cannot be written: Permission denied" in added.stderr
        ran = without_rights(workplace, "hydrate", "train")
        assert ran.returncode == 1 and "Permission denied" in ran.stderr and "ENVC_TRACEBACK" not in ran.stderr
    finally:
        for place in (workplace.checkout, envs):
            place.chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent to a single process")
def test_ctrl_c_during_start_up(workplace: Workplace) -> None:
    """No traceback, and above all no half-loaded extension module, which would crash when used."""
    (workplace.folder / "modules").mkdir()
    interrupted = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nraise SystemExit('it went on')\n"
    (workplace.folder / "modules" / "msgspec.py").write_text(interrupted)
    env = workplace.env | {"PYTHONPATH": str(workplace.folder / "modules")}
    # A shell ignores interrupts in background jobs, and child processes inherit that.
    script = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    script += "from envc.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "status"], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
