"""Laws of files that contain the prefix: lengths, C strings, and restoring the original."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envc.shipping.unpack.placeholders import (
    LINUX_LINE,
    PrefixTooLong,
    check_placeholder,
    restore_binary,
    restore_text,
    rewrite_binary,
    rewrite_text,
    spell_prefix,
)

OLD = "/opt/built_placehold_placehold"
_PREFIXES = st.text("abcxyz/_-.é", min_size=1, max_size=20).map(lambda text: f"/{text}")
_PIECES = st.lists(st.one_of(st.binary(max_size=12), st.sampled_from([OLD.encode(), b"\0", b"\0\0", b"/lib:"])))


def by_definition(data: bytes, old: bytes, new: bytes) -> bytes:
    """Replace the placeholder in each C string and pad the string with NULs, as the definition says."""
    strings = data.split(b"\0")
    spaces = []
    for string in strings:
        count = string.count(old)
        spaces.append(string.replace(old, new) + bytes(count * (len(old) - len(new))))
    return b"\0".join(spaces)


@given(_PIECES.map(b"".join), _PREFIXES)
def test_a_binary_keeps_its_length_and_the_offsets_of_strings(data: bytes, prefix: str) -> None:
    if len(prefix.encode()) > len(OLD):
        with pytest.raises(PrefixTooLong) as error:
            list(rewrite_binary(data, OLD, prefix))
        assert (error.value.room, error.value.length) == (len(OLD), len(prefix.encode()))
        return
    made = b"".join(rewrite_binary(data, OLD, prefix))
    assert made == by_definition(data, OLD.encode(), prefix.encode())
    assert len(made) == len(data)


@given(_PIECES.map(b"".join), _PREFIXES)
def test_rewritten_files_can_be_restored(data: bytes, prefix: str) -> None:
    marked = "/" + "q" * 5 + prefix[:14]  # never occurs in the data itself
    if marked.encode() not in data:
        made = b"".join(rewrite_binary(data, OLD, marked))
        assert b"".join(restore_binary(made, OLD, marked)) == data
        text = rewrite_text(data, OLD, marked, "win-64")
        assert OLD.encode() not in text
        assert restore_text(text, OLD, marked) == data


@given(st.sampled_from(["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]), _PREFIXES)
def test_a_text_is_rewritten_in_any_encoding(encoding: str, prefix: str) -> None:
    text = f"home = {OLD}/share; again {OLD}\n"
    made = rewrite_text(text.encode(encoding), OLD, prefix, "linux-64")
    assert made.decode(encoding) == text.replace(OLD, prefix)


@pytest.mark.parametrize(
    ("platform", "longest"), [("linux-64", LINUX_LINE), ("osx-arm64", 512), ("win-64", None)], ids=str
)
def test_an_unusable_shebang_looks_up_its_program_on_path(platform: str, longest: int | None) -> None:
    tail = "/bin/perl -w"
    for length in (100, 127, 128, 512, 513):
        prefix = "/" + "x" * (length - 3 - len(tail))
        made = rewrite_text(f"#!{OLD}{tail}\n# {OLD}\n".encode(), OLD, prefix, platform).decode()
        first, second, _ = made.split("\n")
        if longest is None or length <= longest:
            assert first == f"#!{prefix}{tail}"
        else:
            assert first == "#!/usr/bin/env perl -w"
        assert second == f"# {prefix}", "only the first line is special"


def test_a_prefix_with_a_blank_is_not_written_to_a_shebang() -> None:
    made = rewrite_text(f"#!{OLD}/bin/perl -w {OLD}/x\n".encode(), OLD, "/my env", "osx-64")
    assert made == b"#!/usr/bin/env perl -w /my env/x\n"
    assert rewrite_text(b"#!/bin/sh\n" + OLD.encode(), OLD, "/my env", "osx-64") == b"#!/bin/sh\n/my env"
    assert rewrite_text(f"#!{OLD}/bin/perl\n".encode(), OLD, "C:/my env", "win-64") == b"#!C:/my env/bin/perl\n"


BY_SHELL = "#!/bin/sh\n'''exec' \"{}/bin/python3.12\" -E \"$0\" \"$@\" #'''"


@pytest.mark.parametrize("prefix", ["/my env", "/" + "x" * 130], ids=["blank", "long"])
def test_a_python_script_finds_its_python_without_path(prefix: str) -> None:
    made = rewrite_text(f"#!{OLD}/bin/python3.12 -E\nprint()\n".encode(), OLD, prefix, "linux-64").decode()
    assert made == f"{BY_SHELL.format(prefix)}\nprint()\n"


@pytest.mark.parametrize("prefix", ['/"; $(evil) "', "/a `evil`", "/it's mine", "/back \\slash"])
def test_a_prefix_with_shell_characters_is_not_written_to_a_shebang(prefix: str) -> None:
    made = rewrite_text(f"#!{OLD}/bin/python3.12 -E\n".encode(), OLD, prefix, "linux-64").decode()
    assert made == "#!/usr/bin/env python3.12 -E\n"


def test_windows_gets_forward_slashes() -> None:
    assert spell_prefix("C:\\Users\\me\\env", "win-64") == "C:/Users/me/env"
    assert spell_prefix("/odd\\name", "linux-64") == "/odd\\name"


@pytest.mark.parametrize("placeholder", ["", "/", "/short", "x" * 5000, "/opt/with\0nul"])
def test_a_text_that_cannot_be_a_placeholder_is_refused(placeholder: str) -> None:
    with pytest.raises(ValueError, match="cannot stand for a prefix"):
        check_placeholder(placeholder)
