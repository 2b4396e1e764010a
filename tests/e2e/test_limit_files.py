"""Constraints and overrides of one step or group, and in files and at URLs."""

from __future__ import annotations

import shutil
from hashlib import sha256

import pytest
import tomli

from tests.e2e.command import HOST_PYTHON, Workplace
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

HEAD = f"""\
[project]
name = "demo"
targets = ["linux-64", "win-64"]
python = "{HOST_PYTHON}"

"""
STEPS = (
    HEAD
    + """\
[groups.old]
[groups.old.constraints]
pypi = ["gamma<2"]

[steps.first]
groups = ["old"]
pypi = ["alpha"]

[steps.second]
pypi = ["alpha"]
"""
)
FILES = (
    HEAD
    + """\
[steps.first]
pypi = ["alpha"]
[steps.first.constraints]
files = ["{place}"]

[steps.second]
pypi = ["alpha"]
"""
)


def versions(place: Workplace, step: str) -> set[str]:
    """The packages of a step in the lock: "gamma 1.0"."""
    lock = tomli.loads(place.lock.read_text())
    packages = {package["id"]: package for package in lock["package"]}
    (environment,) = [environment for environment in lock["environment"] if step in environment["steps"]]
    return {
        f"{one.partition(':')[2].partition('@')[0].strip()} {packages[one.partition(' @ ')[0]]['version']}"
        for one in environment["packages"]
    }


def inputs(place: Workplace, step: str) -> list[str]:
    lock = tomli.loads(place.lock.read_text())
    (environment,) = [environment for environment in lock["environment"] if step in environment["steps"]]
    return list(environment["requires"])


def check_settled(place: Workplace) -> None:
    assert "is unchanged" in place.ok("lock").err
    place.ok("lock", "--check")
    place.ok("lock", "--verify")
    assert "out of date" not in place.ok("status").out


def test_a_constraint_of_a_group_holds_where_the_group_is_used(workplace: Workplace) -> None:
    workplace.write(STEPS)
    workplace.ok("lock")
    assert versions(workplace, "first") == {"alpha 1.1", "gamma 1.0"}
    assert versions(workplace, "second") == {"alpha 1.1", "gamma 2.0"}
    assert inputs(workplace, "first") == ["constraint pypi:gamma<2", "pypi:alpha"]
    check_settled(workplace)
    workplace.write(STEPS.replace("gamma<2", "gamma<3"))
    done = workplace.fails(1, "lock", "--check")
    assert "first.requires: - constraint pypi:gamma<2" in done.err
    assert "first.requires: + constraint pypi:gamma<3 (groups.old.constraints.pypi[0], line 8)" in done.err
    assert "second" not in done.err


def test_an_override_of_a_step_holds_there_alone(workplace: Workplace, index: IndexServer) -> None:
    index.add(build_wheel("strict", "1.0", ["gamma<1.5"]))
    text = HEAD + (
        '[steps.first]\npypi = ["strict", "gamma>=2"]\n[steps.first.overrides]\npypi = ["gamma"]\n'
        '[steps.second]\npypi = ["strict"]\n'
    )
    workplace.write(text)
    workplace.ok("lock")
    assert versions(workplace, "first") == {"strict 1.0", "gamma 2.0"}
    assert versions(workplace, "second") == {"strict 1.0", "gamma 1.0"}
    check_settled(workplace)
    workplace.ok("bundle", "--platform", "linux-64")
    workplace.write(text.replace("[steps.first.overrides]", "[steps.first.constraints]"))
    assert "gamma" in workplace.fails(1, "lock").err


def test_a_conflict_with_a_constraint_of_a_step_names_its_line(workplace: Workplace) -> None:
    workplace.write(STEPS.replace('groups = ["old"]\npypi = ["alpha"]', 'groups = ["old"]\npypi = ["gamma>=2"]'))
    done = workplace.fails(1, "lock")
    assert "gamma<2" in done.err
    assert "groups.old.constraints.pypi[0], line 8" in done.err


def test_a_file_of_constraints_is_locked_with_its_digest(workplace: Workplace) -> None:
    text = ("# Constraints of the platform\n\nGamma==1.0  # pinned\nunused[x]==1 ; extra_is_no == 'marker'\n").replace(
        "unused[x]==1 ; extra_is_no == 'marker'", "unused==1; sys_platform == 'linux'"
    )
    workplace.write(FILES.format(place="limits/platform.txt"), **{"limits/platform__txt": text})
    workplace.ok("lock")
    assert versions(workplace, "first") == {"alpha 1.1", "gamma 1.0"}
    assert versions(workplace, "second") == {"alpha 1.1", "gamma 2.0"}
    digest = sha256(text.encode()).hexdigest()
    assert f"constraints of limits/platform.txt with sha256 {digest}" in inputs(workplace, "first")
    check_settled(workplace)
    (workplace.checkout / "limits" / "platform.txt").write_text("gamma>=1.0\n")
    done = workplace.fails(1, "lock", "--check")
    assert f"first.requires: - constraints of limits/platform.txt with sha256 {digest}" in done.err
    assert "(steps.first.constraints.files[0], line 9)" in done.err
    workplace.ok("lock")
    assert "gamma 1.0" in versions(workplace, "first")  # the pin stays, because it is allowed


def test_a_file_may_name_others_and_all_are_part_of_the_digest(workplace: Workplace) -> None:
    workplace.write(
        FILES.format(place="limits/all.txt"),
        **{
            "limits/all__txt": "-c more/base.txt\n--constraint=more/base.txt\n",
            "limits/more/base__txt": "gamma==1.0\n",
        },
    )
    workplace.ok("lock")
    assert "gamma 1.0" in versions(workplace, "first")
    check_settled(workplace)
    (workplace.checkout / "limits" / "more" / "base.txt").write_text("gamma<2\n")
    workplace.fails(1, "lock", "--check")
    (workplace.checkout / "limits" / "more" / "base.txt").write_text("-c ../all.txt\ngamma==2.0\n")
    workplace.ok("lock")
    assert "gamma 2.0" in versions(workplace, "first")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("-r other.txt", "limits.txt:2: '-r' is not understood here"),
        ("--index-url https://example.com", "limits.txt:2: '--index-url' is not understood here"),
        ("-e .", "limits.txt:2: '-e' is not understood here"),
        ("gamma[x]==1", "limits.txt:2: a constraint cannot request extras"),
        ("gamma @ https://example.com/gamma-1-py3-none-any.whl", "limits.txt:2: gamma has an address"),
        ("gamma >> 1", "limits.txt:2: not a PEP 508 requirement"),
        ("./wheels/gamma.whl", "limits.txt:2: not a PEP 508 requirement"),
        ("gamma==1; extra == 'x'", "limits.txt:2: its marker tests for an extra"),
        ("-c https://example.com/limits.txt", "limits.txt:2: a URL cannot be followed"),
        ("-c /etc/passwd", "limits.txt:2: '/etc/passwd' is valid on one machine only"),
        ("-c absent.txt", "cannot read absent.txt"),
    ],
)
def test_what_a_file_cannot_say_is_a_mistake_with_its_line(workplace: Workplace, line: str, reason: str) -> None:
    workplace.write(FILES.format(place="limits.txt"), limits__txt=f"alpha>=1\n{line}\n")
    assert reason in workplace.fails(2, "lock").err


def test_a_file_with_hashes_is_taken_with_a_warning(workplace: Workplace) -> None:
    text = f"gamma==1.0 \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{'1' * 64}\nalpha>=1\n"
    workplace.write(FILES.format(place="limits.txt"), limits__txt=text)
    assert "warning: the hashes in limits.txt are not compared" in workplace.ok("lock").err
    assert "gamma 1.0" in versions(workplace, "first")


def test_a_file_that_does_not_exist_is_named(workplace: Workplace) -> None:
    workplace.write(FILES.format(place="limits.txt"))
    done = workplace.fails(2, "lock")
    assert "there is no file limits.txt, which steps.first.constraints.files[0] names" in done.err


def test_a_file_of_all_steps(workplace: Workplace) -> None:
    files = '[constraints]\nfiles = ["limits.txt"]\n[overrides]\nfiles = ["over.txt"]\n'
    workplace.write(STEPS + files, limits__txt="alpha<1.1\n", over__txt="gamma>=1\n")
    workplace.ok("lock")
    assert versions(workplace, "second") == {"alpha 1.0", "gamma 2.0"}
    assert versions(workplace, "first") == {"alpha 1.0", "gamma 1.0"}
    check_settled(workplace)


def test_a_url_is_asked_for_at_lock_alone_and_keeps_its_digest(workplace: Workplace, index: IndexServer) -> None:
    path = "/files/constraints-3.txt"
    url = index.base + path

    def serve(text: str) -> str:
        index.behaviour.bodies = {path: ("text/plain", text.encode())}
        return sha256(text.encode()).hexdigest()

    old = serve("gamma==1.0\n")
    workplace.write(FILES.format(place=url))
    workplace.ok("lock")
    assert f"constraints of {url} with sha256 {old}" in inputs(workplace, "first")
    assert versions(workplace, "first") == {"alpha 1.1", "gamma 1.0"}
    new = serve("gamma==2.0\n")
    index.forget()
    check_settled(workplace)
    workplace.ok("bundle", "--platform", "linux-64")
    # Another solve uses the file as it was locked, from the cache.
    workplace.write(FILES.format(place=url).replace('pypi = ["alpha"]', 'pypi = ["alpha", "delta"]', 1))
    workplace.ok("lock")
    assert versions(workplace, "first") == {"alpha 1.1", "gamma 1.0", "delta 0.5"}
    assert index.requests_for(path) == 0
    # A machine without it asks for it, and refuses other contents.
    shutil.rmtree(workplace.cache)
    workplace.write(FILES.format(place=url))
    done = workplace.fails(1, "lock")
    assert f"expected sha256 {old}" in done.err
    assert f"actual   sha256 {new}" in done.err
    assert "`envc lock --refresh` takes the new one" in done.err
    workplace.ok("lock", "--refresh")
    assert versions(workplace, "first") == {"alpha 1.1", "gamma 2.0"}
    assert f"constraints of {url} with sha256 {new}" in inputs(workplace, "first")
    check_settled(workplace)
    serve("gamma==1.0\n")
    workplace.ok("lock", "-U")
    assert "gamma 1.0" in versions(workplace, "first")


def test_overrides_at_a_url(workplace: Workplace, index: IndexServer) -> None:
    index.add(build_wheel("strict", "1.0", ["gamma<1.5"]))
    index.behaviour.bodies = {"/files/over.txt": ("text/plain", b"gamma>=2\n")}
    workplace.write(
        HEAD + f'[steps.first]\npypi = ["strict"]\n[steps.first.overrides]\nfiles = ["{index.base}/files/over.txt"]\n'
    )
    workplace.ok("lock")
    assert versions(workplace, "first") == {"strict 1.0", "gamma 2.0"}
    shutil.rmtree(workplace.cache)
    assert "is unchanged" in workplace.ok("lock").err


def test_a_url_that_is_missing_or_wrong_ends_the_lock(workplace: Workplace, index: IndexServer) -> None:
    workplace.write(FILES.format(place=f"{index.base}/files/absent.txt"))
    assert "HTTP 404" in workplace.fails(1, "lock").err
    index.behaviour.bodies = {"/files/absent.txt": ("text/html", b"<html>Sign in</html>\n")}
    assert "absent.txt:1: not a PEP 508 requirement" in workplace.fails(2, "lock").err
    assert not workplace.lock.exists()
    workplace.write(FILES.format(place="https://me:secret@example.com/c.txt"))
    done = workplace.fails(2, "lock")
    assert "steps.first.constraints.files[0]" in done.err
    assert "secret" not in done.err
