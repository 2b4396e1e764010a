"""Where environments are, and which shell activates them: a step starts on the Python that it was locked for.

PATH, first lines of scripts and files of conda packages can hold only some paths. One cache may have several paths.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.command import ENVC, Workplace, host_platform
from tests.support import namespaces
from tests.support.conda_channels import write_channel
from tests.support.conda_packages import PLACEHOLDER, File, build_conda
from tests.support.manifests import conda_tables
from tests.support.servers import IndexServer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the packages contain shell scripts")
WHERE = ("python", "-c", "import sys; print(sys.prefix)")
CONDA = f"""\
{conda_tables(host_platform(), url="../channel")}
[steps.one]
conda = ["tool"]
run = "tool $HOME"
"""
WAITING = "#!/bin/sh\necho ready\nread line\ncat $CONDA_PREFIX/share/words\n"


@pytest.fixture
def bundled(workplace: Workplace) -> Workplace:
    workplace.ok("lock")
    workplace.ok("bundle", "--step", "train", "--platform", host_platform())
    return workplace


def conda_place(folder: Path, **scripts: str) -> Workplace:
    """A workplace with a step of conda packages with these activation scripts. Its `python` is a shell script."""
    shell = f"#!{PLACEHOLDER}/bin/python\nnot python\n"
    files: dict[str, File | str] = {
        "bin/tool": File("#!/bin/sh\npython\n", mode=0o755),
        "bin/wait": File(WAITING, mode=0o755),
        "bin/by-python": File(shell, mode=0o755),
        "share/words": f"{PLACEHOLDER}\n",
    }
    files |= {f"etc/conda/activate.d/{name}.sh": text for name, text in scripts.items()}
    python = {"bin/python": File("#!/bin/sh\necho locked python $MARK\n", mode=0o755)}
    subdir = host_platform()
    write_channel(
        folder / "channel",
        build_conda("python", "3.12.4", files=python, subdir=subdir),
        build_conda("tool", "1.0", files=files, depends=["python"], subdir=subdir),
    )
    place = Workplace(folder, None)
    place.write(CONDA.replace(" $HOME", ""))
    place.ok("lock")
    place.ok("bundle", "--fast")
    return place


# paths


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("run_2026-01-01T00:00:00", "PATH cannot hold a path with ':'"),
        ("two\nlines", "cannot hold a path with a line end"),
        ("two\rlines", "cannot hold a path with a line end"),
    ],
)
def test_a_folder_that_path_or_a_script_cannot_name_is_refused_before_any_work(
    name: str, says: str, workplace: Workplace, tmp_path: Path, index: IndexServer
) -> None:
    cache, prefix = tmp_path / name / "cache", tmp_path / name / "prefix"
    refused = workplace.fails(1, "run", "train", ENVC_CACHE_DIR=str(cache))
    assert says in refused.err and "ENVC_CACHE_DIR" in refused.err
    assert not workplace.lock.exists() and not index.requests_for("/simple/alpha/")
    workplace.ok("lock")
    workplace.ok("bundle", "--step", "train", "--platform", host_platform(), "--output", "one.zst")
    for arguments in (
        ("hydrate", "train"),
        ("hydrate", "./one.zst"),
        ("run", "./one.zst"),
        ("run", "train"),
        ("run", "--all"),
    ):
        assert says in workplace.fails(1, *arguments, ENVC_CACHE_DIR=str(cache)).err
    for what in ("train", "./one.zst"):
        refused = workplace.fails(1, "hydrate", what, "--prefix", str(prefix))
        assert says in refused.err and "--prefix" in refused.err
    assert not prefix.exists() and not (cache / "envs").exists()


def test_an_environment_for_another_platform_is_only_unpacked_so_any_folder_will_do(
    workplace: Workplace, tmp_path: Path
) -> None:
    workplace.ok("lock")
    workplace.ok("bundle", "--step", "train", "--platform", "win-64")
    workplace.ok("hydrate", "train", "--platform", "win-64", "--prefix", str(tmp_path / "a:b"))
    assert (tmp_path / "a:b" / ".envc" / "record.json").exists()


@pytest.mark.parametrize("name", ["a b", "a;b", "a\"b'c", "a%b", "a$HOME`b", "a\\b", "-a", "é", "a\udcff", "l" * 200])
def test_a_step_starts_from_any_other_folder(name: str, bundled: Workplace, tmp_path: Path) -> None:
    """Also its console scripts, whose first line could not hold most of these paths."""
    cache = tmp_path / name / "cache"
    run = [ENVC, "run", "train", "--"]
    for command, says in (
        (WHERE, os.fsencode(cache)),
        (("say-alpha",), b"alpha\n"),
        (("python", "main.py", "x"), b"x"),
    ):
        done = subprocess.run(
            [*run, *command],
            cwd=bundled.checkout,
            env=bundled.env | {"ENVC_CACHE_DIR": str(cache)},
            capture_output=True,
            check=True,
        )
        assert says in done.stdout
    prefix = tmp_path / name / "prefix"
    hydrate = [ENVC, "hydrate", "train", "--prefix", prefix, "--bytecode"]
    done = subprocess.run(hydrate, cwd=bundled.checkout, env=bundled.env, capture_output=True, check=True)
    assert done.stdout == os.fsencode(prefix) + b"\n"
    assert subprocess.run([prefix / "bin/say-alpha"], capture_output=True, check=True).stdout == b"alpha\n"
    verify = [ENVC, "verify", "--prefix", prefix]
    assert b"0 problems" in subprocess.run(verify, env=bundled.env, capture_output=True, check=True).stderr


@pytest.mark.parametrize("name", ["a b", "a'b", 'a"b', "a$HOME`b", "a\\b", "é", "l" * 120, "l l" * 40])
def test_conda_scripts_start_from_any_printable_folder(name: str, tmp_path: Path) -> None:
    place = conda_place(tmp_path)
    prefix = tmp_path / name / "p"
    place.ok("hydrate", "one", "--prefix", str(prefix))
    assert (prefix / "share/words").read_text() == f"{prefix}\n"
    path = f"{prefix}/bin:{os.environ['PATH']}"
    done = subprocess.run([prefix / "bin/by-python"], env={"PATH": path}, capture_output=True, text=True, check=False)
    assert done.stdout == "locked python\n", done.stderr
    assert place.ok("run", "one", ENVC_CACHE_DIR=str(tmp_path / name / "cache")).out == "locked python\n"


@pytest.mark.parametrize("name", ["a\tb", "a\x1b[31mb", "a\udcff"])
def test_conda_files_cannot_name_a_folder_that_is_not_printable(name: str, tmp_path: Path) -> None:
    place = conda_place(tmp_path)
    refused = place.fails(1, "hydrate", "one", "--prefix", str(tmp_path / name / "p"))
    assert "control characters, or that is not Unicode" in refused.err
    assert "\x1b" not in refused.err
    assert place.fails(1, "run", "one", ENVC_CACHE_DIR=str(tmp_path / name)).out == ""


# the caller's shell


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_the_shell_that_activates_reads_nothing_of_the_caller(shell: str, tmp_path: Path) -> None:
    """CI systems export BASH_ENV; shells with `nounset` export SHELLOPTS. Scripts of packages do not expect either."""
    place = conda_place(tmp_path, a='echo "activated $UNSET" >/dev/null; cd ./; export MARK=$MARK:a\n')
    if shell == "sh":
        # A folder of programs without bash, so that /bin/sh is used.
        (tmp_path / "programs").mkdir()
        for name in ("cat", "env", "sh"):
            (tmp_path / "programs" / name).symlink_to(shutil.which(name) or "")
        place.env["PATH"] = str(tmp_path / "programs")
    evil = tmp_path / "start"
    evil.write_text("echo started; PATH=/nonexistent; exit 9\n")
    hostile = {
        "BASH_ENV": str(evil),
        "ENV": str(evil),
        "SHELLOPTS": "braceexpand:errexit:nounset:noexec:xtrace",
        "BASHOPTS": "extdebug:failglob",
        "BASH_FUNC_python%%": "() { echo another python; }",
        "BASH_FUNC_exec%%": "() { echo no exec; }",
        "BASH_FUNC_shift%%": "() { return 1; }",
        "BASH_FUNC_echo%%": "() { exit 7; }",
        "POSIXLY_CORRECT": "1",
        "CDPATH": "/",
        "GLOBIGNORE": "*",
        "PROMPT_COMMAND": "exit 1",
        "IFS": "/",
        "PS4": "$(exit 8)",
        "BASH_XTRACEFD": "1",
        "FUNCNEST": "1",
        "ZDOTDIR": str(tmp_path),
        "MARK": "mine",
    }
    assert place.ok("run", "one", **hostile).out == "locked python mine:a\n"
    # The step itself sees what its caller exported.
    del hostile["MARK"]  # the script sets it
    program = f"import os; print(all(os.environ.get(key) == value for key, value in {hostile!r}.items()))"
    assert place.ok("run", "one", "--", sys.executable, "-c", program, **hostile).out == "True\n"


# one cache, several paths


def running(place: Workplace, cache: Path, before: Sequence[str] = ()) -> subprocess.Popen[str]:
    """A step that waits for a line, and then reads a file of its environment."""
    step = subprocess.Popen(
        [*before, str(ENVC), "run", "one", "--", "wait"],
        cwd=place.checkout,
        env=place.env | {"ENVC_CACHE_DIR": str(cache)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert step.stdout is not None and step.stdout.readline() == "ready\n"
    return step


def test_a_cache_with_two_paths_keeps_an_environment_for_each(tmp_path: Path) -> None:
    place = conda_place(tmp_path)
    first, second = tmp_path / "cache", tmp_path / "link"
    second.symlink_to(first)
    with running(place, first) as step:
        other = place.ok("hydrate", "one", "--json", ENVC_CACHE_DIR=str(second)).json
        assert other["made"] and other["prefix"].startswith(str(second))
        out, _ = step.communicate("go\n", timeout=60)
    (prefix,) = out.split()
    assert Path(prefix).parent == first / "envs"
    assert (Path(other["prefix"]) / "share/words").read_text() == other["prefix"] + "\n"
    # Neither is made again.
    for cache in (first, second):
        assert not place.ok("hydrate", "one", "--json", ENVC_CACHE_DIR=str(cache)).json["made"]
    assert len(list(first.glob("envs/*"))) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="mount namespaces are a feature of Linux")
def test_a_cache_mounted_at_another_path_leaves_running_steps_alone(tmp_path: Path) -> None:
    if namespaces.missing():
        pytest.skip(str(namespaces.missing()))
    place = conda_place(tmp_path)
    cache, mount = tmp_path / "cache", tmp_path / "mount"
    mount.mkdir()
    place.ok("run", "one")
    with running(place, cache) as step:
        script = 'mount --bind "$1" "$2"; shift 2; exec "$@"'
        bind = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(cache), str(mount)]
        with running(place, mount, bind) as other:
            assert other.communicate("go\n", timeout=60)[0].startswith(f"{mount}/envs/")
        assert step.communicate("go\n", timeout=60)[0].startswith(f"{cache}/envs/")
    assert len(list(cache.glob("envs/*"))) == 2


def test_a_damaged_environment_is_not_replaced_while_a_step_runs_from_it(tmp_path: Path) -> None:
    place = conda_place(tmp_path)
    with running(place, place.cache) as step:
        (state,) = place.cache.glob("envs/*/.envc/prefix.json")
        state.write_text("{}")
        refused = place.fails(1, "run", "one")
        assert "is not replaced, because a step may be using it" in refused.err
        assert step.communicate("go\n", timeout=60)[0].startswith(f"{place.cache}/envs/")
    assert place.ok("run", "one").out == "locked python\n"
