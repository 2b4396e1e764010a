"""`envc lock --verify`: checks that locking again gives the same lock, and that its files still exist."""

from __future__ import annotations

from tests.e2e.command import HOST_PYTHON, Workplace
from tests.support.manifests import project_table
from tests.support.projects import backend_wheel, project_files, write_project
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel


def test_a_valid_lock_is_verified(workplace: Workplace, index: IndexServer) -> None:
    workplace.ok("lock")
    before = workplace.lock.read_bytes()
    done = workplace.ok("lock", "--verify")
    assert "manifest.lock matches what would be locked; 8 files found at their sources" in done.err
    assert "would differ" not in done.err
    index.add(build_wheel("alpha", "1.2", ["gamma>=1"]))
    newer = workplace.ok("lock", "--verify", "--json")
    assert newer.json["problems"] == []
    (change,) = newer.json["newer"]
    assert change.items() >= {"kind": "pypi", "name": "alpha", "old": ["1.1"], "new": ["1.2"]}.items()
    assert workplace.lock.read_bytes() == before


def test_a_lock_with_old_or_target_specific_pins_is_valid(workplace: Workplace, index: IndexServer) -> None:
    """Locking again keeps the pins: a target prefers its own pins to those of others."""
    workplace.ok("lock")
    index.add(build_wheel("alpha", "1.2", ["gamma>=1"]))
    workplace.ok("lock", "--upgrade", "--step", "report", "--target", "win-64", "--refresh")
    done = workplace.ok("lock", "--verify")
    assert "matches what would be locked" in done.err
    assert "would differ" in done.err


def test_missing_and_changed_files_are_reported(workplace: Workplace, index: IndexServer) -> None:
    workplace.ok("lock")
    index.remove("gamma-2.0-py3-none-any.whl")
    gone = workplace.fails(1, "lock", "--verify")
    assert gone.out == "gamma-2.0-py3-none-any.whl: pypi no longer has this file\n"
    assert "manifest.lock does not match what would be locked: 1 problem" in gone.err
    index.add(build_wheel("gamma", "2.0", files={"gamma.py": "SOMETHING = 'else'\n"}))
    other = workplace.fails(1, "lock", "--verify")
    assert "gamma-2.0-py3-none-any.whl: pypi has another file of this name, with sha256" in other.out


def test_a_pin_that_breaks_the_rules_is_named(workplace: Workplace) -> None:
    workplace.ok("lock")
    text = workplace.lock.read_text()
    workplace.lock.write_text(text.replace('depends = ["gamma>=1"]', 'depends = ["gamma"]'))
    done = workplace.fails(1, "lock", "--verify", "--json")
    assert [problem["where"] for problem in done.json["problems"]] == ["pypi:alpha"]
    assert done.json["problems"][0]["reason"] == "its depends would differ"


def test_a_yanked_pin_stays_with_a_warning_each_time(workplace: Workplace, index: IndexServer) -> None:
    workplace.ok("lock")
    index.add(build_wheel("gamma", "2.0", requires_python=">=3.8"), yanked="broken on Sundays")
    done = workplace.ok("lock", "--verify")
    assert "gamma 2.0 was yanked: broken on Sundays" in done.err
    workplace.write(workplace.manifest.read_text() + 'pypi = ["delta"]\n')
    again = workplace.ok("lock", "--refresh")
    assert "gamma 2.0 was yanked: broken on Sundays" in again.err
    assert 'id = "pypi:gamma"\nversion = "2.0"' in workplace.lock.read_text()
    workplace.ok("lock", "--upgrade")
    assert 'id = "pypi:gamma"\nversion = "1.0"' in workplace.lock.read_text()


def test_verify_excludes_other_options_and_needs_a_fresh_lock(workplace: Workplace, index: IndexServer) -> None:
    workplace.fails(1, "lock", "--verify")
    workplace.ok("lock")
    wrong = workplace.fails(2, "lock", "--verify", "--upgrade")
    assert "--verify checks the whole lock and changes nothing" in wrong.err
    workplace.write(workplace.manifest.read_text() + 'pypi = ["delta"]\n')
    stale = workplace.fails(1, "lock", "--verify")
    assert "is out of date" in stale.err


def test_a_wheel_by_path_and_a_built_project_are_verified(workplace: Workplace, index: IndexServer) -> None:
    index.add(backend_wheel())
    wheel = build_wheel("vendored", "1.0", ["gamma"])
    (workplace.checkout / "vendor").mkdir()
    (workplace.checkout / "vendor" / wheel.file).write_bytes(wheel.data)
    write_project(workplace.checkout / "libs/acme", project_files("acme", depends='"gamma"'))
    workplace.write(
        project_table("linux-64", python=HOST_PYTHON)
        + f'[steps.only]\npypi = [{{ path = "vendor/{wheel.file}" }}, {{ path = "libs/acme" }}]\n'
        '[policy]\nbuild = ["acme"]\n'
    )
    workplace.ok("lock")
    done = workplace.ok("lock", "--verify")
    assert "manifest.lock matches what would be locked" in done.err
