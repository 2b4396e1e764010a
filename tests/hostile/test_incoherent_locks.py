"""Locks that no solver has made: edited by hand, by an attacker, or merged line by line. All of it is seen offline."""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from envc.locking.lockfile.dump import dumps
from envc.locking.lockfile.load import loads
from envc.locking.plan.freshness import compare
from envc.model.graph import LockGraph
from tests.e2e.command import HOST_PYTHON, Workplace
from tests.e2e.test_lock_conda import record, write_channel
from tests.support.lock_worlds import world
from tests.support.manifests import conda_tables
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

replace = msgspec.structs.replace
PYPI = f"""\
[project]
name = "demo"
targets = ["linux-64", "win-64"]
python = "{HOST_PYTHON}"
[steps.train]
pypi = ["numpy", "rich[fast]", "tool; sys_platform == 'win32'"]
run = "python -V"
[steps.serve]
pypi = ["web"]
[sources.internal]
kind = "find-links"
url = "wheels"
projects = ["acme-*"]
"""
MIXED = f"""\
{conda_tables("linux-64", "win-64")}
[steps.train]
conda = ["num >=1"]
pypi = ["app"]
[steps.tools]
conda = ["tool"]
"""
NUM = {"depends": ["python >=3.12,<3.13.0a0", "base >=2"]}


@pytest.fixture
def index() -> Iterator[IndexServer]:
    tag = f"cp{HOST_PYTHON.replace('.', '')}"
    server = IndexServer()
    for platform in ("manylinux_2_17_x86_64", "win_amd64"):
        server.add(build_wheel("numpy", "2.4.2", tag=f"{tag}-{tag}-{platform}"))
        server.add(build_wheel("numpy", "2.4.6", tag=f"{tag}-{tag}-{platform}"))
    fast, win = 'speed>=1; extra == "fast"', 'colors<2; sys_platform == "win32"'
    server.add(build_wheel("rich", "1.0", ["markdown>=2", fast, win], extras=["fast"]))
    for name, version in (("markdown", "2.1"), ("speed", "1.0"), ("colors", "1.9"), ("tool", "1.0"), ("evil", "6.6.6")):
        server.add(build_wheel(name, version))
    server.add(build_wheel("markdown", "2.0"))
    server.add(build_wheel("web", "1.0", ["markdown"]))
    server.add(build_wheel("app", "1.0", ["num<2", "markdown"]))
    with server:
        yield server


@pytest.fixture
def place(tmp_path: Path, index: IndexServer) -> Workplace:
    place = Workplace(tmp_path, index.url)
    place.write(PYPI)
    (place.checkout / "wheels").mkdir()
    place.ok("lock")
    return place


@pytest.fixture
def mixed(tmp_path: Path, index: IndexServer) -> Workplace:
    place = Workplace(tmp_path, index.url)
    place.write(MIXED)
    files = {}
    for subdir in ("linux-64", "win-64"):
        found: dict[str, object] = {}
        for version in ("1.0", "1.1"):
            found |= record("num", version, f"py312_{subdir[:3]}_0", subdir, **NUM)
            found |= record("base", f"2.{version}", "h0_0", subdir, depends=[])
        files[subdir.replace("-", "_")] = found
    write_channel(place.checkout / "channel", **files)
    place.ok("lock")
    return place


def edited(place: Workplace, old: str, new: str, *, pattern: bool = False) -> None:
    text = place.lock.read_text()
    changed = re.sub(old, new, text, count=1) if pattern else text.replace(old, new, 1)
    assert changed != text, f"{old!r} is not in the lock:\n{text}"
    place.lock.write_text(changed)


def refused_everywhere(place: Workplace, reason: str, step: str = "train") -> None:
    """Every verb that reads the lock names the reason and the way out, and `lock` makes a lock that holds again."""
    for verb in (["lock", "--check"], ["bundle"], ["hydrate", step], ["run", step]):
        done = place.fails(1, *verb)
        assert reason in done.err, f"{verb}: {done.err}"
        assert "run `envc lock`" in done.err
    status = place.ok("status", "--json").json
    assert not status["fresh"]
    assert any(reason in entry["old"] for entry in status["reasons"])
    place.ok("lock")
    place.ok("lock", "--check")
    place.ok("lock", "--verify")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('version = "2.4.6"', 'version = "99.0"', "pypi:numpy 99.0 has the file numpy-2.4.6"),
        ('version = "2.4.6"\nsource = "pypi"', 'version = "2.4.6"\nsource = "evil"', "pypi:numpy is from evil"),
        ('version = "2.4.6"\nsource = "pypi"', 'version = "2.4.6"\nsource = "internal"', "pypi:numpy is from internal"),
        ('version = "2.4.6"\nsource = "pypi"', 'version = "2.4.6"\nsource = "url"', "a url that the manifest does not"),
        ("speed-1.0-py3", "evil-6.6.6-py3", "has the file evil-6.6.6-py3-none-any.whl, which is of evil"),
        ("numpy-2.4.6-", "numpy-2.4.2-", "which is of version 2.4.2"),
        ("speed-1.0-py3-none-any.whl", "speed-1.0.tar.gz", "which is not the name of a wheel"),
        ("speed-1.0-py3", "speed-1.0-cp27", "whose tags do not fit linux-64/cp"),
        ('"pypi:speed",\n', "", "requires speed>=1; extra == \"fast\", which is not listed"),
        ('"pypi:tool @ win-64",\n', "", "the step requires tool; sys_platform == \"win32\", which is not listed"),
        ('"pypi:speed",\n', '"pypi:speed",\n  "pypi:web",\n', "nothing requires pypi:web"),
        (", 'speed>=1; extra == \"fast\"'", "", "nothing requires pypi:speed"),
        ("'colors<2; sys_platform == \"win32\"'", '"colors<2"', "requires colors<2, which is not listed"),
        ("colors<2", "colors>=2", "and pypi:colors 1.9 is listed"),
        ("markdown>=2\"", "markdown>=2,<2.1\"", "and pypi:markdown 2.1 is listed"),
        ("markdown>=2\"", "markdown[x>=2\"", "which is not a requirement"),
        ('"pypi:colors @ win-64"', '"pypi:colors"', "nothing requires pypi:colors"),
        ('id = "pypi:speed"', 'id = "pypi:evil"', "pypi:speed"),
        ('version = "2.4.6"', f'version = "{"9" * 5000}"', "has the file numpy-2.4.6"),
        ("colors<2", f"colors<{'9' * 5000}", "which is not a requirement"),
        ("colors<2", f"colors<2,!={'9' * 5000}", "which is not a requirement"),
    ],
)  # fmt: skip
def test_an_edited_lock_is_stale_with_the_reason(old: str, new: str, reason: str, place: Workplace) -> None:
    before = place.lock.read_text()
    edited(place, old, new)
    refused_everywhere(place, reason)
    assert place.lock.read_text() == before


def test_an_artifact_for_a_target_that_its_tags_do_not_fit(place: Workplace) -> None:
    before = place.lock.read_text()
    text = re.sub(r"(numpy[^\n]*manylinux[^\n]*for = \[\")linux-64", r"\1win-64", before)
    text = re.sub(r"(numpy[^\n]*win_amd64[^\n]*for = \[\")win-64", r"\1linux-64", text)
    assert text != before
    place.lock.write_text(text)
    refused_everywhere(place, "whose tags do not fit")
    assert place.lock.read_text() == before


def test_an_id_and_version_over_another_artifact(place: Workplace) -> None:
    """The whole entry of `speed` is turned into one of `evil`, except what a reviewer looks at."""
    evil = build_wheel("evil", "6.6.6")
    text = place.lock.read_text()
    entry = next(entry for entry in text.split("\n\n") if 'id = "pypi:speed"' in entry)
    forged = re.sub(r'file = "[^"]*"', f'file = "{evil.file}"', entry)
    forged = re.sub(r'sha256 = "[^"]*"', f'sha256 = "{evil.sha256}"', forged)
    place.lock.write_text(text.replace(entry, forged))
    for verb in (["bundle", "--frozen"], ["run", "--frozen", "train"]):
        done = place.fails(1, *verb, "--target", "linux-64")
        assert "the lock contradicts itself for step train" in done.err
    refused_everywhere(place, f"pypi:speed 1.0 has the file {evil.file}, which is of evil")
    assert place.lock.read_text() == text


def test_other_environments_stay_byte_identical(place: Workplace, index: IndexServer) -> None:
    before = place.lock.read_text()
    edited(place, 'version = "2.4.6"', 'version = "99.0"')
    index.add(build_wheel("markdown", "2.2"))
    index.forget()
    done = place.ok("lock", "--refresh")
    assert place.lock.read_text() == before
    assert "2 problems solved" in done.err
    assert index.requests_for("/simple/web/") == 0


def test_what_no_step_uses_is_reported_and_removed(place: Workplace) -> None:
    before = place.lock.read_text()
    entry = next(entry for entry in before.split("\n\n") if 'id = "pypi:speed"' in entry)
    extra = entry.replace("speed", "evil").replace('"1.0"', '"6.6.6"').replace("-1.0-", "-6.6.6-")
    for added in (
        before.replace(entry, f"{extra.strip()}\n\n{entry}"),
        before.replace("'colors<2;", "'absent; extra == \"unused\"', 'colors<2;"),
    ):
        assert added != before
        place.lock.write_text(added)
        done = place.fails(1, "lock", "--check")
        assert "pypi:evil is in no environment" in done.err or "for an extra that nothing requests" in done.err
        assert "0 problems solved" in place.ok("lock").err
        assert place.lock.read_text() == before


def test_a_package_that_is_listed_twice(place: Workplace) -> None:
    """Even `--frozen`, which uses a stale lock as it is, installs no package twice."""
    edited(place, '"pypi:speed",\n', '"pypi:speed",\n  "pypi:rich @ linux-64",\n')
    for verb in (["bundle", "--frozen"], ["run", "--frozen", "train"], ["hydrate", "--frozen", "train"]):
        assert "pypi:rich is listed 2 times" in place.fails(1, *verb, "--target", "linux-64").err
    refused_everywhere(place, "pypi:rich and pypi:rich are releases of one package")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('file = "cpython-', 'file = "python-', "which is not the name of an interpreter's archive"),
        ("+20260501-", "+20250101-", "which is cpython"),
        ("unknown-linux-gnu-", "unknown-linux-gnu-freethreaded-", "which is free-threaded"),
        ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "which is not for linux-64"),
        ("x86_64-unknown-linux-gnu", "x86_64-apple-darwin", "which is not for linux-64"),
        ('source = "pypi", file = "tinybuild', 'source = "evil", file = "tinybuild', "from evil, which is no source"),
        ('requires = ["tinybuild"]', 'requires = ["tinybuild>=2"]', "and tinybuild 1.0 is listed"),
        ('requires = ["tinybuild"]', 'requires = ["other"]', "requires other, which is not listed"),
        ('requires = ["tinybuild"]', 'requires = ["tinybuild ;"]', "'tinybuild ;', which is not a requirement"),
        ('python = "linux-64/cp', 'python = "lunix-64/cp', "which is no Python of a platform"),
        ('sys_platform == "darwin"', 'sys_numpy == "darwin"', "which is not a requirement"),
    ],
)  # fmt: skip
def test_an_edited_interpreter_or_build(old: str, new: str, reason: str) -> None:
    """These are compared without a network as well: names of archives, sources and requirements of builds, markers."""
    one = world("pypi")
    text = one.ours.replace(old, new)
    assert text != one.ours
    local = {"local": next(build.tree for build in loads(one.ours).builds if build.tree)}
    found = compare(one.manifest, one.step_targets, loads(text), local)
    assert any(reason in each.old for each in found.reasons), [str(each) for each in found.reasons]


# Merges


def merged(base: str, ours: str, theirs: str, prefer: str) -> str:
    """Merge three texts as git does: hunks of one side are taken, and in a conflict the `prefer`-red side's."""
    lines, one, two = base.splitlines(True), ours.splitlines(True), theirs.splitlines(True)
    sides = []
    for side in (one, two):
        matcher = difflib.SequenceMatcher(None, lines, side, autojunk=False)
        sides.append([(i1, i2, side[j1:j2]) for tag, i1, i2, j1, j2 in matcher.get_opcodes() if tag != "equal"])
    first, second = sides if prefer == "ours" else (sides[1], sides[0])
    taken = list(first)
    for start, end, text in second:
        if all(end < other_start or start > other_end for other_start, other_end, _ in first):
            taken.append((start, end, text))
    for start, end, text in sorted(taken, reverse=True, key=lambda hunk: hunk[:2]):
        lines[start:end] = text
    return "".join(lines)


@pytest.mark.parametrize("prefer", ["ours", "theirs"])
def test_one_branch_moves_python_and_the_other_upgrades(prefer: str, place: Workplace, index: IndexServer) -> None:
    """The text of a merge without conflicts, or with one side taken, may have the version of one branch and the file of
    the other.
    """
    index.remove(next(file for file in list(index._files) if file.startswith("numpy-2.4.6") and "linux" in file))
    index.remove(next(file for file in list(index._files) if file.startswith("numpy-2.4.6") and "win" in file))
    place.ok("lock", "-P", "numpy", "--refresh")
    base = place.lock.read_text()
    assert 'version = "2.4.2"' in base
    for version in ("2.4.2", "2.4.6"):
        for python in (f"cp{HOST_PYTHON.replace('.', '')}", "cp315"):
            for platform in ("manylinux_2_17_x86_64", "win_amd64"):
                index.add(build_wheel("numpy", version, tag=f"{python}-{python}-{platform}"))
    place.ok("lock", "--upgrade", "--refresh")
    theirs = place.lock.read_text()
    place.lock.write_text(base)
    moved = PYPI.replace(f'python = "{HOST_PYTHON}"', 'python = "3.15"')
    place.write(moved)
    place.ok("lock", "--refresh")
    ours = place.lock.read_text()
    assert 'version = "2.4.6"' in theirs
    assert "numpy-2.4.2-cp315" in ours
    place.lock.write_text(merged(base, ours, theirs, prefer))
    done = place.fails(1, "lock", "--check")
    place.ok("lock")
    assert "99.0" not in done.err
    place.ok("lock", "--check")
    place.ok("lock", "--verify")
    graph = loads(place.lock.read_text())
    (numpy,) = [package for package in graph.packages if package.id == "pypi:numpy"]
    assert {artifact.file.split("-")[1] for artifact in numpy.artifacts} == {numpy.version}


def test_a_version_of_one_branch_over_the_files_of_the_other(place: Workplace) -> None:
    """One hunk for `version`, another for `artifacts`: both apply without a conflict."""
    edited(place, "numpy-2.4.6-", "numpy-2.4.2-")
    edited(place, "numpy-2.4.6-", "numpy-2.4.2-")
    refused_everywhere(place, "pypi:numpy 2.4.6 has the file numpy-2.4.2-")


@pytest.mark.parametrize("prefer", ["ours", "theirs"])
def test_one_branch_adds_a_target_and_the_other_upgrades(prefer: str, place: Workplace, index: IndexServer) -> None:
    tag = f"cp{HOST_PYTHON.replace('.', '')}"
    for version in ("2.4.6", "2.4.7"):
        for platform in ("manylinux_2_17_x86_64", "win_amd64", "macosx_11_0_arm64"):
            index.add(build_wheel("numpy", version, tag=f"{tag}-{tag}-{platform}"))
    base = place.lock.read_text()
    place.ok("lock", "-P", "numpy", "--refresh")
    theirs = place.lock.read_text()
    assert 'version = "2.4.7"' in theirs
    place.lock.write_text(base)
    place.write(PYPI.replace('"win-64"]', '"win-64", "osx-arm64"]'))
    place.ok("lock")
    ours = place.lock.read_text()
    place.lock.write_text(merged(base, ours, theirs, prefer))
    place.ok("lock")
    place.ok("lock", "--check")
    place.ok("lock", "--verify")
    graph = loads(place.lock.read_text())
    (numpy,) = [package for package in graph.packages if package.id == "pypi:numpy"]
    assert {artifact.file.split("-")[1] for artifact in numpy.artifacts} == {numpy.version}
    assert len(numpy.artifacts) == 3


# Conda


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('version = "1.1"', 'version = "1.0"', "conda:num 1.0 has the file num-1.1-"),
        ("num-1.1-", "evil-1.1-", "which is evil 1.1"),
        ('"conda:base",\n', "", "conda:num requires base >=2, which is not listed"),
        ('"base >=2"', '"base >=3"', "conda:num requires base >=3, and conda:base 2.1.1 h0_0 is listed"),
        ('"base >=2", ', "", "nothing requires conda:base"),
        ('pypi = ["num"]', 'pypi = ["other"]', "pypi:app requires num<2, which is not listed"),
        ('pypi = ["num"]', 'pypi = ["markdown", "num"]', "markdown is supplied by a conda package"),
        ('version = "1.1"', f'version = "{"9" * 5000}"', "conda:num 9"),
        ('"base >=2"', f'"base >={"9" * 5000}"', "which is not a match spec"),
        ('id = "conda:num"', 'id = "conda:num@1.0"', "conda:num"),
    ],
)  # fmt: skip
def test_an_edited_lock_of_both_kinds(old: str, new: str, reason: str, mixed: Workplace) -> None:
    before = mixed.lock.read_text()
    edited(mixed, old, new)
    done = mixed.fails(1, "lock", "--check")
    assert reason in done.err, done.err
    assert "train.packages" in done.err
    mixed.ok("lock")
    assert mixed.lock.read_text() == before


# The law


Edit = Callable[[LockGraph, random.Random], LockGraph]


def _some(graph: LockGraph, rng: random.Random) -> int:
    return rng.randrange(len(graph.packages))


def _with_package(graph: LockGraph, number: int, **fields: object) -> LockGraph:
    packages = list(graph.packages)
    packages[number] = replace(packages[number], **fields)
    return replace(graph, packages=tuple(packages))


def _with_artifact(graph: LockGraph, rng: random.Random, **fields: object) -> LockGraph:
    number = _some(graph, rng)
    artifacts = list(graph.packages[number].artifacts)
    at = rng.randrange(len(artifacts))
    artifacts[at] = replace(artifacts[at], **fields)
    return _with_package(graph, number, artifacts=tuple(artifacts))


def _with_environment(graph: LockGraph, rng: random.Random, change: Callable[[list[object]], object]) -> LockGraph:
    number = rng.randrange(len(graph.environments))
    environments = list(graph.environments)
    refs = list(environments[number].packages)
    change(refs)  # type: ignore[arg-type]
    environments[number] = replace(environments[number], packages=tuple(refs))
    return replace(graph, environments=tuple(environments))


def swap_artifacts(graph: LockGraph, rng: random.Random) -> LockGraph:
    one, two = rng.sample(range(len(graph.packages)), 2)
    left, right = graph.packages[one], graph.packages[two]
    return _with_package(_with_package(graph, one, artifacts=right.artifacts), two, artifacts=left.artifacts)


def swap_lists(graph: LockGraph, rng: random.Random) -> LockGraph:
    one, two = rng.sample(range(len(graph.environments)), 2)
    environments = list(graph.environments)
    left, right = environments[one], environments[two]
    environments[one], environments[two] = (
        replace(left, packages=right.packages),
        replace(right, packages=left.packages),
    )
    return replace(graph, environments=tuple(environments))


SINGLE_EDITS: dict[str, Edit] = {
    "a package is dropped": lambda graph, rng: replace(
        graph, packages=tuple(package for package in graph.packages if package is not graph.packages[_some(graph, rng)])
    ),
    "a line is dropped": lambda graph, rng: _with_environment(graph, rng, lambda refs: refs.pop(_at(refs, rng))),
    "a line is added": lambda graph, rng: _with_environment(
        graph, rng, lambda refs: refs.append(rng.choice([ref for each in graph.environments for ref in each.packages]))
    ),
    "a version is changed": lambda graph, rng: _with_package(graph, _some(graph, rng), version="7.7"),
    "a version is that of another": lambda graph, rng: _with_package(
        graph, _some(graph, rng), version=rng.choice(graph.packages).version
    ),
    "a source is changed": lambda graph, rng: _with_package(graph, _some(graph, rng), source="evil"),
    "a file is renamed": lambda graph, rng: _with_artifact(graph, rng, file="evil-6.6.6-py3-none-any.whl"),
    "a file is not one": lambda graph, rng: _with_artifact(graph, rng, file="evil"),
    "an id is changed": lambda graph, rng: _with_package(graph, _some(graph, rng), id="pypi:evil"),
    "a dependency is added": lambda graph, rng: _with_package(
        graph, number := _some(graph, rng), depends=(*graph.packages[number].depends, "absent")
    ),
    "a target is changed": lambda graph, rng: _with_artifact(graph, rng, targets=("linux-64/cp36",)),
    "artifacts are swapped": swap_artifacts,
    "lists are swapped": swap_lists,
    "a package is doubled": lambda graph, rng: replace(
        graph, packages=(*graph.packages, replace(rng.choice(graph.packages), version="7.7"))
    ),
}  # fmt: skip


def _at(refs: list[object], rng: random.Random) -> int:
    return rng.randrange(len(refs))


@pytest.mark.parametrize("kind", ["place", "mixed"])
@pytest.mark.parametrize("name", SINGLE_EDITS)
def test_no_edited_lock_counts_as_up_to_date(name: str, kind: str, request: pytest.FixtureRequest) -> None:
    """An edited lock is stale, or means the same. `envc lock` then makes the lock that it was, byte for byte."""
    from envc.context import Context
    from envc.model.progress import Silent
    from envc.pipeline.lock import LockRequest, lock
    from envc.pipeline.project import open_project

    place: Workplace = request.getfixturevalue(kind)
    context = Context(environ=place.env, cwd=place.checkout, progress=Silent())
    original = place.lock.read_text()
    graph = loads(original)
    rng = random.Random(name)
    for _ in range(12):
        changed = SINGLE_EDITS[name](graph, rng)
        place.lock.write_text(dumps(changed))
        project = open_project(None, context)
        assert project.freshness is not None
        if loads(dumps(changed)) == graph:
            assert project.freshness.is_fresh
            continue
        assert not project.freshness.is_fresh, dumps(changed)
        lock(project, LockRequest(), context)
        assert place.lock.read_text() == original
