"""Small projects with locks that real solves made, for tests that edit and merge locks.

Each has three locks of one history: `base`, and `ours` and `theirs`, which two branches made from it. The manifest is
that of ours.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import msgspec

from envc.context import Context
from envc.locking.manifest.load import parse_manifest
from envc.locking.plan.expand import StepTarget, expand
from envc.locking.plan.project import Upgrades
from envc.model.manifest import Manifest
from envc.model.progress import Silent
from envc.pipeline.lock import LockRequest, lock
from envc.pipeline.project import open_project
from tests.e2e.command import HOST_PYTHON, Workplace
from tests.e2e.test_lock_conda import record, write_channel
from tests.support.manifests import conda_tables
from tests.support.projects import backend_wheel, project_files, sdist, write_project
from tests.support.servers import IndexServer
from tests.support.standalone_archive import file_name, write_table
from tests.support.wheels import build_wheel

TAG = f"cp{HOST_PYTHON.replace('.', '')}"
PYPI = f"""\
[project]
name = "demo"
targets = TARGETS
python = "{HOST_PYTHON}"
[groups.common]
pypi = ["numpy", "markdown"]
[steps.train]
groups = ["common"]
pypi = ["rich[fast,slow]", "tool; sys_platform == 'win32'", "acme-core"]
[steps.train.on.win-64]
pypi = ["colors"]
[steps.serve]
pypi = ["web", "markdown<2.1"]
[steps.make]
groups = ["common"]
pypi = ["made", {{ name = "local", path = "local" }}]
[steps.alone]
interpreter = "standalone"
pypi = ["web"]
[standalone]
table = "pythons/versions.json"
[constraints]
pypi = ["speed<3", "absent==1"]
[overrides]
pypi = ["old>=2"]
[policy]
build = ["made", "local"]
prereleases = "never"
[sources.internal]
kind = "find-links"
url = "wheels"
projects = ["acme-*"]
"""
CONDA = f"""\
{conda_tables("linux-64", "win-64")}
[steps.train]
conda = ["num >=1", "data"]
[steps.tools]
conda = ["tool", "small::base"]
[constraints]
conda = ["base <3"]
[overrides]
conda = ["odd >=1"]
"""
MIXED = f"""\
{conda_tables("linux-64", "win-64")}
[steps.train]
conda = ["num >=1"]
pypi = ["app[more]", "markdown"]
[steps.tools]
conda = ["tool"]
[steps.pure]
pypi = ["markdown"]
interpreter = "host"
[overrides]
conda = ["odd >=1"]
"""


class World(msgspec.Struct, frozen=True):
    """A manifest, and the texts of its lock on two branches and before them."""

    name: str
    place: Workplace
    context: Context
    manifest: Manifest
    step_targets: tuple[StepTarget, ...]
    base: str
    ours: str
    theirs: str


_open = ExitStack()  # the indexes of the worlds, until the process ends


@cache
def world(name: str) -> World:
    """Return the world of that name: pypi, conda or mixed."""
    index = IndexServer()
    _open.enter_context(index)
    folder = Path(_open.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
    place = Workplace(folder, index.url)
    return {"pypi": _pypi, "conda": _conda, "mixed": _mixed}[name](place, index)


def _history(name: str, place: Workplace, manifests: tuple[str, str, str], publish: Callable[[], None]) -> World:
    """Lock three manifests: of the base; of theirs, after `publish`, with all upgraded; of ours."""
    context = Context(environ=place.env, cwd=place.checkout, progress=Silent())
    refreshed = msgspec.structs.replace(context, refresh=True)
    texts = []
    for number, text in enumerate(manifests):
        place.write(text)
        if number:
            place.lock.write_text(texts[0])
        if number == 1:
            publish()
        upgrades = Upgrades(everything=number == 1)
        lock(open_project(None, context), LockRequest(upgrades=upgrades), refreshed if number == 1 else context)
        texts.append(place.lock.read_text())
    base, theirs, ours = texts
    assert len({base, theirs, ours}) == 3
    manifest = parse_manifest(manifests[2], place.manifest)
    return World(name, place, context, manifest, expand(manifest), base, ours, theirs)


def _pypi(place: Workplace, index: IndexServer) -> World:
    def publish(*versions: str) -> None:
        for version in versions:
            for platform in ("manylinux_2_17_x86_64.manylinux2014_x86_64", "win_amd64", "macosx_11_0_arm64"):
                index.add(build_wheel("numpy", version, tag=f"{TAG}-{TAG}-{platform}"))
            index.add(build_wheel("web", version, ["markdown>=2", "old<2"]))
            index.add(build_wheel("speed", version, ["colors; sys_platform == 'darwin'"]))
        index.forget()

    publish("2.4.2", "2.5")
    fast, slow, win = 'speed>=1; extra == "fast"', 'web>=2; extra == "slow"', 'colors<2; sys_platform == "win32"'
    nested = 'rich[fast]; extra == "all" and python_version >= "3.8"'
    index.add(build_wheel("rich", "1.0", ["markdown>=2", fast, slow, win, nested], extras=["fast", "slow", "all"]))
    for project, version in (("markdown", "2.0"), ("markdown", "2.1"), ("colors", "1.9"), ("tool", "1.0"),
                             ("old", "1.0"), ("old", "2.0.post1"), ("old", "3.0rc1"), ("evil", "6.6.6")):  # fmt: skip
        index.add(build_wheel(project, version))
    index.add(backend_wheel())
    index.add(sdist("made", "1.0", project_files("made", depends='"colors"')))
    write_project(place.checkout / "local", project_files("local", depends='"markdown"'))
    (place.checkout / "wheels").mkdir()
    acme = build_wheel("acme-core", "1.0")
    (place.checkout / "wheels" / acme.file).write_bytes(acme.data)
    _write_interpreters(place)
    three, two = '["linux-64", "win-64", "osx-arm64"]', '["linux-64", "win-64"]'
    before, after = PYPI.replace("TARGETS", two), PYPI.replace("TARGETS", three)
    return _history("pypi", place, (before, before, after), lambda: publish("2.6", "3.1"))


def _write_interpreters(place: Workplace) -> None:
    """Write a table of standalone interpreters for three platforms."""
    triples = ("x86_64-unknown-linux-gnu", "x86_64-pc-windows-msvc", "aarch64-apple-darwin")
    write_table(
        place.checkout / "pythons",
        {file_name(f"{HOST_PYTHON}.9", "20260501", triple): triple.encode() for triple in triples},
    )


def _conda(place: Workplace, index: IndexServer) -> World:
    del index
    _publish_conda(place, "1.0", "1.1")
    before = CONDA.replace(', "data"]', "]")
    return _history("conda", place, (before, before, CONDA), lambda: _publish_conda(place, "1.0", "1.1", "1.2"))


def _mixed(place: Workplace, index: IndexServer) -> World:
    _publish_conda(place, "1.0", "1.1")
    index.add(build_wheel("app", "1.0", ["num<2", "markdown", "speed; extra == 'more'"], extras=["more"]))
    for project, version in (("markdown", "2.0"), ("speed", "1.0")):
        index.add(build_wheel(project, version))

    def publish() -> None:
        _publish_conda(place, "1.0", "1.1", "1.2")
        index.add(build_wheel("markdown", "2.1"))
        index.forget()

    before = MIXED.replace('[steps.tools]\nconda = ["tool"]\n', "")
    return _history("mixed", place, (before, before, MIXED), publish)


def _publish_conda(place: Workplace, *versions: str) -> None:
    files = {}
    for subdir in ("linux-64", "win-64"):
        found: dict[str, object] = {}
        for version in versions:
            needs = ["python >=3.12,<3.13.0a0", "base >=2", "odd <1"]
            found |= record("num", version, f"py312_{subdir[:3]}_0", subdir, depends=needs)
            found |= record("base", f"2.{version}", "h0_0", subdir, depends=["__unix"] if subdir == "linux-64" else [])
        found |= record("odd", "1.5", "0", subdir)
        files[subdir.replace("-", "_")] = found
    write_channel(place.checkout / "channel", **files)
