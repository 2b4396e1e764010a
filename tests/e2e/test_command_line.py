"""What users of git, uv and cargo expect of a command line."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from envc import __version__
from tests.e2e.command import Workplace


@pytest.mark.parametrize("option", ["-V", "-v", "--version"])
def test_the_version_has_the_usual_names(workplace: Workplace, option: str) -> None:
    assert workplace.ok(option).out == f"envc {__version__}\n"


def test_help_is_also_a_command(workplace: Workplace) -> None:
    assert workplace.ok("help").out == workplace.ok("--help").out
    assert workplace.ok("help", "lock").out == workplace.ok("lock", "--help").out
    assert workplace.ok("help", "cache", "prune").out == workplace.ok("cache", "prune", "--help").out
    assert "did you mean `envc lock`?" in workplace.fails(2, "help", "lcok").err


def test_python_runs_the_package_and_no_module_of_the_current_folder(workplace: Workplace) -> None:
    (workplace.checkout / "msgspec.py").write_text("raise SystemExit('a stranger')")
    done = subprocess.run(
        [sys.executable, "-m", "envc", "status"],
        cwd=workplace.checkout,
        env=workplace.env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "there is no lock file" in done.stdout


def test_another_folder_can_be_named_before_the_command(workplace: Workplace) -> None:
    below = workplace.checkout / "below"
    below.mkdir()
    assert "there is no lock file" in workplace.ok("-C", "checkout", "status", cwd=workplace.folder).out
    assert "there is no lock file" in workplace.ok("-Ccheckout", "-C", "below", "status", cwd=workplace.folder).out
    assert "-C nowhere: No such file or directory" in workplace.fails(2, "-C", "nowhere", "status").err


@pytest.mark.parametrize(
    ("options", "env", "is_coloured"),
    [
        ([], {}, False),
        (["--color", "always"], {}, True),
        (["--color=always"], {"NO_COLOR": "1"}, True),
        (["--color=never"], {"FORCE_COLOR": "1"}, False),
        ([], {"FORCE_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "0"}, False),
        (["--color=auto"], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_follow_the_option_then_the_variables(
    workplace: Workplace, options: list[str], env: dict[str, str], is_coloured: bool
) -> None:
    for line in ([*options, "lock", "--check"], ["lock", "--check", *options]):
        err = workplace.fails(1, *line, **env).err
        assert ("\x1b[1;31merror\x1b[0m" in err) == is_coloured
    assert "'loud' is none of auto, always, never" in workplace.fails(2, "lock", "--color", "loud").err


def test_words_after_the_dashes_belong_to_the_step(workplace: Workplace) -> None:
    script = "import sys; print(sys.argv[1:])"
    done = workplace.ok("run", "report", "--", "python", "-c", script, "--color=never", "-V", "help")
    assert done.out == "['--color=never', '-V', 'help']\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["run", "https://user:secret@example.org/one.tar.zst"], 2),
        (["hydrate", "https://user:secret@example.org/one.tar.zst"], 2),
        (["lock", "https://user:secret@example.org/manifest.toml"], 2),
        (["bundle", "--output", "s3://user:secret@bucket/one.tar.zst"], 2),
        (["hydrate", "train", "--prefix", "https://user:secret@example.org/x"], 2),
        (["init", "https://user:secret@example.org/x"], 2),
    ],
)
def test_a_url_in_place_of_a_file_is_named_as_one(workplace: Workplace, arguments: list[str], code: int) -> None:
    err = workplace.fails(code, *arguments).err
    assert "is a URL" in err
    assert "://***@" in err
    assert "secret" not in err


@pytest.mark.parametrize(
    ("key", "meant"), [("pipy", "pypi"), ("conad", "conda"), ("rnu", "run"), ("evn", "env"), ("nedes", "needs")]
)
def test_swapped_letters_in_a_key_get_a_suggestion(workplace: Workplace, key: str, meant: str) -> None:
    text = workplace.manifest.read_text()
    workplace.manifest.write_text(f"{text}\n[steps.more]\n{key} = []\n")
    assert f"steps.more.{key}: unknown key\n    did you mean '{meant}'?" in workplace.fails(2, "lock").err


def test_bundle_says_where_how_much_and_how_long(workplace: Workplace) -> None:
    workplace.ok("lock")
    where = re.escape(str(workplace.store))
    size = r"\d+\.\d MiB"
    first = workplace.ok("bundle", "--step", "report").err
    seconds = r"\(\d+\.\d s\)\n"
    amounts = f"4 objects, {size}; 4 new objects, {size} {seconds}"
    assert re.fullmatch(f"bundled 4 step-targets in 4 environments to {where}: {amounts}", first)
    second = workplace.ok("bundle", "--step", "report", "--target", "linux-64", "--output", "report.tar.zst").err
    assert re.fullmatch(
        rf"bundled 1 step-target in 1 environment to {where}: 2 objects, {size}; 0 new objects, 0\.0 MiB \(.* s\)\n"
        rf"wrote {re.escape(str(workplace.checkout / 'report.tar.zst'))}: {size}\n",
        second,
    )
    document = workplace.ok("bundle", "--step", "report", "--json").json
    assert document["store"] == str(workplace.store)
    assert document["size"] > 0


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tgz", "x.tar", "x.zst.gz"])
def test_a_bundle_cannot_be_named_as_another_format(workplace: Workplace, name: str) -> None:
    err = workplace.fails(2, "bundle", "--step", "report", "--target", "linux-64", "--output", name).err
    assert "a bundle is a tar file under zstd" in err
    assert "let the name end in .tar.zst or .zst or .tzst" in err
    assert not workplace.lock.exists()
