"""`envc bundle`, `hydrate`, `run`, `status` and `solve` through the installed command, with a folder store."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.command import ENVC, HOST_PYTHON, Workplace, host_platform
from tests.e2e.conftest import MANIFEST
from tests.support.imports import assert_importable
from tests.support.servers import IndexServer

POSIX_ONLY = pytest.mark.skipif(os.name != "posix", reason="needs POSIX processes")


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_fresh_clone_runs_a_step_with_one_command(workplace: Workplace) -> None:
    done = workplace.ok("run", "train")
    assert done.out == "step train alpha 1.1 hello there\n"
    assert workplace.lock.exists()


def test_the_exit_code_and_the_arguments_of_the_step_pass_through(workplace: Workplace) -> None:
    workplace.ok("run", "report", "--", "python", "-c", "print('ready')")
    done = workplace.fails(
        7, "run", "report", "--", "python", "-c", "import sys; print(sys.argv[1:]); sys.exit(7)", "--json", "a b"
    )
    assert done.out == "['--json', 'a b']\n"


def test_hydrate_and_run_need_only_the_store(workplace: Workplace, index: IndexServer, tmp_path: Path) -> None:
    """Another checkout, an empty cache and no index, as in a container."""
    workplace.ok("lock")
    workplace.ok("bundle")
    index.stop()
    elsewhere = Workplace(tmp_path / "container", None)
    shutil.copytree(workplace.checkout, elsewhere.checkout, dirs_exist_ok=True)
    elsewhere.env["ENVC_STORE"] = str(workplace.store)
    elsewhere.env["ENVC_OFFLINE"] = "1"
    prefix = tmp_path / "prefix with spaces"
    assert elsewhere.ok("hydrate", "train", "--prefix", str(prefix)).out == f"{prefix}\n"
    assert elsewhere.ok("run", "prepare").out == "step prepare alpha 1.1 \n"
    assert (
        subprocess.run([prefix / "bin" / "say-alpha"], capture_output=True, text=True, check=True).stdout == "alpha\n"
    )


def test_an_environment_in_the_cache_is_made_once(workplace: Workplace) -> None:
    workplace.ok("lock")
    workplace.ok("bundle", "--platform", host_platform())
    first = workplace.ok("hydrate", "train", "--json").json
    assert first["made"] is True
    assert workplace.ok("hydrate", "train", "--json").json == {"prefix": first["prefix"], "made": False}


@POSIX_ONLY
def test_a_warm_run_imports_no_network_code(workplace: Workplace) -> None:
    workplace.ok("run", "train")
    network = {"urllib3", "ssl", "http.client", "urllib.request", "envc.fetch.net.http", "envc.fetch.net.settings"}
    assert_importable(network)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", ENVC, "run", "train"],
        cwd=workplace.checkout,
        env=workplace.env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "step train alpha 1.1 hello there\n"
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "envc.pipeline.run" in imported
    assert sorted(network & imported) == []


def test_equal_environments_are_stored_once_and_foreign_platforms_as_easily(workplace: Workplace) -> None:
    workplace.ok("lock")
    bundled = workplace.ok("bundle", "--json").json
    assert len(bundled["steps"]) == 12
    environments = {step["pointer"]["environment"] for step in bundled["steps"]}
    # prepare and report share an environment; train has another wheel of `native` on each platform.
    assert len(environments) == 8
    assert len(files_below(workplace.store / "v1" / "environments")) == 8
    again = workplace.ok("bundle", "--json").json
    assert again["made"] == []
    assert again["steps"] == bundled["steps"]


def test_one_platform_and_one_step_can_be_bundled_alone(workplace: Workplace) -> None:
    workplace.ok("lock")
    bundled = workplace.ok("bundle", "--platform", "win-64", "--step", "train", "--json").json
    assert [(step["step"], step["target"]) for step in bundled["steps"]] == [("train", "win-64")]
    assert any(name.endswith("win_amd64.whl") for name in bundled["made"])
    done = workplace.fails(2, "bundle", "--platform", "win-46")
    assert "did you mean win-64?" in done.err


def test_a_foreign_environment_can_be_unpacked(workplace: Workplace, tmp_path: Path) -> None:
    workplace.ok("lock")
    workplace.ok("bundle")
    prefix = tmp_path / "windows"
    workplace.ok("hydrate", "train", "--platform", "win-64", "--prefix", str(prefix))
    assert "win_amd64" in (prefix / "Lib" / "site-packages" / "native.py").read_text()
    assert (prefix / "Scripts" / "say-alpha.exe").exists()


def test_the_prefix_behaves_like_a_virtual_environment(workplace: Workplace, tmp_path: Path) -> None:
    workplace.ok("lock")
    workplace.ok("bundle")
    prefix = tmp_path / "prefix"
    workplace.ok("hydrate", "train", "--prefix", str(prefix))
    script = (
        "import sys, importlib.metadata as m\n"
        "print(sys.prefix != sys.base_prefix, sys.prefix)\n"
        "print(sorted(d.metadata['Name'] for d in m.distributions()))\n"
        "print(m.version('alpha'), [e.name for e in m.entry_points(group='console_scripts')])\n"
    )
    done = subprocess.run([prefix / "bin" / "python", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"True {prefix}",
        "['alpha', 'beta', 'delta', 'gamma', 'native']",
        "1.1 ['say-alpha']",
    ]
    checked = subprocess.run(
        [sys.executable, "-m", "pip", "--python", prefix / "bin" / "python", "check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "No broken requirements found" in checked.stdout


def test_the_callers_python_does_not_leak_into_a_step(workplace: Workplace, tmp_path: Path) -> None:
    leak = tmp_path / "leak"
    leak.mkdir()
    (leak / "leaked.py").write_text("")
    user = tmp_path / "user"
    user_site = user / "lib" / f"python{HOST_PYTHON}" / "site-packages"
    user_site.mkdir(parents=True)
    (user_site / "userleak.py").write_text("")
    script = (
        "import importlib.util as u, os, sys\n"
        "print([n for n in ('leaked', 'userleak', 'pytest', 'envc') if u.find_spec(n)])\n"
        "print([n for n in ('PYTHONPATH', 'PYTHONHOME', 'PYTHONSTARTUP') if n in os.environ], sys.flags.no_user_site)\n"
    )
    done = workplace.ok(
        "run",
        "report",
        "--",
        "python",
        "-c",
        script,
        PYTHONPATH=str(leak),
        PYTHONSTARTUP=str(leak / "leaked.py"),
        PYTHONUSERBASE=str(user),
    )
    assert done.out == "[]\n[] 1\n"


def test_code_is_part_of_the_bundle(workplace: Workplace) -> None:
    workplace.ok("lock")
    workplace.ok("bundle")
    (workplace.checkout / "main.py").write_text("print('the working tree')\n")
    assert workplace.ok("run", "prepare").out == "the working tree\n"
    assert workplace.ok("run", "prepare", "--from-store").out == "step prepare alpha 1.1 \n"


def test_a_stale_lock_is_refused_unless_frozen(workplace: Workplace) -> None:
    workplace.ok("lock")
    workplace.ok("bundle")
    workplace.write(MANIFEST.replace("alpha>=1", "alpha>=1.0.1"))
    for verb in (("bundle",), ("hydrate", "train"), ("run", "train")):
        done = workplace.fails(1, *verb)
        assert "prepare.requires: + pypi:alpha>=1.0.1" in done.err
        assert "--frozen" in done.err
    assert workplace.ok("run", "--frozen", "train").out == "step train alpha 1.1 hello there\n"


def test_status_shows_shared_and_stale_environments(workplace: Workplace) -> None:
    assert "run `envc lock`" in workplace.ok("status").out
    workplace.ok("lock")
    shown = workplace.ok("status", "--json").json
    by_step = {(step["step"], step["target"]): step["environment"] for step in shown["steps"]}
    key = f"linux-64/cp{HOST_PYTHON.replace('.', '')}"
    assert by_step["prepare", key] == by_step["report", key] != by_step["train", key]
    assert shown["fresh"] is True
    workplace.write(MANIFEST.replace('"native", ', ""))
    text = workplace.ok("status").out
    assert "train.requires: - pypi:native" in text
    assert [line.split()[-1] for line in text.splitlines() if line.startswith("train")] == ["stale"] * 4
    assert not any("stale" in line for line in text.splitlines() if line.startswith("prepare"))


def test_solve_needs_no_manifest_and_works_for_any_platform(workplace: Workplace) -> None:
    done = workplace.ok(
        "solve", "--pypi", "native", "--pypi", "beta[fast]", "--platform", "win-64", "--python", HOST_PYTHON, "--json"
    )
    packages = {package["name"]: package for package in done.json["packages"]}
    assert sorted(packages) == ["beta", "delta", "native"]
    assert packages["native"]["file"].endswith("win_amd64.whl")
    assert packages["beta"]["depends"] == ["delta"]
    assert set(packages["native"]) == {"kind", "name", "version", "file", "sha256", "source", "depends"}
    assert workplace.ok("solve", "--pypi", "gamma<2").out == "gamma==1.0\n"
    assert "there is nothing to solve" in workplace.fails(2, "solve").err
    assert "unsolvable" in workplace.fails(1, "solve", "--pypi", "gamma>9", "--json").out


# bad input


def test_an_object_with_broken_bytes_is_named_and_derived_again(workplace: Workplace, index: IndexServer) -> None:
    workplace.ok("lock")
    workplace.ok("bundle", "--platform", host_platform())
    alpha = next(path for path in (workplace.store / "v1" / "objects").rglob("*") if path.is_file())
    data = bytearray(alpha.read_bytes())
    data[10] ^= 0xFF
    alpha.chmod(0o644)
    alpha.write_bytes(data)
    offline = workplace.fails(1, "hydrate", "train")
    assert "object of" in offline.err
    assert workplace.ok("run", "train").out == "step train alpha 1.1 hello there\n"


def test_bytes_that_do_not_match_are_refused(workplace: Workplace, index: IndexServer) -> None:
    workplace.ok("lock")
    index.behaviour.corrupt.add("alpha-1.1-py3-none-any.whl")
    done = workplace.fails(1, "bundle")
    assert "alpha-1.1-py3-none-any.whl" in done.err
    assert "does not match its digest" in done.err
    assert not any("alpha" in name for name in files_below(workplace.cache / "artifacts"))


def test_a_cut_download_is_resumed_where_it_stopped(workplace: Workplace, index: IndexServer) -> None:
    workplace.ok("lock")
    index.behaviour.cut["alpha-1.1-py3-none-any.whl"] = 300
    workplace.ok("bundle")
    assert index.requests_for("/files/alpha-1.1-py3-none-any.whl") >= 2


def test_an_unwritable_store_is_a_clear_error(workplace: Workplace) -> None:
    workplace.ok("lock")
    workplace.store.write_text("a file, not a folder")
    done = workplace.fails(1, "bundle")
    assert str(workplace.store) in done.err
    assert "hint:" in done.err


def test_the_error_for_a_missing_environment_says_what_to_do(workplace: Workplace) -> None:
    workplace.ok("lock")
    done = workplace.fails(1, "hydrate", "train")
    assert "envc bundle" in done.err


def test_a_step_without_this_platform_is_refused(workplace: Workplace) -> None:
    other = "win-64" if host_platform() != "win-64" else "linux-64"
    project = f'[project]\nname = "d"\ntargets = ["{other}"]\npython = "{HOST_PYTHON}"\n'
    workplace.write(project + '[steps.a]\nrun = "python"\n')
    done = workplace.fails(2, "run", "a")
    assert f"has no target for this machine, which is {host_platform()}" in done.err


def test_a_missing_python_interpreter_is_reported(workplace: Workplace) -> None:
    workplace.write(
        f'[project]\nname = "d"\ntargets = ["{host_platform()}"]\npython = "3.8"\n[steps.a]\nrun = "python"\n'
    )
    done = workplace.fails(1, "run", "a")
    assert "this machine has no" in done.err
    assert "ENVC_PYTHON" in done.err


@POSIX_ONLY
@pytest.mark.parametrize("verb", ["lock", "bundle"])
def test_ctrl_c_loses_nothing_and_the_command_can_continue(workplace: Workplace, index: IndexServer, verb: str) -> None:
    if verb == "bundle":
        workplace.ok("lock")
    index.behaviour.delay = 1.0  # long enough that the command cannot end before the signal, even under load
    seen = len(index.log)
    command = subprocess.Popen(
        [ENVC, verb],
        cwd=workplace.checkout,
        env=workplace.env,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while len(index.log) == seen and time.monotonic() < deadline:
        time.sleep(0.01)
    command.send_signal(signal.SIGINT)
    _, errors = command.communicate(timeout=20)
    assert command.returncode == 130, errors
    assert errors.strip() == "interrupted: no file is half-written; run the same command again to continue"
    assert workplace.lock.exists() == (verb == "bundle")
    index.behaviour.delay = 0
    workplace.ok(verb)
    workplace.ok("run", "train")
