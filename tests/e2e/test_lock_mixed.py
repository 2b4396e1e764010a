"""`envc lock` for steps with conda and PyPI packages: channels on disk, an index on the loopback interface."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from envc.locking.lockfile.load import load
from envc.locking.lockfile.merge import merge
from envc.locking.lockfile.save import save
from tests.e2e.command import Workplace
from tests.e2e.test_lock_conda import record, write_channel
from tests.golden.regenerate import check_golden
from tests.support.channels import CHANNELS, copy_example
from tests.support.manifests import conda_tables
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "locks"
MANIFEST = f"""\
{conda_tables("linux-64", "osx-arm64", "win-64")}
[steps.one]
conda = ["num"]
pypi = ["app"]

[steps.two]
pypi = ["lib"]

[steps.three]
conda = ["tool"]
"""
NUM = {"depends": ["python >=3.12,<3.13.0a0"]}


@pytest.fixture
def index() -> Iterator[IndexServer]:
    server = IndexServer()
    server.add(build_wheel("app", "1.0", ["num<2", "lib", 'old; python_full_version < "3.12.4"']))
    server.add(build_wheel("lib", "1.0"))
    server.add(build_wheel("num", "9.0"))
    with server:
        yield server


@pytest.fixture
def place(tmp_path: Path, index: IndexServer) -> Workplace:
    place = Workplace(tmp_path, index.url)
    place.write(MANIFEST)
    write_numbers(place)
    return place


def write_numbers(place: Workplace, *versions: str) -> None:
    """Write the channel, with `num` in these versions for every platform."""
    versions = versions or ("1.0", "2.0")
    changes = {
        subdir.replace("-", "_"): {
            file: fields
            for version in versions
            for file, fields in record("num", version, f"py312_{subdir[:3]}_0", subdir, **NUM).items()
        }
        for subdir in ("linux-64", "osx-arm64", "win-64")
    }
    write_channel(place.checkout / "channel", **changes)


def test_both_kinds_lock_for_every_platform_together(place: Workplace, index: IndexServer) -> None:
    done = place.ok("lock")
    assert "wrote manifest.lock: 3 steps, 3 targets" in done.err
    check_golden(GOLDEN / "mixed.lock", place.lock.read_text())
    # The newest num of conda is too new for app: conda was solved again, and the index was never queried for num.
    assert index.requests_for("/simple/num/") == 0
    place.ok("lock", "--check")
    place.ok("lock", "--verify")
    assert "manifest.lock is unchanged" in place.ok("lock").err
    assert json.loads(place.ok("status", "--json").out)["reasons"] == []


def test_locking_one_kind_again_keeps_the_other(place: Workplace, index: IndexServer) -> None:
    write_numbers(place, "1.0")
    place.ok("lock")
    write_numbers(place, "1.0", "1.1", "2.0")
    index.add(build_wheel("app", "1.5", ["num<2", "lib"]))
    index.add(build_wheel("lib", "1.5"))
    place.write(MANIFEST.replace('pypi = ["app"]', 'pypi = ["app", "lib"]'))
    assert "- " not in (done := place.ok("lock", "--refresh")).err
    assert "~ " not in done.err
    assert "~ num 1.0 -> 1.1" in place.ok("lock", "-P", "num", "--refresh").err
    text = place.lock.read_text()
    assert "app-1.0" in text
    assert "~ lib 1.0 -> 1.5" in place.ok("lock", "-P", "lib", "--refresh").err
    assert "num-1.1" in place.lock.read_text()


def test_branches_that_add_a_step_of_each_kind_merge(place: Workplace, index: IndexServer) -> None:
    added = {
        "four": '[steps.four]\nconda = ["num <2"]\n',
        "five": '[steps.five]\nconda = ["num <2", "tool"]\npypi = ["app"]\n',
    }
    sides = []
    for text in added.values():
        place.write(f"{MANIFEST}\n{text}")
        place.lock.unlink(missing_ok=True)
        place.ok("lock")
        sides.append(load(place.lock))
    save(merge(*sides), place.lock)
    place.write(f"{MANIFEST}\n{added['four']}\n{added['five']}")
    index.forget()
    place.ok("lock", "--check")
    assert "manifest.lock is unchanged" in place.ok("lock").err
    assert index.paths == []


def test_a_conflict_shows_both_chains_with_their_lines(place: Workplace) -> None:
    place.write(MANIFEST.replace('conda = ["num"]', 'conda = ["num >=2"]'))
    done = place.fails(1, "lock")
    golden = "\n".join(line.rstrip() for line in done.err.splitlines()) + "\n"
    check_golden(ROOT / "tests" / "golden" / "messages" / "mixed-conflict.txt", golden)
    assert "(steps.one.conda[0], line 12)" in done.err
    assert "(steps.one.pypi[0], line 13)" in done.err
    data = json.loads(place.fails(1, "lock", "--json").out)
    problem = data["error"]["problems"][0]
    assert problem["conda"]["roots"][0]["spec"] == "num >=2"
    assert problem["pypi"][0]["subjects"][0]["project"] == "num"
    assert not place.lock.exists()


def test_the_manifests_mapping_has_priority_and_makes_a_lock_stale(place: Workplace) -> None:
    place.ok("lock")
    place.write(MANIFEST + "[mapping]\nnum = false\n")
    assert "options.mapping.num: + false" in place.fails(1, "lock", "--check").err
    place.fails(1, "lock")  # app needs num<2, which the index does not have
    place.write(MANIFEST.replace('["app"]', '["lib"]') + '[mapping]\nnum = "lib"\n')
    place.ok("lock")
    text = place.lock.read_text()
    assert 'pypi = ["lib"]' in text
    assert '"pypi:lib @' not in text  # in step one, lib comes from conda


def test_a_conda_package_may_supply_several_projects(place: Workplace, index: IndexServer) -> None:
    """Projects that install the same modules, such as opencv-python and opencv-contrib-python."""
    index.add(build_wheel("num-contrib", "3.0"))
    index.add(build_wheel("user", "1.0", ["num-contrib>=2"]))
    place.write(MANIFEST.replace('["app"]', '["user"]'))
    place.ok("lock")
    assert '"pypi:num-contrib' in place.lock.read_text()
    place.write(MANIFEST.replace('["app"]', '["user"]') + '[mapping]\nnum = ["num", "num-contrib"]\n')
    assert "options.mapping.num: + num, num-contrib" in place.fails(1, "lock", "--check").err
    place.ok("lock")
    text = place.lock.read_text()
    assert '"pypi:num-contrib' not in text
    assert 'pypi = ["num", "num-contrib"]' in text or '"num-contrib",' in text
    place.ok("lock", "--check")
    assert "manifest.lock is unchanged" in place.ok("lock").err


def test_an_extra_of_a_conda_package_adds_requirements_from_the_index(place: Workplace, index: IndexServer) -> None:
    index.add(build_wheel("num", "2.0", ["nothing", 'fast; extra == "speed"'], extras=["speed"]))
    index.add(build_wheel("fast", "0.1"))
    place.write(MANIFEST.replace('pypi = ["app"]', 'pypi = ["num[speed]"]'))
    place.ok("lock")
    text = place.lock.read_text()
    assert '"pypi:fast"' in text
    assert "nothing" not in text
    write_numbers(place, "2.5")
    place.lock.unlink()
    assert "num 2.5 has no extra speed" in place.ok("lock", "--refresh").err


def test_a_python_of_conda_needs_no_conda_package(place: Workplace) -> None:
    place.write(MANIFEST.replace("[steps.two]\n", '[steps.two]\ninterpreter = "conda"\n'))
    place.ok("lock")
    text = place.lock.read_text()
    assert 'steps = ["two"]' in text
    two = text.partition('steps = ["two"]')[2].partition("[[")[0]
    assert 'interpreter = "conda"' in two
    assert '"conda:python",' in two
    assert '"pypi:lib",' in two


@pytest.mark.parametrize("kind", ["host", "standalone"])
def test_conda_packages_need_conda_s_python(place: Workplace, kind: str) -> None:
    place.write(MANIFEST.replace('conda = ["num"]', f'conda = ["num"]\ninterpreter = "{kind}"'))
    done = place.fails(1, "lock")
    assert "a step with conda packages uses conda's own Python, and no other" in done.err
    where = f'(steps.one.conda[0], line 12), interpreter = "{kind}" (steps.one.interpreter, line 13)'
    assert f"step one: num {where}" in done.err
    assert not place.lock.exists()


def test_a_constraint_of_the_manifest_is_reported_with_its_line(place: Workplace) -> None:
    place.write(f'{MANIFEST}\n[constraints]\nconda = ["num >=3"]\n')
    done = place.fails(1, "lock")
    assert "the constraint num >=3 (constraints.conda[0], line 22) rules it out" in done.err


def test_a_project_with_a_source_of_its_own_does_not_come_from_conda(place: Workplace, index: IndexServer) -> None:
    inside = f'[sources.inside]\nkind = "pypi"\nurl = "{index.url}"\n'
    query = MANIFEST.replace('pypi = ["app"]', 'pypi = [{ name = "num", source = "inside" }]')
    place.write(query.replace("[steps.one]", f"{inside}[steps.one]"))
    done = place.fails(1, "lock")
    assert "num 1.0 to 2.0 cannot supply num: it comes from inside (steps.one.pypi[0], line 16)" in done.err


def test_both_kinds_are_solved_from_the_command_line(place: Workplace) -> None:
    query = ["--conda", "num", "--pypi", "app", "--channel", "./channel", "--platform", "win-64", "--python", "3.12"]
    done = place.ok("solve", *query, "--json")
    packages = {package["name"]: package for package in done.json["packages"]}
    assert {name: package["kind"] for name, package in packages.items()} == {
        "num": "conda",
        "python": "conda",
        "app": "pypi",
        "lib": "pypi",
    }
    assert packages["num"]["version"] == "1.0"
    assert packages["app"]["depends"] == ["lib", "num"]
    assert place.ok("solve", *query).out.splitlines()[0] == "num=1.0=py312_win_0"
    done = place.fails(1, "solve", *query, "--conda", "num >=2")
    assert "num 2.0 is excluded by the PyPI packages, which need num<2" in done.err


def test_a_real_table_of_names_and_a_real_channel(tmp_path: Path, index: IndexServer) -> None:
    """The example, with a recording of conda-forge and an index with its PyPI packages."""
    if not CHANNELS.is_dir():
        pytest.skip("the recorded channels are not beside this checkout")
    index.add(build_wheel("tabulate", "0.9.0"))
    needs = ["numpy", "pandas>=1.1.5", "scikit-learn>=1.0", "importlib-metadata>=1.0; python_version < '3.8'"]
    index.add(build_wheel("scikit-lego", "0.9.5", needs))
    place = Workplace(tmp_path, index.url)
    copy_example("conda-mixed", place.checkout)
    place.ok("lock", PYTHONHASHSEED="1")
    check_golden(GOLDEN / "conda-mixed.lock", place.lock.read_text())
    place.lock.unlink()
    place.ok("lock", PYTHONHASHSEED="2")
    check_golden(GOLDEN / "conda-mixed.lock", place.lock.read_text())
    place.ok("lock", "--check")


def test_a_yanked_file_in_a_mixed_step_is_reported_each_time(place: Workplace, index: IndexServer) -> None:
    index.add(build_wheel("lib", "2.0"), yanked="leaks")
    place.write(MANIFEST.replace('pypi = ["app"]', 'pypi = ["app", "lib==2.0"]'))
    warning = "warning: one on linux-64, osx-arm64, win-64: lib 2.0 was yanked: leaks\n"
    assert warning in place.ok("lock").err
    assert warning in place.ok("lock", "--check").err
    assert warning in place.ok("lock", "-P", "tool").err
