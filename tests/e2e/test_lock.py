"""`envc lock` through the installed command, with a real local index."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.command import HOST_PYTHON, Workplace
from tests.e2e.conftest import MAIN, MANIFEST
from tests.support.imports import assert_importable
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel


def test_a_manifest_is_locked_for_four_platforms(workplace: Workplace) -> None:
    done = workplace.ok("lock")
    text = workplace.lock.read_text()
    assert "wrote manifest.lock: 3 steps, 4 targets, 5 packages" in done.err
    assert done.out == ""
    for platform in ("manylinux_2_17_x86_64", "manylinux_2_17_aarch64", "macosx_11_0_arm64", "win_amd64"):
        assert platform in text
    assert '"pypi:beta @ linux-64, linux-aarch64, osx-arm64"' in text
    assert "delta; extra ==" in text
    assert "slowlib" not in text


def test_no_other_program_is_started_and_only_the_index_is_contacted(workplace: Workplace, index: IndexServer) -> None:
    guard = (
        "import sys\n"
        "def watch(event, args):\n"
        "    programs = ('subprocess.Popen', 'os.system', 'os.exec', 'os.posix_spawn', 'os.fork', 'os.forkpty')\n"
        "    if event in programs:\n"
        "        raise RuntimeError('started a program: ' + event)\n"
        "    if event == 'socket.connect' and args[1][0] != '127.0.0.1':\n"
        "        raise RuntimeError(f'connected to {args[1]}')\n"
        "sys.addaudithook(watch)\n"
        "from envc.cli.main import run\n"
        "sys.exit(run(['lock']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", guard],
        cwd=workplace.checkout,
        env=workplace.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert workplace.lock.exists()
    assert index.requests_for("/simple/alpha/") == 1


def test_a_warm_relock_imports_only_what_it_needs(workplace: Workplace) -> None:
    """Start-up is a large part of a small lock, so no parsers, network code, digests or click are imported."""
    workplace.ok("lock")
    before = workplace.lock.read_bytes()
    workplace.write(MANIFEST + 'pypi = ["delta"]\n')
    workplace.ok("lock")
    after = workplace.lock.read_bytes()
    workplace.lock.write_bytes(before)
    heavy = {"packaging.requirements", "packaging.tags", "packaging.utils", "click", "urllib3", "ssl", "_hashlib"}
    heavy |= {
        "unearth",
        "rich",
        "logging",
        "subprocess",
        "tomlkit",
        "platformdirs",
        "envc_solvers.conda.language.record",
    }
    assert_importable(heavy)
    code = "import sys; from envc.cli.main import run; code = run(['lock', '--offline']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=workplace.checkout,
        env=workplace.env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert workplace.lock.read_bytes() == after
    assert sorted(heavy & set(done.stdout.split())) == []


def test_an_unchanged_manifest_needs_no_network(workplace: Workplace, index: IndexServer) -> None:
    workplace.ok("lock")
    index.stop()
    before = workplace.lock.stat().st_mtime_ns
    done = workplace.ok("lock")
    assert "manifest.lock is unchanged" in done.err
    assert workplace.lock.stat().st_mtime_ns == before


def test_locking_works_offline_with_a_full_cache(workplace: Workplace, index: IndexServer) -> None:
    workplace.ok("lock")
    first = workplace.lock.read_text()
    workplace.lock.unlink()
    index.stop()
    workplace.ok("lock", "--offline")
    assert workplace.lock.read_text() == first


def test_offline_with_an_empty_cache_names_what_is_missing(workplace: Workplace) -> None:
    done = workplace.fails(1, "lock", "--offline")
    assert "is not in the cache, and --offline forbids fetching it" in done.err
    assert not workplace.lock.exists()


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path, workplace: Workplace, index: IndexServer) -> None:
    """Twenty checkouts, each with another hash seed and another order of steps and targets, give one text."""
    workplace.ok("lock", PYTHONHASHSEED="0")
    head, *steps = MANIFEST.split("\n[steps.")
    targets = ['"linux-64"', '"linux-aarch64"', '"osx-arm64"', '"win-64"']
    for seed in range(1, 21):
        rng = random.Random(seed)
        rng.shuffle(targets)
        rng.shuffle(steps)
        shuffled = head.replace('"linux-64", "linux-aarch64", "osx-arm64", "win-64"', ", ".join(targets))
        place = Workplace(tmp_path / f"seed{seed}", index.url)
        place.write("\n[steps.".join([shuffled, *(step.rstrip("\n") + "\n" for step in steps)]), main__py=MAIN)
        place.ok("lock", PYTHONHASHSEED=str(seed), ENVC_CACHE_DIR=str(workplace.cache if seed % 2 else place.cache))
        assert place.lock.read_text() == workplace.lock.read_text()


def test_a_lock_contains_no_address(workplace: Workplace, index: IndexServer) -> None:
    workplace.ok("lock")
    text = workplace.lock.read_text()
    assert "://" not in text
    assert "127.0.0.1" not in text
    assert index.base.rpartition(":")[2] not in text


def test_relocking_keeps_pins_and_upgrading_moves_them(workplace: Workplace, index: IndexServer) -> None:
    workplace.ok("lock")
    index.add(build_wheel("alpha", "1.2", ["gamma>=1"]))
    index.add(build_wheel("gamma", "2.1"))
    workplace.write(MANIFEST + 'pypi = ["delta"]\n')
    workplace.ok("lock", "--refresh")
    assert 'version = "1.1"' in workplace.lock.read_text()
    assert 'version = "1.2"' not in workplace.lock.read_text()
    one = workplace.ok("lock", "-P", "gamma", "--refresh")
    assert "~ gamma 2.0 -> 2.1" in one.err
    assert "alpha" not in one.err
    everything = workplace.ok("lock", "--upgrade")
    assert "~ alpha 1.1 -> 1.2" in everything.err
    exact = workplace.ok("lock", "-P", "gamma==1.0")
    assert "~ gamma 2.1 -> 1.0" in exact.err


def test_a_pin_keeps_its_file_if_a_better_one_is_added(workplace: Workplace, index: IndexServer) -> None:
    workplace.ok("lock")
    tag = f"cp{HOST_PYTHON.replace('.', '')}"
    index.add(build_wheel("native", "1.0", tag=f"{tag}-{tag}-manylinux_2_24_x86_64"))
    workplace.write(MANIFEST.replace('"native", ', '"native", "delta", '))
    workplace.ok("lock", "--refresh")
    assert "manylinux_2_24" not in workplace.lock.read_text()
    workplace.ok("lock", "-P", "native")
    assert "manylinux_2_24" in workplace.lock.read_text()


def test_upgrading_an_unknown_package_suggests_the_nearest_name(workplace: Workplace) -> None:
    workplace.ok("lock")
    done = workplace.fails(2, "lock", "-P", "gama")
    assert "did you mean gamma?" in done.err


def test_an_interpreter_that_does_not_fit_is_reported_before_an_unknown_package(workplace: Workplace) -> None:
    workplace.ok("lock")
    workplace.write(MANIFEST + 'conda = ["tool"]\ninterpreter = "host"\n')
    done = workplace.fails(1, "lock", "-P", "gama")
    assert 'interpreter = "host" (steps.' in done.err
    assert ".interpreter, line " in done.err


def test_check_lists_every_reason(workplace: Workplace) -> None:
    missing = workplace.fails(1, "lock", "--check")
    assert "there is no lock file manifest.lock" in missing.err
    workplace.ok("lock")
    workplace.ok("lock", "--check")
    workplace.write(MANIFEST.replace("alpha>=1", "alpha>=1.1").replace('"osx-arm64", ', ""))
    before = workplace.lock.read_text()
    stale = workplace.fails(1, "lock", "--check")
    assert "prepare.requires: - pypi:alpha>=1\n" in stale.err
    assert "prepare.requires: + pypi:alpha>=1.1 (groups.base.pypi[0], line 7)\n" in stale.err
    assert "options.targets.osx-arm64: - macos=13.0" in stale.err
    assert workplace.lock.read_text() == before
    as_json = workplace.fails(1, "lock", "--check", "--json")
    assert as_json.json["error"]["code"] == "stale-lock"
    assert any("alpha>=1.1 (groups.base" in reason for reason in as_json.json["error"]["reasons"])
    status = workplace.ok("status", "--json").json["reasons"]
    assert {
        "key": "train.requires",
        "old": "",
        "new": "pypi:alpha>=1.1",
        "at": ["groups", "base", "pypi", 0],
        "line": 7,
    } in status
    assert all(reason["line"] is None for reason in status if not reason["new"])
    pyproject = "".join(
        f"[tool.envc.{line[1:]}" if line.startswith("[") else line for line in MANIFEST.splitlines(keepends=True)
    )
    (workplace.checkout / "pyproject.toml").write_text(pyproject)
    workplace.ok("lock", "pyproject.toml")
    (workplace.checkout / "pyproject.toml").write_text("# A line more.\n" + pyproject.replace('"native"', '"delta"'))
    elsewhere = workplace.fails(1, "lock", "--check", "pyproject.toml")
    assert "train.requires: + pypi:delta (steps.train.pypi[0], line 17)\n" in elsewhere.err


def test_a_dry_run_writes_nothing(workplace: Workplace) -> None:
    done = workplace.ok("lock", "--dry-run")
    assert "would write manifest.lock" in done.err
    assert not workplace.lock.exists()


def test_a_change_to_one_step_requests_only_new_data(workplace: Workplace, index: IndexServer) -> None:
    workplace.ok("lock")
    index.forget()
    workplace.write(MANIFEST + 'pypi = ["delta"]\n')
    workplace.ok("lock", ENVC_NOW="2026-07-01T00:00:00Z")
    assert not any("native" in path or "beta" in path for path in index.paths)


# bad input


def test_an_unreachable_index_is_reported(workplace: Workplace, index: IndexServer) -> None:
    index.stop()
    done = workplace.fails(1, "lock")
    assert "cannot get" in done.err
    assert "hint:" in done.err


def test_an_unknown_project_is_reported_with_the_nearest_name(workplace: Workplace) -> None:
    workplace.ok("lock")
    workplace.write(MANIFEST.replace('"alpha>=1"', '"alpah"'))
    done = workplace.fails(1, "lock")
    assert "there is no project alpah" in done.err
    assert "did you mean alpha?" in done.err


def test_an_unsatisfiable_set_is_reported_with_manifest_lines(workplace: Workplace) -> None:
    workplace.write(MANIFEST.replace('"alpha>=1"', '"alpha>=1", "gamma>=3"'))
    done = workplace.fails(1, "lock")
    assert "groups.base.pypi[1]" in done.err
    assert "line 7" in done.err
    assert "gamma" in done.err
    as_json = workplace.fails(1, "lock", "--json")
    assert as_json.json["error"]["code"] == "unsolvable"


def test_a_project_with_only_source_distributions_is_refused(workplace: Workplace) -> None:
    workplace.write(MANIFEST.replace('"alpha>=1"', '"only-source"'))
    done = workplace.fails(1, "lock")
    assert "only-source-3.0.tar.gz" in done.err or "only_source-3.0.tar.gz" in done.err
    assert "groups.base.pypi[0]" in done.err


def test_all_mistakes_in_the_manifest_are_reported_at_once(workplace: Workplace) -> None:
    workplace.write(MANIFEST.replace("needs = [", "neds = [").replace("alpha>=1", "alpha>>1"))
    done = workplace.fails(2, "lock")
    assert "steps.train.neds" in done.err
    assert "needs" in done.err
    assert "groups.base.pypi[0]" in done.err
    assert "2 mistakes in manifest.toml" in done.err


def test_a_lock_of_a_newer_version_is_refused(workplace: Workplace) -> None:
    workplace.ok("lock")
    workplace.lock.write_text(workplace.lock.read_text().replace("version = 1\n", "version = 2\n", 1))
    done = workplace.fails(1, "lock")
    assert "lock format 2" in done.err


def test_the_result_depends_on_the_target_and_not_on_the_machine(workplace: Workplace) -> None:
    workplace.write(
        f'[project]\nname = "d"\ntargets = ["osx-64"]\npython = "{HOST_PYTHON}"\n[steps.a]\npypi = ["native"]\n'
    )
    done = workplace.fails(1, "lock")
    assert "cannot solve step a on osx-64" in done.err
    nearest = next(line for line in done.err.splitlines() if "nearest:" in line)
    assert "macosx_11_0_arm64.whl is for macosx_11_0_arm64" in nearest


# merges


def test_branches_that_add_different_steps_merge_without_a_conflict(workplace: Workplace, tmp_path: Path) -> None:
    texts = _branches(workplace, 'pypi = ["delta"]\n', '[steps.zeta]\npypi = ["gamma<2"]\n')
    merged, code = _merge(tmp_path, *texts)
    assert code == 0
    assert "<<<<<<<" not in merged


def test_a_lock_with_conflict_markers_is_merged_by_key(
    workplace: Workplace, index: IndexServer, tmp_path: Path
) -> None:
    texts = _branches(workplace, '[steps.same]\npypi = ["gamma<2"]\n', '[steps.same]\npypi = ["delta"]\n')
    merged, code = _merge(tmp_path, *texts)
    assert code == 1
    workplace.lock.write_text(merged)
    workplace.write(MANIFEST + '[steps.same]\npypi = ["delta"]\n')
    stale = workplace.fails(1, "lock", "--check")
    assert "merge conflict markers" in stale.err
    index.forget()
    workplace.ok("lock")
    assert workplace.lock.read_text() == texts[2]
    assert not any("native" in path for path in index.paths)


def _branches(workplace: Workplace, ours: str, theirs: str) -> tuple[str, str, str]:
    """Return the lock of the base manifest, and those of two branches that add to it."""
    texts = []
    workplace.ok("lock")
    base = workplace.lock.read_text()
    for addition in ("", ours, theirs):
        workplace.lock.write_text(base)
        workplace.write(MANIFEST + addition)
        workplace.ok("lock")
        texts.append(workplace.lock.read_text())
    return texts[0], texts[1], texts[2]


def _merge(folder: Path, base: str, ours: str, theirs: str) -> tuple[str, int]:
    """Return git's merge of two branches, and the number of conflicts."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed; the test compares with it")
    for name, text in (("base", base), ("ours", ours), ("theirs", theirs)):
        (folder / name).write_text(text)
    done = subprocess.run(
        ["git", "merge-file", "-p", "ours", "base", "theirs"], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.stdout, min(done.returncode, 1)


def test_a_span_filters_new_choices_and_a_moment_filters_all(workplace: Workplace, index: IndexServer) -> None:
    """A span moves with time, so it leaves locked pins alone. A fixed moment applies to everything."""
    index.add(build_wheel("alpha", "1.2", ["gamma>=1"]), uploaded="2026-05-20T00:00:00Z")

    def with_cutoff(text: str) -> str:
        return MANIFEST.replace("[groups.base]", f"exclude-newer = {text}\n\n[groups.base]", 1)

    workplace.write(with_cutoff('"7 days"'))
    workplace.ok("lock")
    assert 'id = "pypi:alpha"\nversion = "1.2"' in workplace.lock.read_text()
    workplace.write(with_cutoff('"30 days"'))
    workplace.ok("lock")
    assert 'exclude-newer = "P30D"' in workplace.lock.read_text()
    assert 'id = "pypi:alpha"\nversion = "1.2"' in workplace.lock.read_text()
    workplace.write(with_cutoff("2026-05-02T00:00:00Z"))
    workplace.ok("lock")
    assert 'id = "pypi:alpha"\nversion = "1.1"' in workplace.lock.read_text()
    workplace.write(with_cutoff('"30 days"'))
    workplace.ok("lock", "--upgrade")
    assert 'id = "pypi:alpha"\nversion = "1.1"' in workplace.lock.read_text()


def test_a_package_that_the_lock_lists_twice_is_named_as_such(workplace: Workplace) -> None:
    workplace.ok("lock")
    text = workplace.lock.read_text()
    start = text.index("[[package]]")
    block = text[start : text.index("[[package]]", start + 1)]
    workplace.lock.write_text(text.replace(block, block * 2, 1))
    err = workplace.fails(1, "lock", "--check").err
    assert "pypi:alpha on linux-64" in err
    assert "is listed twice" in err
    assert "cannot be found" not in err


def test_a_lock_says_what_changed_and_where_once(workplace: Workplace, index: IndexServer) -> None:
    err = workplace.ok("lock").err
    assert "  + alpha 1.1\n" in err
    assert "  + native 1.0 (train)\n" in err
    assert "  + delta 0.5 (train on linux-64, linux-aarch64, osx-arm64)\n" in err
    assert "wrote manifest.lock: 3 steps, 4 targets, 5 packages (" in err
    document = workplace.ok("lock", "-P", "alpha==1.0", "--json").json
    assert document["changes"] == [
        {
            "kind": "pypi",
            "name": "alpha",
            "old": ["1.1"],
            "new": ["1.0"],
            "steps": ["prepare", "report", "train"],
            "targets": ["linux-64", "linux-aarch64", "osx-arm64", "win-64"],
            "all_steps": True,
            "all_targets": True,
        }
    ]
