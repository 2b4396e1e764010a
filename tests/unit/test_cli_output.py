"""What reaches a terminal: messages quote what others wrote, and none of it moves the cursor."""

from __future__ import annotations

import pytest

from envc.cli.output import plain, report_error
from envc.cli.progress import Terminal
from envc.errors import UsageError


def test_control_characters_are_spelled_out(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "a\x1b[2J\r\x9b1m\u202eb\n\tc"
    spelled = "a\\x1b[2J\\r\\x9b1m\\u202eb\n\tc"
    assert plain(hostile) == spelled
    assert plain("naïve 日本 🐍") == "naïve 日本 🐍"
    report_error(UsageError(hostile, hostile), as_json=False)
    assert capsys.readouterr().err == f"error: {spelled}\n  hint: {spelled}\n"
    with Terminal() as terminal:
        terminal.warn(hostile)
        terminal.note(hostile)
    assert capsys.readouterr().err == f"warning: {spelled}\n{spelled}\n"
