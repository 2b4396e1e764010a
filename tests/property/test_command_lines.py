"""The fast reader of command lines gives the same result as click."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envc.cli.commands import Command, Group
from envc.cli.verbs import VERBS, load_verb

WORDS = (
    "",
    "a",
    "x y",
    "-",
    "--",
    "-x",
    "--nosuch",
    "strict",
    "flexible",
    "3",
    "a=b",
    "--json=1",
    "copy",
    "1 day",
    "é",
    "no/such/folder",
    ".",
)


def commands() -> dict[str, Command]:
    """Return every command by the words that name it."""
    found = {}
    for name in VERBS:
        verb = load_verb(name)
        leaves = verb.commands.items() if isinstance(verb, Group) else [("", verb)]
        found |= {f"{name} {below}".strip(): leaf for below, leaf in leaves}
    return found


LEAVES = commands()


@st.composite
def command_lines(draw: st.DrawFn) -> tuple[str, list[str]]:
    name = draw(st.sampled_from(sorted(LEAVES)))
    options = [
        option for each in LEAVES[name].parameters if each.is_option for option in each.names if option[0] == "-"
    ]
    word = st.sampled_from(WORDS)
    option = st.sampled_from(options or ["--none"])
    piece = word.map(lambda text: [text]) | option.map(lambda text: [text])
    piece |= st.tuples(option, word).map(list) | st.tuples(option, word).map(lambda pair: ["=".join(pair)])
    return name, [each for part in draw(st.lists(piece, max_size=6)) for each in part]


@given(command_lines())
def test_plain_lines_are_read_as_by_click(line: tuple[str, list[str]]) -> None:
    name, words = line
    call = LEAVES[name].read(words)
    if call is not None:
        context = LEAVES[name].as_click().make_context(name, list(words))
        assert call.keywords == context.params


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "solve",
            ["--conda", "numpy >=2", "--conda=python", "--channel", "./c", "--platform", "linux-64", "--json", "-q"],
        ),
        ("solve", ["--pypi", "flask", "--channel-priority", "flexible", "--offline"]),
        ("lock", []),
        ("lock", ["--check", "some/manifest.toml", "-P", "numpy"]),
        ("status", ["--json"]),
        ("hydrate", ["step", "--prefix", "no/such/folder", "--target=linux-64", "-q"]),
        ("hydrate", ["step", "--prefix", "."]),
        ("run", ["step", "--", "python", "-c", "print(1)"]),
        ("add", ["numpy", "pandas", "--step", "train"]),
        ("cache show", ["--json"]),
        ("bundle", ["--small", "--output", "no/such/file.zst"]),
        ("init", []),
        ("init", ["no/such/folder", "--target", "linux-64"]),
    ],
)
def test_common_lines_are_read_without_click(name: str, words: list[str]) -> None:
    call = LEAVES[name].read(words)
    assert call is not None
    assert call.keywords == LEAVES[name].as_click().make_context(name, list(words)).params


@pytest.mark.parametrize("words", [["--help"], ["--nosuch"], ["--conda"], ["--channel-priority", "none"], ["numpy"]])
def test_help_and_mistakes_are_left_to_click(words: list[str]) -> None:
    assert LEAVES["solve"].read(words) is None


def test_every_verb_is_a_command_of_click() -> None:
    for name in VERBS:
        made = load_verb(name).as_click()
        assert isinstance(made, click.Command)
        assert made.help
