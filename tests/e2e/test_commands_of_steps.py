"""What runs as the command of a step: words, a list of words, or a text for a shell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.command import HOST_PYTHON, Workplace, host_platform

POSIX_ONLY = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")

PROJECT = f"""\
[project]
name = "commands"
targets = ["{host_platform()}"]
python = "{HOST_PYTHON}"

[steps.words]
pypi = ["alpha"]
"""
ARGUMENTS = """import sys; print(sys.argv[1:])"""


@pytest.mark.parametrize(
    "command", ["python main.py | tee out.txt && echo done", 'python main.py "$FOO"', "python main.py *.csv"]
)
def test_what_only_a_shell_understands_is_refused_with_the_line_and_the_ways_out(
    workplace: Workplace, command: str
) -> None:
    workplace.write(f"{PROJECT}run = '{command}'\n")
    done = workplace.fails(2, "run", "words")
    assert "manifest.toml:8:1: steps.words.run: the " in done.err
    assert "no shell runs this command line" in done.err
    assert "write shell = true in the step" in done.err
    assert not workplace.lock.exists()


def test_quoted_operators_and_lists_are_plain_words(workplace: Workplace) -> None:
    command = """python main.py "a|b" "*" c\\;d"""
    workplace.write(f"{PROJECT}run = '''{command}'''\n", main__py=ARGUMENTS)
    assert workplace.ok("run", "words").out == "['a|b', '*', 'c;d']\n"
    workplace.write(f'{PROJECT}run = ["python", "main.py", "$FOO", "a b", "~", ""]\n', main__py=ARGUMENTS)
    assert workplace.ok("run", "words").out == "['$FOO', 'a b', '~', '']\n"


@POSIX_ONLY
def test_a_shell_runs_a_command_that_asks_for_one(workplace: Workplace, tmp_path: Path) -> None:
    command = "python main.py $FOO *.py | tee out.txt && say-alpha >> out.txt; cat out.txt; exit 3"
    workplace.write(f"{PROJECT}run = '{command}'\nshell = true\n", main__py=ARGUMENTS)
    assert workplace.fails(3, "run", "words", FOO="one two").out == "['one', 'two', 'main.py']\n" * 2 + "alpha\n"

    # A bundle carries the command, and that a shell runs it.
    pointer = workplace.ok("bundle", "--output", "words.tar.zst", "--json").json["steps"][0]["pointer"]
    assert (pointer["run"], pointer["shell"]) == (command, True)
    workplace.manifest.unlink()
    shipped = workplace.fails(3, "run", str(workplace.checkout / "words.tar.zst"), FOO="1")
    assert shipped.out == "['1', 'main.py']\n" * 2 + "alpha\n"


def test_a_pointer_says_nothing_of_shells_where_none_is_used(workplace: Workplace) -> None:
    workplace.write(f'{PROJECT}run = "python main.py"\n', main__py=ARGUMENTS)
    workplace.ok("lock")
    assert "shell" not in workplace.ok("bundle", "--json").json["steps"][0]["pointer"]
