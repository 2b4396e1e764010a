"""The reason of a yank as a lock records it: one line of text without URLs."""

from __future__ import annotations

from unicodedata import category

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from envc.model.reason import MAX_LENGTH, plain_reason


@pytest.mark.parametrize(
    "text",
    [
        "",
        "broken on Sundays",
        "Use 2.1.3 or 2.1.post1, not 2.1.0rc1 and/or v3.x (e.g. on Python 3.12)...",
        "CVE-2026-1234: leaks; don't use!",
        "сломан на Windows",
        "版本损坏。请勿使用",
        "50 % slower",
        "a sign of later days: \U000cffff",
    ],
)
def test_plain_text_is_kept(text: str) -> None:
    assert plain_reason(text) == text


@pytest.mark.parametrize(
    "address",
    [
        "https://example.com/issues/7",
        "(https://user:secret@example.com).",
        "HTTPS://EXAMPLE.COM",
        "hxxp[:]//example.com",
        "http:/example",
        "//example.com/x",
        "\\\\server\\share",
        "example.com",
        "Packages.Internal.Example.Com,",
        "пример.рф",
        "bücher.example/x",
        "xn--e1afmkfd.xn--p1ai",
        "user:secret@localhost",
        "git@host:group/project",
        "maintainer@example.org",
        "build-7:8443/simple",
        "10.0.0.1:8080",
        "https%3A%2F%2Fexample.com",
        "".join(chr(ord(sign) + 0xFEE0) for sign in "https://example.com"),  # full width
        "exam\u200bple.c\u00adom",
        "https:\u2060//example.com",
        "setup.py",
    ],
)
def test_urls_are_removed(address: str) -> None:
    assert plain_reason(f"see {address} for more") == "see … for more"


def test_line_ends_and_control_characters_are_removed() -> None:
    assert plain_reason("one\r\n\ttwo\x00\x1b[2Jthree\u202efour\u2028five\x85six") == "one two[2Jthreefour five six"
    assert plain_reason(" \n ") == ""


def test_long_texts_are_cut_between_words() -> None:
    reason = plain_reason("word " * 1_000_000)
    assert len(reason) <= MAX_LENGTH and reason.endswith("word …")
    assert plain_reason("x" * 10_000) == ""
    assert plain_reason("x" * 1_000) == "…"
    # Half of a URL would not be recognised as one.
    assert "exam" not in plain_reason("https://a " * 199 + "is example.com")


@given(st.text() | st.text("aZ9.:/@%\\- \n…\u200b\uff0e\u3002", max_size=300))
@example("x" * (MAX_LENGTH + 1))
@example("a " * MAX_LENGTH)
def test_the_result_is_one_short_line_and_cleaning_is_idempotent(text: str) -> None:
    reason = plain_reason(text)
    assert len(reason) <= MAX_LENGTH
    assert reason == " ".join(reason.split())
    assert not {category(sign) for sign in reason} & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert not any(sign in reason for sign in ("//", "@", "\\\\"))
    assert plain_reason(reason) == reason
