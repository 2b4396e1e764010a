"""Yanked files through the command line: kept once they are locked, and reported each time."""

from __future__ import annotations

import re
import sys

import pytest

from tests.e2e.command import HOST_PYTHON, Workplace, host_platform
from tests.support.manifests import project_table
from tests.support.projects import backend_wheel, project_files, sdist, write_project
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

NAMED = f"""\
{project_table("linux-64", "win-64", python=HOST_PYTHON)}
[steps.prepare]
pypi = ["gamma==2.0"]

[steps.train]
pypi = ["gamma", "delta"]

[steps.report]
pypi = ["delta"]
"""
WARNING = (
    "warning: prepare on linux-64, win-64: gamma 2.0 was yanked: broken on Sundays\n"
    "  hint: `envc lock -P gamma` takes another version; a requirement that names 2.0 exactly has to change first\n"
)
TOLD = {
    "name": "gamma",
    "version": "2.0",
    "source": "pypi",
    "reason": "broken on Sundays",
    "files": ["gamma-2.0-py3-none-any.whl"],
    "places": [{"steps": ["prepare"], "targets": ["linux-64", "win-64"]}],
    "builds": [],
}


def _yank(index: IndexServer, reason: str | None = "broken on Sundays") -> None:
    index.add(build_wheel("gamma", "2.0", requires_python=">=3.8"), yanked=reason)


@pytest.fixture
def yanking(workplace: Workplace, index: IndexServer) -> Workplace:
    """A lock with a step that pins a yanked version. Another step may use the project, and gets the older version."""
    _yank(index)
    workplace.write(NAMED)
    assert WARNING in workplace.ok("lock").err
    assert workplace.lock.read_text().count("yanked") == 1
    assert 'yanked = "broken on Sundays" }' in workplace.lock.read_text()
    return workplace


def test_every_lock_warns_and_an_unchanged_one_sends_no_request(yanking: Workplace, index: IndexServer) -> None:
    before = yanking.lock.read_bytes()
    index.forget()
    for arguments in (
        [],
        ["--check"],
        ["--quiet"],
        ["--offline"],
        ["--step", "report"],
        ["--check", "--step", "report"],
    ):
        assert WARNING in yanking.ok("lock", *arguments).err
    assert yanking.ok("lock", "--check", "--json").json["yanked"] == [TOLD]
    assert yanking.ok("lock", "--json").json["yanked"] == [TOLD]
    assert index.log == []
    for arguments in (["--dry-run", "--upgrade"], ["--verify"], ["--upgrade-package", "delta"]):
        assert WARNING in yanking.ok("lock", *arguments).err
    assert yanking.ok("lock", "--verify", "--json").json["yanked"] == [TOLD]
    assert yanking.lock.read_bytes() == before


def test_partial_and_stale_locks_warn_too(yanking: Workplace) -> None:
    assert WARNING in yanking.ok("add", "--step", "report", "beta").err
    assert WARNING in yanking.ok("remove", "--step", "report", "beta").err
    yanking.write(NAMED + '[steps.more]\npypi = ["beta"]\n')
    stale = yanking.fails(1, "lock", "--check")
    assert WARNING in stale.err and "step more is not in the lock" in stale.err
    assert WARNING in yanking.ok("lock").err
    yanking.write(NAMED.replace("gamma==2.0", "gamma"))
    assert "yanked" not in yanking.ok("lock", "-P", "gamma").err
    assert "yanked" not in yanking.lock.read_text()


def test_bundle_warns_of_yanked_files_and_run_does_not(workplace: Workplace, index: IndexServer) -> None:
    _yank(index)
    workplace.write(
        NAMED.replace('["linux-64", "win-64"]', f'["{host_platform()}"]').replace(
            "[steps.train]", "run = \"python -c 'import gamma'\"\n\n[steps.train]"
        )
    )
    warning = f"warning: prepare on {host_platform()}: gamma 2.0 was yanked: broken on Sundays\n"
    assert warning in workplace.ok("lock").err
    assert "was yanked" not in workplace.ok("bundle", "--step", "train").err
    assert warning in workplace.ok("bundle", "--step", "prepare").err
    assert "yanked" not in workplace.ok("run", "prepare").err
    assert "yanked" not in workplace.ok("hydrate", "prepare", "--prefix", "there").err
    status = workplace.ok("status")
    assert f"prepare on {host_platform()}: gamma 2.0 was yanked: broken on Sundays" in status.out
    assert [each["name"] for each in workplace.ok("status", "--json").json["yanked"]] == ["gamma"]


def test_a_later_yank_is_found_by_verify_recorded_by_a_solve_and_forgotten_by_one(
    workplace: Workplace, index: IndexServer
) -> None:
    workplace.write(NAMED)
    workplace.ok("lock")
    plain = workplace.lock.read_text()
    ids = [step["environment"] for step in workplace.ok("status", "--json").json["steps"]]

    _yank(index)
    everywhere = "prepare, train on linux-64, win-64: gamma 2.0 was yanked: broken on Sundays\n"
    assert "yanked" not in workplace.ok("lock", "--refresh").err
    verified = workplace.ok("lock", "--verify")
    assert everywhere in verified.err and "matches what would be locked" in verified.err
    assert workplace.lock.read_text() == plain

    # One step is solved again. The yank of a file applies to every step that uses it.
    more = NAMED.replace('["gamma==2.0"]', '["gamma==2.0", "delta"]')
    workplace.write(more)
    assert everywhere in workplace.ok("lock", "--refresh").err
    assert workplace.lock.read_text().count("yanked") == 1
    workplace.write(NAMED)
    assert everywhere in workplace.ok("lock", "--offline").err
    assert workplace.lock.read_text() == plain.replace(
        digest_of(plain) + '" }', digest_of(plain) + '", yanked = "broken on Sundays" }'
    )
    assert [step["environment"] for step in workplace.ok("status", "--json").json["steps"]] == ids

    _yank(index, None)
    found = workplace.ok("lock", "--verify")
    assert "warning" not in found.err
    assert (
        "gamma-2.0-py3-none-any.whl is no longer yanked; the lock will record that once a step that uses it"
        in found.err
    )
    assert workplace.ok("lock", "--verify", "--json").json["restored"] == ["gamma-2.0-py3-none-any.whl"]
    assert everywhere in workplace.ok("lock").err
    assert "yanked" not in workplace.ok("lock", "--refresh", "-P", "gamma").err
    assert workplace.lock.read_text() == plain


def digest_of(lock: str) -> str:
    found = re.search(r'gamma-2.0-py3-none-any.whl", size = \d+, sha256 = "(\w+)', lock)
    assert found is not None
    return found[1]


def test_a_file_of_only_one_target_may_be_yanked(workplace: Workplace, index: IndexServer) -> None:
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    files = {"native.py": "PLATFORM = 'win_amd64'\n"}
    index.add(build_wheel("native", "1.0", files=files, tag=f"{tag}-{tag}-win_amd64"), yanked="")
    workplace.write(NAMED.replace("gamma==2.0", "native==1.0"))
    assert "warning: prepare on win-64: native 1.0 was yanked\n" in workplace.ok("lock").err
    [line] = [line for line in workplace.lock.read_text().splitlines() if "yanked" in line]
    assert line.endswith('for = ["win-64/' + tag + '"], yanked = "" },')
    assert "warning: prepare on win-64: native 1.0 was yanked\n" in workplace.ok("lock").err


def test_a_yanked_source_distribution_marks_the_wheel_built_from_it(workplace: Workplace, index: IndexServer) -> None:
    index.add(backend_wheel())
    index.add(sdist("acme", "1.0", project_files("acme")), yanked="made in haste")
    workplace.write(
        project_table("linux-64", python=HOST_PYTHON)
        + '[steps.only]\npypi = ["acme==1.0"]\n[policy]\nbuild = ["acme"]\n'
    )
    warning = "warning: only on linux-64: acme 1.0 was yanked: made in haste\n"
    assert warning in workplace.ok("lock").err
    assert warning in workplace.ok("lock", "--check").err
    assert warning in workplace.ok("lock", "--verify").err


def test_yanked_build_requirements_are_reported_too(workplace: Workplace, index: IndexServer) -> None:
    index.add(backend_wheel(), yanked="forgets files")
    index.add(backend_wheel("1.1"))
    system = project_files("acme")["pyproject.toml"].replace('"tinybuild"]', '"tinybuild==1.0"]')
    project = write_project(workplace.checkout / "acme", project_files("acme", pyproject__toml=system))
    workplace.write(
        project_table("linux-64", "win-64", python=HOST_PYTHON)
        + '[steps.only]\npypi = [{ path = "acme" }]\n[policy]\nbuild = ["acme"]\n'
    )
    warning = (
        "warning: only on linux-64, win-64: acme-1.0-py3-none-any.whl is built with a yanked file: tinybuild 1.0 was "
        "yanked: forgets files\n  hint: `envc lock -P acme` builds with another version; a requirement that names 1.0 "
        "exactly has to change first\n"
    )
    assert warning in workplace.ok("lock").err
    text = workplace.lock.read_text()
    assert text.count("yanked") == 1
    assert warning in workplace.ok("lock").err
    assert warning in workplace.ok("lock", "--verify").err
    assert warning in workplace.ok("bundle", "--platform", "linux-64").err.replace("linux-64:", "linux-64, win-64:")
    # Built again or taken from the cache, it is the same wheel.
    workplace.lock.unlink()
    assert warning in workplace.ok("lock").err
    assert workplace.lock.read_text() == text
    write_project(project, project_files("acme", "1.1"))
    assert "yanked" not in workplace.ok("lock", "-P", "acme").err
    assert "yanked" not in workplace.lock.read_text()


@pytest.mark.parametrize("pages", ["json", "html"])
def test_a_reason_contains_no_address_and_no_line_ends(workplace: Workplace, index: IndexServer, pages: str) -> None:
    index.behaviour.pages = "html" if pages == "html" else "json"
    hostile = "gone,\n\nsee\thttps://user:secret@host.example.com/why \x1b[2J\u202eor bad.example\r\n" + 'x"} ' * 500
    _yank(index, hostile)
    workplace.write(NAMED)
    shown = workplace.ok("lock").err
    text = workplace.lock.read_text()
    for held in (text, shown, workplace.ok("lock", "--check", "--json").out, workplace.ok("lock", "--verify").err):
        assert "gone, see … " in held
        assert not any(bad in held for bad in ("://", "secret", "example", "\x1b", "\u202e", "host."))
    assert max(map(len, shown.splitlines())) < 400
    assert workplace.ok("lock", "--check").err == shown[: shown.index("  + ")] + "manifest.lock is up to date\n"
    # A reason written into the lock by hand is not trusted either.
    workplace.lock.write_text(re.sub("yanked = '[^']*'", 'yanked = "see https://a.example/"', text))
    assert "gamma 2.0 was yanked: see …\n" in workplace.ok("lock").err


def test_solve_reports_yanked_files_too(workplace: Workplace, index: IndexServer) -> None:
    _yank(index)
    done = workplace.ok("solve", "--pypi", "gamma==2.0", "--platform", "linux-64", "--json")
    assert done.err == "warning: gamma 2.0 was yanked: broken on Sundays\n"
    assert [package["yanked"] for package in done.json["packages"]] == ["broken on Sundays"]
    assert "yanked" not in workplace.ok("solve", "--pypi", "gamma", "--platform", "linux-64", "--json").out
