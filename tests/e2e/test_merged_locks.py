"""Locks of two branches that git merges: what no solve has made is stale with its reason, and solved again."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from envc.locking.lockfile.load import loads
from tests.e2e.command import HOST_PYTHON, Workplace, host_platform
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

OLD = "3.10" if HOST_PYTHON != "3.10" else "3.9"
HERE = host_platform()
OTHER = "win-64"
PLATFORMS = {
    "linux-64": "manylinux_2_17_x86_64",
    "linux-aarch64": "manylinux_2_17_aarch64",
    "osx-arm64": "macosx_11_0_arm64",
    "osx-64": "macosx_11_0_x86_64",
    "win-64": "win_amd64",
}
MANIFEST = """\
[project]
name = "demo"
targets = TARGETS
python = "PYTHON"
[steps.train]
pypi = ["numpy", "web"]
run = "python -c 'import numpy; print(numpy.VERSION)'"
"""


class History:
    """A repository with a manifest and its lock."""

    def __init__(self, place: Workplace, index: IndexServer) -> None:
        self.place = place
        self.index = index
        if shutil.which("git") is None:
            pytest.skip("there is no git on this machine")
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str, code: int | None = 0) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.place.checkout, capture_output=True, text=True, check=False, env=self._env
        )
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done.stdout

    @property
    def _env(self) -> dict[str, str]:
        names = {
            f"GIT_{who}_{what}": "demo@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        return {**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}

    def publish(self, version: str) -> None:
        """Let the index serve a release of numpy for both Pythons and all platforms."""
        for python in (OLD, HOST_PYTHON):
            tag = f"cp{python.replace('.', '')}"
            for platform in (PLATFORMS[HERE], PLATFORMS[OTHER]):
                files = {"numpy.py": f"VERSION = {version!r}\n"}
                self.index.add(build_wheel("numpy", version, tag=f"{tag}-{tag}-{platform}", files=files))
        self.index.forget()

    def commit(self, branch: str, *lock: str, python: str = OLD, targets: tuple[str, ...] = (HERE,)) -> str:
        """Lock on a new branch of the main one, and commit. Returns the lock."""
        self.git("checkout", "-q", "-B", branch)
        listed = "[" + ", ".join(f'"{target}"' for target in targets) + "]"
        self.place.write(MANIFEST.replace("PYTHON", python).replace("TARGETS", listed))
        self.place.ok("lock", "--refresh", *lock)
        self.git("add", "-A")
        self.git("commit", "-qm", branch)
        return self.place.lock.read_text()

    def refused(self, reason: str) -> None:
        """Every verb that reads the lock names the reason."""
        for verb in (["lock", "--check"], ["bundle"], ["hydrate", "train"], ["run", "train"]):
            done = self.place.fails(1, *verb)
            assert reason in done.err, f"{verb}: {done.err}"
            assert "run `envc lock`" in done.err
        status = self.place.ok("status", "--json").json
        assert not status["fresh"]
        assert any(reason in each["old"] for each in status["reasons"])

    def runs(self) -> str:
        """The version that the lock has and that the step imports, after `lock`."""
        self.place.ok("lock")
        self.place.ok("lock", "--check")
        self.place.ok("lock", "--verify")
        self.place.ok("bundle")
        (numpy,) = [package for package in loads(self.place.lock.read_text()).packages if package.id == "pypi:numpy"]
        assert {artifact.file.split("-")[1] for artifact in numpy.artifacts} == {numpy.version}
        assert self.place.ok("run", "train").out.strip() == numpy.version
        return numpy.version


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with IndexServer([build_wheel("web", "1.0")]) as index:
        history = History(Workplace(tmp_path, index.url), index)
        history.publish("2.4.2")
        history.commit("main")
        yield history


def bumped_and_upgraded(history: History) -> None:
    """One branch moves Python, another upgrades everything."""
    history.publish("2.4.6")
    assert '"2.4.6"' in history.commit("upgrade", "--upgrade")
    history.git("checkout", "-q", "main")
    assert "numpy-2.4.2-cp" in history.commit("python", python=HOST_PYTHON)


def test_a_branch_with_another_python_is_merged_with_an_upgrade(history: History) -> None:
    """Git takes the version of the upgrade; in the conflict about the files, the other branch is preferred."""
    bumped_and_upgraded(history)
    history.git("merge", "-q", "-X", "ours", "upgrade", "-m", "merge")
    text = history.place.lock.read_text()
    assert 'version = "2.4.6"' in text
    assert "numpy-2.4.2-" in text
    history.refused("pypi:numpy 2.4.6 has the file numpy-2.4.2-")
    history.runs()


def test_an_upgrade_is_preferred_to_a_branch_with_another_python(history: History) -> None:
    bumped_and_upgraded(history)
    history.git("merge", "-q", "-X", "theirs", "upgrade", "-m", "merge")
    history.place.fails(1, "lock", "--check")
    assert history.runs() == "2.4.6"


def test_a_merge_with_conflict_markers_is_solved_again(history: History) -> None:
    bumped_and_upgraded(history)
    history.git("merge", "-q", "upgrade", "-m", "merge", code=1)
    assert "<<<<<<<" in history.place.lock.read_text()
    for verb in (["lock", "--check"], ["bundle"], ["hydrate", "train"], ["run", "train"]):
        assert "merge conflict markers" in history.place.fails(1, *verb).err
    history.runs()


@pytest.mark.skipif(HERE == OTHER, reason="needs a second platform")
def test_a_branch_with_another_target_is_merged_with_an_upgrade(history: History) -> None:
    """The only conflict is resolved by hand, by taking our side of it."""
    history.git("checkout", "-q", "main")
    history.commit("base", python=HOST_PYTHON)
    history.publish("2.4.6")
    history.commit("upgrade", "-P", "numpy", python=HOST_PYTHON)
    history.git("checkout", "-q", "base")
    history.commit("target", python=HOST_PYTHON, targets=(HERE, OTHER))
    history.git("merge", "-q", "-X", "ours", "upgrade", "-m", "merge")
    text = history.place.lock.read_text()
    assert 'version = "2.4.6"' in text
    assert "numpy-2.4.2-" in text
    history.refused("pypi:numpy 2.4.6 has the file numpy-2.4.2-")
    history.runs()
