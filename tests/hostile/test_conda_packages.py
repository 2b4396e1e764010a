"""Hostile conda packages in a channel, through the command: each is refused with its name and the reason.

`test_conda_archives` has every way in which a package can be wrong. These packages are those that an attacker would
publish to write outside a prefix or to run code, each with the digest that its channel states.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.e2e.command import Workplace
from tests.support.conda_channels import write_channel
from tests.support.conda_packages import File, Package, build_conda, path_entry, tar_member

GOOD = {"share/good.txt": "good\n", "bin/good": File("#!/bin/sh\n", mode=0o755)}
TREE = {path: item if isinstance(item, File) else File(item) for path, item in GOOD.items()}
ENTRIES = [path_entry(path, TREE) for path in TREE]
PYTHON = build_conda("python", "3.11.7", "h0_0_cpython", {"bin/python3.11": File("#!/bin/sh\n", mode=0o755)})


def entry(path: str) -> dict[str, object]:
    """Return the entry of an empty file in paths.json."""
    return path_entry("x", {"x": File()}) | {"_path": path}


def noarch(name: str, point: str) -> Package:
    return build_conda(
        name, files={"site-packages/m.py": "def f(): pass\n"}, depends=["python"], noarch="python", entry_points=[point]
    )


HOSTILE: dict[str, tuple[Package, str]] = {
    "climbs": (build_conda("climbs", files=GOOD | {"../climbs.txt": ""}), "'../climbs.txt'"),
    "climbs-old": (
        build_conda("climbs-old", files=GOOD | {"../climbs.txt": ""}, format="tar.bz2", legacy=True),
        "'../climbs.txt'",
    ),
    "absolute": (build_conda("absolute", files=GOOD | {"/tmp/absolute.txt": ""}), "'/tmp/absolute.txt'"),
    "link": (build_conda("link", files=GOOD | {"share/out": File(link="../../out")}), "'share/out' is a link"),
    "through": (
        build_conda("through", files=GOOD | {"share/out": File(link="/tmp"), "share/out/written.txt": ""}),
        "'share/out' is a link to '/tmp'",
    ),
    "hard-link": (
        build_conda(
            "hard-link",
            files=GOOD,
            paths=[*ENTRIES, entry("share/hard")],
            members=[(tar_member("share/hard", type=tarfile.LNKTYPE, target="/etc/passwd"), b"")],
        ),
        "'share/hard' is a hard link to '/etc/passwd'",
    ),
    "digest": (
        build_conda("digest", files=GOOD, paths=[ENTRIES[0] | {"sha256": "0" * 64}, ENTRIES[1]]),
        "share/good.txt does not match its digest",
    ),
    "missing": (build_conda("missing", files=GOOD, paths=[*ENTRIES, entry("share/missing")]), "'share/missing'"),
    "unlisted": (build_conda("unlisted", files=GOOD, paths=ENTRIES[:1]), "'bin/good'"),
    "code": (noarch("code", "tool = m:f(); import os; os.system('true')"), "is not module:attribute"),
    "build": (build_conda("build", files=GOOD, index={"build": "../../up"}), "'../../up' by its index.json"),
}


def with_record(package: Package, **fields: str) -> Package:
    """Return the same package with other fields in its channel record."""
    return Package(file=package.file, subdir=package.subdir, data=package.data, index=package.index | fields)


def manifest(names: Iterable[str]) -> str:
    """Return a manifest with a step for each package."""
    steps = "".join(f'[steps.{name}]\nconda = ["{name}"]\n' for name in names)
    return (
        '[project]\nname = "demo"\ntargets = ["linux-64"]\npython = "3.11"\nchannels = ["made"]\n\n'
        f'[sources.made]\nkind = "conda"\nurl = "channel"\n\n{steps}'
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A workplace with one lock of all packages. The lock uses only the channel's records."""
    place = Workplace(tmp_path_factory.mktemp("hostile"), None)
    packages = [with_record(package, build="h0_0") for package, _ in HOSTILE.values()]
    write_channel(place.checkout / "channel", PYTHON, *packages, subdirs=["linux-64"])
    place.write(manifest(HOSTILE))
    place.ok("lock")
    return place


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_package_is_refused_and_leaves_nothing_behind(place: Workplace, name: str) -> None:
    package, reason = HOSTILE[name]
    done = place.fails(1, "bundle", "--step", name)
    assert f"{package.file} cannot be installed: " in done.err
    assert reason in done.err
    # A good object of the same step may already be in the store.
    assert {path.name for path in (place.store / "v1").rglob("*") if path.is_file()} <= {PYTHON.sha256}
    assert {path.name for path in place.checkout.iterdir()} == {"channel", "manifest.toml", "manifest.lock"}
    assert {path.name for path in place.folder.iterdir()} <= {"checkout", "cache", "store", "home"}
    artifacts = {path.name for path in (place.cache / "artifacts").rglob("*") if path.is_file()}
    assert artifacts <= {PYTHON.file, *(package.file for package, _ in HOSTILE.values())}


def test_no_prefix_is_made_of_a_hostile_package(place: Workplace) -> None:
    prefix = place.folder / "prefix"
    done = place.fails(1, "hydrate", "climbs", "--platform", "linux-64", "--prefix", str(prefix))
    assert "run `envc bundle --step climbs" in done.err
    done = place.fails(1, "run", "climbs", "true")
    assert "'../climbs.txt'" in done.err
    assert not prefix.exists()
    assert not list((place.cache / "envs").glob("*"))


@pytest.mark.parametrize(
    ("field", "text"),
    [("build", "../../up"), ("build", "/tmp/up"), ("build", "..\\up"), ("version", "1.0/../..")],
)
def test_a_record_whose_build_or_version_is_a_path_is_not_locked(tmp_path: Path, field: str, text: str) -> None:
    place = Workplace(tmp_path, None)
    write_channel(place.checkout / "channel", PYTHON, with_record(build_conda("tool", files=GOOD), **{field: text}))
    place.write(manifest(["tool"]))
    done = place.fails(1, "lock")
    assert "tool-1.0-h0_0.conda" in done.err
    assert "version or build contains characters that are not allowed" in done.err
    assert not place.lock.exists()
