"""`envc lock --step`, `--target` and `--resolution`: the selection is locked again, and the rest stays unchanged."""

from __future__ import annotations

import tomllib
from typing import Any

from tests.e2e.command import HOST_PYTHON, Workplace
from tests.support.manifests import project_table
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

MANIFEST = f"""\
{project_table("linux-64", "osx-arm64", python=HOST_PYTHON)}
[steps.prepare]
pypi = ["alpha"]

[steps.train]
pypi = ["alpha", "native"]

[steps.report]
pypi = ["alpha"]
"""


def environments(place: Workplace) -> dict[str, dict[str, Any]]:
    """Return the environments by step."""
    locked = tomllib.loads(place.lock.read_text())
    return {step: environment for environment in locked["environment"] for step in environment["steps"]}


def versions(place: Workplace, step: str, name: str) -> list[str]:
    locked = tomllib.loads(place.lock.read_text())
    held = {line.partition(" @ ")[0] for line in environments(place)[step]["packages"]}
    return [p["version"] for p in locked["package"] if p["id"] in held and p["id"].partition("@")[0] == f"pypi:{name}"]


def test_one_step_is_locked_and_the_others_stay_as_stale_as_they_were(workplace: Workplace) -> None:
    workplace.write(MANIFEST)
    workplace.ok("lock")
    before = environments(workplace)
    changed = MANIFEST.replace('pypi = ["alpha", "native"]', 'pypi = ["alpha<1.1", "native"]')
    changed = changed.replace('[steps.report]\npypi = ["alpha"]', '[steps.report]\npypi = ["beta"]')
    workplace.write(changed)
    done = workplace.ok("lock", "--step", "train")
    assert "still out of date, but not selected: report.requires: + pypi:beta" in done.err
    assert "report.requires: - pypi:alpha" in done.err
    assert versions(workplace, "train", "alpha") == ["1.0"]
    after = environments(workplace)
    assert after["report"]["requires"] == before["report"]["requires"] == ["pypi:alpha"]
    assert after["prepare"] == before["prepare"]
    stale = workplace.fails(1, "lock", "--check")
    assert "report.requires: + pypi:beta" in stale.err
    assert "train" not in stale.err
    workplace.ok("lock", "--check", "--step", "train", "--step", "prepare")
    workplace.fails(1, "lock", "--check", "--step", "report")
    workplace.ok("lock")
    workplace.ok("lock", "--check")
    assert environments(workplace)["report"]["requires"] == ["pypi:beta"]


def test_one_step_alone_moves_and_keeps_its_own_pins(workplace: Workplace, index: IndexServer) -> None:
    workplace.write(MANIFEST)
    workplace.ok("lock")
    index.add(build_wheel("alpha", "1.2", ["gamma>=1"]))
    workplace.ok("lock", "--upgrade", "--step", "report", "--refresh")
    assert versions(workplace, "report", "alpha") == ["1.2"]
    assert versions(workplace, "prepare", "alpha") == ["1.1"]
    assert 'id = "pypi:alpha"\nversion = "1.1"' in workplace.lock.read_text(), "the id stays with its release"
    text = workplace.lock.read_text()
    workplace.ok("lock")
    assert workplace.lock.read_text() == text, "steps separated on purpose stay separate"
    workplace.write(MANIFEST + '\n[steps.later]\npypi = ["alpha", "native"]\n')
    done = workplace.ok("lock")
    assert "(0 problems solved" in done.err, "equal inputs already have a solution"
    assert environments(workplace)["later"]["steps"] == ["later", "train"]


def test_one_target_is_locked_and_the_other_stays(workplace: Workplace) -> None:
    workplace.write(MANIFEST)
    workplace.ok("lock")
    workplace.write(MANIFEST.replace('"alpha", "native"', '"alpha<1.1", "native"'))
    done = workplace.ok("lock", "--target", "osx-arm64")
    assert "train.requires" in done.err
    locked = environments(workplace)["train"]
    assert locked["requires"] == ["pypi:alpha @ linux-64", "pypi:alpha<1.1 @ osx-arm64", "pypi:native"]
    workplace.fails(1, "lock", "--check")
    workplace.ok("lock", "--check", "--platform", "osx-arm64")
    workplace.ok("lock", "--platform", "linux-64")
    assert environments(workplace)["train"]["requires"] == ["pypi:alpha<1.1", "pypi:native"]
    workplace.ok("lock", "--check")


def test_a_first_lock_may_contain_one_step(workplace: Workplace) -> None:
    workplace.write(MANIFEST)
    done = workplace.ok("lock", "--step", "report", "--target", "linux-64", "--json")
    assert {"key": "steps", "old": "", "new": "train", "at": ["steps", "train"], "line": 9} in done.json["left"]
    assert environments(workplace).keys() == {"report"}
    assert environments(workplace)["report"]["targets"] == [f"linux-64/cp{HOST_PYTHON.replace('.', '')}"]
    workplace.ok("lock")
    workplace.ok("lock", "--check")


def test_changes_to_the_whole_lock_cannot_be_locked_in_part(workplace: Workplace) -> None:
    workplace.write(MANIFEST)
    workplace.ok("lock")
    before = workplace.lock.read_text()
    for changed, arguments, told in (
        (MANIFEST + '\n[constraints]\npypi = ["alpha<1.1"]\n', ("--step", "train"), "it applies to the whole lock"),
        (
            MANIFEST.replace("[steps.train]", '[steps.train]\npython = "3.10"'),
            ("--target", "linux-64"),
            "it applies to all targets of step train",
        ),
        (
            MANIFEST + '\n[targets.osx-arm64]\nplatform = "osx-arm64"\nmacos = "14.0"\n',
            ("--step", "train"),
            "it applies to every step on osx-arm64",
        ),
    ):
        workplace.write(changed)
        done = workplace.fails(2, "lock", *arguments)
        assert "affects more than the selection" in done.err
        assert told in done.err
        assert workplace.lock.read_text() == before
    unknown = workplace.fails(2, "lock", "--step", "tran")
    assert "did you mean train?" in unknown.err


def test_the_opposite_strategy_forgets_the_pins(workplace: Workplace) -> None:
    """As in uv: if pins stayed, the option would have no effect."""
    workplace.write(MANIFEST)
    workplace.ok("lock")
    assert versions(workplace, "train", "alpha") == ["1.1"]
    workplace.ok("lock", "--resolution", "lowest")
    assert versions(workplace, "train", "alpha") == ["1.0"]
    assert versions(workplace, "train", "gamma") == ["1.0"]
    assert 'resolution = "lowest"' in workplace.lock.read_text()
    workplace.ok("lock", "--check", "--resolution", "lowest")
    stale = workplace.fails(1, "lock", "--check")
    assert "options.resolution: - lowest" in stale.err
    workplace.ok("lock", "--resolution", "lowest-direct")
    assert versions(workplace, "train", "gamma") == ["2.0"]
    workplace.ok("lock")
    assert versions(workplace, "train", "alpha") == ["1.1"]


def test_unselected_steps_keep_the_requirements_of_their_extras(workplace: Workplace) -> None:
    """The lock keeps the requirements of an extra as long as a kept step requires the extra."""
    head, _, _ = MANIFEST.partition("[steps.prepare]")
    steps = '[steps.one]\npypi = ["beta[fast]"]\n\n[steps.two]\npypi = ["alpha"]\n'
    workplace.write(head + steps)
    workplace.ok("lock")
    assert "delta; extra ==" in workplace.lock.read_text()
    before = environments(workplace)["one"]
    workplace.write(head + steps.replace("beta[fast]", "beta").replace('"alpha"', '"alpha<1.1"'))
    workplace.ok("lock", "--step", "two")
    assert environments(workplace)["one"] == before
    assert "pypi:delta" in before["packages"]
    assert "delta; extra ==" in workplace.lock.read_text()
    workplace.ok("lock", "--step", "one")
    assert "delta" not in workplace.lock.read_text()
