"""A command line that is accepted has the words that a shell would read; one that a shell would change is refused."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envc.model.command_line import BadCommandLine, join_words, read_words

WORDS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=8), min_size=1)
TEXTS = st.text("ab1=/-~#*?[]{}!%^$`\\'\"|&;<>() \t\n", max_size=12)


@given(WORDS)
def test_a_list_of_words_is_quoted_so_that_it_is_read_as_written(words: list[str]) -> None:
    words[0] = words[0].replace("=", "") or "x"
    assert read_words(join_words(tuple(words))) == tuple(words)


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_accepted_text_means_the_same_to_a_shell(text: str) -> None:
    try:
        words = read_words(f"x {text}")
    except BadCommandLine:
        return
    script = f"x() {{ printf '%s\\0' x \"$@\"; }}; x {text.strip()}"
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True)
    assert tuple(done.stdout.decode().split("\0")[:-1]) == words
