"""Output on a terminal: messages quote untrusted text, whose control characters must not reach the terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from envc.cli.group import envc
from envc.cli.main import run
from envc.cli.output import plain, report_error
from envc.cli.progress import Terminal
from envc.errors import Refusal, Unsolvable, UsageError
from envc.locking.resolve.refusal import Message


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["lock", "--nosuch"], "No such option"),
        (["lokc"], "did you mean `envc lock`?"),
        (["solve", "--channel-priority", "none"], "'none' is not one of"),
        (["cache", "nosuch"], "nosuch"),
        (["hydrate"], "STEP"),
    ],
)
def test_usage_errors_are_json_too(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*args, "--json"]) == 2
    shown = capsys.readouterr()
    error = json.loads(shown.out)["error"]
    assert error["code"] == UsageError("").code and message in error["message"]
    assert message in shown.err
    assert run(args) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("args", [["--json"], ["show", "--json"]])
def test_a_group_accepts_the_options_of_its_default_verb(
    args: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVC_CACHE_DIR", str(tmp_path))
    assert run(["cache", *args]) == 0
    shown = capsys.readouterr().out
    assert json.loads(shown)["folder"] == str(tmp_path)
    assert envc.main(["cache", *args], standalone_mode=False) == 0
    assert capsys.readouterr().out == shown
    assert run(["cache", "-h"]) == 0
    assert "prune" in capsys.readouterr().out


def test_control_characters_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "a\x1b[2J\r\x9b1m\u202eb\n\tc"
    spelled = "a\\x1b[2J\\r\\x9b1m\\u202eb\\n\tc"
    assert plain(hostile) == spelled
    assert plain("naïve 日本 🐍") == "naïve 日本 🐍"
    report_error(UsageError(hostile, hostile), as_json=False)
    assert capsys.readouterr().err == f"error: {spelled}\n  hint: {spelled}\n"
    with Terminal() as terminal:
        terminal.warn(hostile)
        terminal.note(hostile)
    assert capsys.readouterr().err == f"warning: {spelled}\n{spelled}\n"


ENDING = """
import atexit, sys, threading, time
from envc.cli.main import main
threading.Thread(target=time.sleep, args=(60,), daemon=True).start() if {started} else None
atexit.register(print, "Python ended")
sys.argv = ["envc", "--version"]
main()
"""


@pytest.mark.parametrize("started", [True, False])
def test_python_is_not_finalised_under_running_threads(started: bool) -> None:
    """Finalising the interpreter while a daemon thread runs an extension module sometimes crashes."""
    code = ENDING.format(started=started)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("envc")
    assert done.stdout.endswith("Python ended\n") == (not started)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_output_that_cannot_be_written_is_a_failure() -> None:
    code = ENDING.format(started=True)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode != 0
    assert "No space left on device" in done.stderr


def test_the_general_hint_is_shown_only_where_a_refusal_has_no_suggestion() -> None:
    with_suggestion = Refusal(
        title="step a on linux-64", why=Message("there is no app", {}), suggestion="leave out `app`"
    )
    without_suggestion = Refusal(title="step b on linux-64", why=Message("there is no lib", {}))
    assert Unsolvable((with_suggestion,)).hint is None
    assert "loosen" in (Unsolvable((with_suggestion, without_suggestion)).hint or "")
