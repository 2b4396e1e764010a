"""Conda packages that match their digest and must be refused all the same, and what refusing them leaves behind.

Each is valid but for the one thing its test does. Nothing of it may come into a store, a prefix or anywhere else.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from envc.install.conda import open_conda
from envc.install.errors import BadArtifact
from envc.model.digest import Sha256
from envc.store.encode import write_object
from tests.conda_channels import write_channel
from tests.conda_packages import PLACEHOLDER, File, Package, build_conda, path_entry, tar_member
from tests.e2e.command import Workplace

GOOD = {"share/good.txt": "good\n", "bin/good": File("#!/bin/sh\n", mode=0o755)}
TREE = {path: item if isinstance(item, File) else File(item) for path, item in GOOD.items()}
ENTRIES = [path_entry(path, TREE) for path in TREE]
LINK, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE


def entries(path: str, **fields: object) -> list[dict[str, object]]:
    """The entries of the good files, where one says something else."""
    return [entry | fields if entry["_path"] == path else entry for entry in ENTRIES]


def file(path: str, **fields: object) -> dict[str, object]:
    """An entry of a file with nothing in it."""
    return path_entry("x", {"x": File()}) | {"_path": path} | fields


def member(path: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    return tar_member(path, type=kind, target=target), b""


def noarch(name: str, *points: str, path: str = "site-packages/m.py") -> Package:
    return build_conda(name, files={path: "def f(): pass\n"}, depends=["python"], noarch="python", entry_points=points)


HOSTILE: dict[str, Package] = {
    # paths that leave the prefix
    "up": build_conda("up", files=GOOD, members=[member("../up.txt")], paths=[*ENTRIES, file("../up.txt")]),
    "up-deep": build_conda("up-deep", files=GOOD | {"share/a/../../../up.txt": "x"}),
    "absolute": build_conda("absolute", files=GOOD | {"/tmp/absolute.txt": "x"}),
    "up-old": build_conda("up-old", files=GOOD | {"../up.txt": "x"}, format="tar.bz2"),
    "up-older": build_conda("up-older", files=GOOD | {"../up.txt": "x"}, format="tar.bz2", legacy=True),
    "up-told": build_conda("up-told", files=GOOD, paths=[*ENTRIES, file("../up.txt")]),
    "up-noarch": noarch("up-noarch", path="site-packages/../../../../up.py"),
    "up-script": noarch("up-script", path="python-scripts/../../up"),
    "own-notes": build_conda("own-notes", files=GOOD | {"conda-meta/own-notes-1.0-h0_0.json": "{}"}),
    "our-notes": build_conda("our-notes", files=GOOD | {".envc/record.json": "{}"}),
    # links that escape
    "link-up": build_conda("link-up", files=GOOD | {"share/out": File(link="../../out")}),
    "link-absolute": build_conda("link-absolute", files=GOOD | {"share/out": File(link="/etc/passwd")}),
    "link-through": build_conda(
        "link-through", files=GOOD | {"share/out": File(link="/tmp"), "share/out/through.txt": "written outside"}
    ),
    "link-chain": build_conda(
        "link-chain", files=GOOD | {"a/b": File(link=".."), "c": File(link="a/b/../../out"), "c/d": File("x")}
    ),
    "hard-up": build_conda("hard-up", files=GOOD | {"share/out": File(hard="../out")}, format="tar.bz2"),
    "hard-absolute": build_conda("hard-absolute", files=GOOD | {"share/out": File(hard="/etc/passwd")}),
    "device": build_conda("device", files=GOOD, members=[member("share/zero", tarfile.CHRTYPE)]),
    # paths.json that disagrees
    "digest": build_conda("digest", files=GOOD, paths=entries("share/good.txt", sha256="0" * 64)),
    "size": build_conda("size", files=GOOD, paths=entries("share/good.txt", size_in_bytes=4)),
    "missing": build_conda("missing", files=GOOD, paths=[*ENTRIES, file("share/missing.txt")]),
    "untold": build_conda("untold", files=GOOD, paths=ENTRIES[:1]),
    "doubled": build_conda("doubled", files=GOOD, paths=[*ENTRIES, ENTRIES[0]]),
    "not-a-link": build_conda("not-a-link", files=GOOD, paths=entries("share/good.txt", path_type="softlink")),
    "a-link": build_conda("a-link", files=GOOD | {"a": File(link="bin/good")}, paths=[*ENTRIES, file("a")]),
    "kind": build_conda("kind", files=GOOD, paths=entries("share/good.txt", path_type="socket")),
    "mode": build_conda(
        "mode", files=GOOD, paths=entries("share/good.txt", prefix_placeholder=PLACEHOLDER, file_mode="magic")
    ),
    "no-placeholder": build_conda(
        "no-placeholder", files=GOOD, paths=entries("share/good.txt", prefix_placeholder="", file_mode="text")
    ),
    "not-json": build_conda("not-json", files=GOOD, info={"paths.json": "{"}),
    "not-paths": build_conda("not-paths", files=GOOD, info={"paths.json": '{"paths": "share/good.txt"}'}),
    # entry points that are paths or code
    "point-up": noarch("point-up", "../../up = m:f"),
    "point-slash": noarch("point-slash", "a/b = m:f"),
    "point-backslash": noarch("point-backslash", "a\\b = m:f"),
    "point-code": noarch("point-code", "tool = m:f(); import os; os.system('true')"),
    "point-module": noarch("point-module", "tool = m; import os:f"),
    "point-line": noarch("point-line", "tool = m:f\nimport os"),
    "point-shell": noarch("point-shell", "$(touch x) = m:f"),
    "point-python": noarch("point-python", "python = m:f"),
    # names that are paths
    "build": build_conda("build", files=GOOD, index={"build": "../../build"}),
    "renamed": build_conda("renamed", files=GOOD, index={"name": "../renamed"}),
    "other": build_conda("other", files=GOOD, index={"version": "2.0"}),
}
REASONS = {
    "up": r"\.\./up\.txt",
    "up-deep": r"share/a/\.\./\.\./\.\./up\.txt",
    "absolute": r"/tmp/absolute\.txt",
    "up-old": r"\.\./up\.txt",
    "up-older": r"\.\./up\.txt",
    "up-told": r"\.\./up\.txt",
    "up-noarch": r"site-packages/\.\./",
    "up-script": r"python-scripts/\.\./",
    "own-notes": r"conda-meta",
    "our-notes": r"\.envc",
    "link-up": r"share/out",
    "link-absolute": r"share/out",
    "link-through": r"share/out",
    "link-chain": r"\bc\b",
    "hard-up": r"share/out",
    "hard-absolute": r"share/out",
    "device": r"share/zero",
    "digest": r"share/good\.txt",
    "size": r"share/good\.txt",
    "missing": r"share/missing\.txt",
    "untold": r"bin/good",
    "doubled": r"share/good\.txt",
    "not-a-link": r"share/good\.txt",
    "a-link": r"\ba\b",
    "kind": r"socket|path_type",
    "mode": r"magic|file_mode",
    "no-placeholder": r"placeholder",
    "not-json": r"paths\.json",
    "not-paths": r"paths\.json",
    "point-up": r"\.\./\.\./up",
    "point-slash": r"a/b",
    "point-backslash": r"a\\",
    "point-code": r"tool",
    "point-module": r"tool",
    "point-line": r"tool|import os",
    "point-shell": r"touch x",
    "point-python": r"\bpython\b",
    "build": r"\.\./\.\./build",
    "renamed": r"\.\./renamed",
    "other": r"2\.0",
}
RECORD = {"build": "h0_0", "version": "1.0"}  # what the channel says, whatever the package does
PYTHON = build_conda("python", "3.11.7", "h0_0_cpython", {"bin/python3.11": File("#!/bin/sh\n", mode=0o755)})


def manifest(names: Iterable[str]) -> str:
    """A step for each package."""
    steps = "".join(f'[steps.{name}]\nconda = ["{name}"]\n' for name in names)
    return (
        '[project]\nname = "demo"\ntargets = ["linux-64"]\npython = "3.11"\nchannels = ["made"]\n\n'
        f'[sources.made]\nkind = "conda"\nurl = "channel"\n\n{steps}'
    )


def package_with(package: Package, fields: dict[str, object]) -> Package:
    """A package of which the channel says something else."""
    return Package(file=package.file, subdir=package.subdir, data=package.data, index=package.index | fields)


@pytest.mark.parametrize("name", list(HOSTILE))
def test_it_is_refused_with_a_reason(tmp_path: Path, name: str) -> None:
    package = HOSTILE[name]
    (tmp_path / "package").write_bytes(package.data)
    layout = "py3.11-posix" if package.subdir == "noarch" else "any"
    artifact = Sha256(package.sha256)
    with (
        pytest.raises(BadArtifact) as refused,
        open_conda(tmp_path / "package", package.file, layout, artifact) as opened,
    ):
        index, _ = write_object(opened.entries, io.BytesIO(), layout=layout, artifact=artifact, level=1)
        opened.check(index.members)
    assert str(refused.value).startswith(f"{package.file} cannot be installed: ")
    assert re.search(REASONS[name], refused.value.reason)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """One lock of all of them: a step for each. What a channel says of a package is not looked at inside of it."""
    place = Workplace(tmp_path_factory.mktemp("hostile"), None)
    told = [package_with(package, RECORD | {"name": name}) for name, package in HOSTILE.items()]
    write_channel(place.checkout / "channel", PYTHON, *told, subdirs=["linux-64"])
    place.write(manifest(HOSTILE))
    place.ok("lock")
    return place


@pytest.mark.parametrize("name", ["up", "link-through", "digest", "untold", "point-code", "build"])
def test_it_leaves_nothing_behind(place: Workplace, name: str) -> None:
    prefix = place.folder / "prefix"
    done = place.fails(1, "bundle", "--step", name)
    assert f"{HOSTILE[name].file} cannot be installed" in done.err
    place.fails(1, "hydrate", name, "--platform", "linux-64", "--prefix", str(prefix))
    assert not prefix.exists()
    assert {path.name for path in place.store.rglob("*") if path.is_file()} <= {PYTHON.sha256}  # a good object may stay
    beside = {"channel", "manifest.toml", "manifest.lock"}
    assert {path.name for path in place.checkout.iterdir()} == beside
    assert {path.name for path in place.folder.iterdir()} <= {"checkout", "cache", "store", "home"}
    fetched = {path.name for path in (place.cache / "artifacts").rglob("*") if path.is_file()}
    assert fetched <= {package.file for package in HOSTILE.values()} | {PYTHON.file}


@pytest.mark.parametrize(
    ("field", "text"),
    [("build", "../../up"), ("build", "/tmp/up"), ("build", "..\\up"), ("version", "../1.0"), ("version", "1.0/../..")],
)
def test_a_record_whose_build_or_version_is_a_path_is_not_locked(tmp_path: Path, field: str, text: str) -> None:
    place = Workplace(tmp_path, None)
    package = build_conda("tool", files=GOOD)
    write_channel(place.checkout / "channel", PYTHON, package_with(package, {field: text}))
    place.write(manifest({"tool"}))
    done = place.fails(1, "lock")
    assert "tool-1.0-h0_0.conda" in done.err
    assert "version or build holds characters that none may" in done.err
    assert not place.lock.exists()
