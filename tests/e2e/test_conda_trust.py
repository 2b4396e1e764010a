"""Conda packages follow the same rules as wheels: digests, poisoned stores and caches, reuse, upkeep."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.e2e.command import Workplace, host_platform
from tests.e2e.test_trust import Reach, another_machine, poison, poison_ledger
from tests.support.channel_server import ChannelServer
from tests.support.conda_channels import write_channel
from tests.support.conda_packages import PLACEHOLDER, File, Package, build_conda
from tests.support.manifests import conda_tables
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the packages contain shell scripts")
MANIFEST = f"""\
{conda_tables("{targets}", url="{url}")}
[steps.train]
conda = ["alpha", "helper"]
run = "show"
"""
HONEST = "honest\n"


def packages(subdir: str = host_platform()) -> list[Package]:
    show = f"#!/bin/sh\ncat {PLACEHOLDER}/share/alpha.py\n"
    return [
        build_conda("python", "3.12.4", files={"bin/python": File("#!/bin/sh\n", mode=0o755)}, subdir=subdir),
        build_conda("alpha", files={"share/alpha.py": HONEST, "bin/show": File(show, mode=0o755)}, subdir=subdir),
        build_conda(
            "helper", files={"site-packages/helper.py": "X = 1\n"}, noarch="python", entry_points=["help = h:m"]
        ),
    ]


def alpha() -> Package:
    return packages()[1]


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    write_channel(tmp_path / "channel", *packages())
    workplace = Workplace(tmp_path, None)
    workplace.env["ENVC_INDEX_URL"] = "http://127.0.0.1:9/"  # no index is requested
    workplace.write(MANIFEST.format(url="../channel", targets=host_platform()))
    workplace.ok("lock")
    return workplace


@pytest.mark.parametrize(
    ("reach", "says"),
    [
        ("object", "frame 0 does not match its digest"),
        ("record", "does not match its digest"),
        ("pointer", "contains different content for alpha 1.0 than the lock records"),
    ],
)
def test_a_poisoned_store_is_refused_and_repaired(reach: Reach, says: str, place: Workplace, tmp_path: Path) -> None:
    place.ok("bundle", "--record")
    assert place.lock.read_text().count("content = {") == 3
    poison(place, reach)
    other = another_machine(place, tmp_path / "other")
    prefix = tmp_path / "prefix"
    assert says in other.fails(1, "hydrate", "train", "--prefix", str(prefix)).err
    assert not prefix.exists()
    healed = other.ok("run", "train")
    assert healed.out == HONEST
    assert "deriving it again" in healed.err


def test_the_lock_records_the_contents_of_packages_by_layout(place: Workplace) -> None:
    place.ok("bundle", "--record")
    lines = [line for line in place.lock.read_text().splitlines() if "content = {" in line]
    assert [re.findall(r'content = \{ "?([a-z0-9.-]+)"? =', line) for line in lines] == [
        ["any"],
        ["py3.12-posix"],
        ["any"],
    ]
    text = place.lock.read_text()
    assert place.ok("bundle", "--record", "--json").json["made"] == []
    assert place.lock.read_text() == text
    place.lock.write_text(re.sub(r'(any = )"[0-9a-f]{64}"', rf'\1"{"0" * 64}"', text, count=1))
    assert "the content of alpha-1.0-h0_0.conda in layout any" in place.fails(1, "bundle").err


def test_a_poisoned_ledger_does_not_poison_the_lock(place: Workplace) -> None:
    place.ok("bundle")
    evil = poison(place, "object")
    poison_ledger(place, evil)
    done = place.ok("bundle", "--record")
    assert "the object of alpha-1.0-h0_0.conda is made again" in done.err
    assert evil.content not in place.lock.read_text()
    assert place.ok("run", "train").out == HONEST


def test_bundled_packages_are_reused_without_the_channel(place: Workplace, tmp_path: Path) -> None:
    place.ok("bundle")
    (tmp_path / "channel").rename(tmp_path / "gone")
    assert place.ok("bundle", "--json").json["made"] == []
    assert place.ok("run", "train").out == HONEST
    (ready,) = (place.cache / "envs").iterdir()
    assert len(ready.name) == 24
    before = (ready / "bin/show").stat().st_ino
    assert place.ok("run", "train").out == HONEST
    assert (ready / "bin/show").stat().st_ino == before, "made only once"
    place.ok("verify")
    place.ok("verify", "--all")
    place.ok("verify", "--prefix", str(ready))
    assert place.ok("cache", "prune", "--all").code == 0
    assert place.ok("run", "train").out == HONEST


def test_a_step_runs_directly_from_a_channel(place: Workplace) -> None:
    """`run` bundles packages that are not in the store."""
    assert place.ok("run", "train").out == HONEST


# failing channels


def served(server: ChannelServer, tmp_path: Path, *, files: bool = True) -> Workplace:
    write_channel(tmp_path / "channel", *packages())
    server.add_folder("small", tmp_path / "channel")
    if not files:
        for path in [path for path in server.files if path.endswith(".conda")]:
            del server.files[path]
    workplace = Workplace(tmp_path, None)
    workplace.write(MANIFEST.format(url=f"{server.base}/small", targets=host_platform()))
    workplace.ok("lock")
    return workplace


def nothing_is_left(place: Workplace) -> None:
    assert not [path for path in place.store.rglob("*") if path.is_file() and "objects" in path.parts]
    assert not [path for path in place.cache.rglob("artifacts/*/*/*") if path.is_file()]


def test_a_channel_that_serves_other_bytes_is_refused(tmp_path: Path) -> None:
    with ChannelServer() as server:
        place = served(server, tmp_path)
        for path in [path for path in server.files if path.endswith(".conda")]:
            server.files[path] = server.files[path][:-1] + b"x"
        done = place.fails(1, "bundle")
        assert "does not match its digest" in done.err and "from small" in done.err
        assert server.base not in done.err
        nothing_is_left(place)


def test_a_channel_without_the_locked_file_is_named(tmp_path: Path) -> None:
    with ChannelServer() as server:
        place = served(server, tmp_path, files=False)
        done = place.fails(1, "bundle")
        assert re.search(r"cannot get \S+\.conda of \w+ [\d.]+ from small: HTTP 404", done.err)
        assert "envc lock --upgrade" in done.err
        nothing_is_left(place)


def test_packages_may_be_on_another_server_than_their_repodata(tmp_path: Path) -> None:
    """CEP-15. The base URL of the channel is only read if the default location does not have the file."""
    with ChannelServer() as server:
        server.cache_control = "no-cache"
        place = served(server, tmp_path)
        for subdir in (host_platform(), "noarch"):
            document = server.files[f"/small/{subdir}/repodata.json"]
            for path in [
                path for path in server.files if path.startswith(f"/small/{subdir}/") and path.endswith(".conda")
            ]:
                server.files[path.replace("/small/", "/packages/")] = server.files.pop(path)
            moved = document.replace(
                b'"info": {', f'"info": {{"base_url": "{server.base}/packages/{subdir}/", '.encode()
            )
            server.files[f"/small/{subdir}/repodata.json"] = moved
            del server.files[f"/small/{subdir}/repodata.json.zst"]
        place.ok("bundle")
        assert place.ok("run", "train").out == HONEST


def test_a_cut_download_of_a_package_is_resumed(tmp_path: Path) -> None:
    """`ok` checks the exit code: the second run completes the download."""
    with ChannelServer() as server:
        place = served(server, tmp_path)
        path = f"/small/{host_platform()}/{alpha().file}"
        server.cut[path] = 400
        place.fails(1, "bundle")
        server.cut.clear()
        place.ok("bundle")


def test_a_login_is_sent_only_to_the_channel(tmp_path: Path) -> None:
    with ChannelServer() as server:
        write_channel(tmp_path / "channel", *packages())
        server.add_folder("small", tmp_path / "channel")
        server.auth = "Basic bWU6c2VjcmV0"  # me:secret
        place = Workplace(tmp_path, None)
        place.write(MANIFEST.format(url=f"{server.base}/small", targets=host_platform()))
        assert "HTTP 401" in place.fails(1, "lock").err
        (tmp_path / "home").mkdir()
        (tmp_path / "home/.netrc").write_text("machine 127.0.0.1 login me password secret\n")
        place.ok("lock")
        place.ok("bundle")
        prefix = tmp_path / "prefix"
        place.ok("hydrate", "train", "--prefix", str(prefix))
        for folder in (prefix, place.store, place.cache):
            for path in folder.rglob("*"):
                assert not (path.is_file() and b"secret" in path.read_bytes()), path
        assert server.base.removeprefix("http://") not in "".join(
            path.read_text() for path in prefix.glob("conda-meta/*")
        )


# packages that are refused


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [
        (build_conda("alpha", files={"../evil": ""}, subdir=host_platform()), "'../evil' is not a plain relative path"),
        (
            build_conda("alpha", noarch="python", entry_points=["evil = a:b(); import os"]),
            "the entry point evil refers to 'a:b(); import os', which is not module:attribute",
        ),
        (
            build_conda("alpha", files={"lib/x": File(link="../../../etc/passwd")}, subdir=host_platform()),
            "is a link that leaves the tree",
        ),
    ],
    ids=["path", "entry point", "link"],
)
def test_a_hostile_package_is_reported_and_leaves_nothing(hostile: Package, reason: str, tmp_path: Path) -> None:
    others = [package for package in packages() if package.index["name"] != "alpha"]
    write_channel(tmp_path / "channel", hostile, *others)
    place = Workplace(tmp_path, None)
    place.write(MANIFEST.format(url="../channel", targets=host_platform()))
    place.ok("lock")
    done = place.fails(1, "bundle")
    assert "alpha-1.0-h0_0.conda cannot be installed: " in done.err
    assert reason in done.err
    kept = [path.name for path in place.store.rglob("*") if path.is_file()]
    assert hostile.sha256 not in kept
    assert not list(place.store.glob("v1/environments/*")) and not list(place.store.glob("v1/steps/*"))


def test_an_environment_for_windows_is_bundled_and_unpacked_elsewhere(tmp_path: Path) -> None:
    windows = [
        build_conda("python", "3.12.4", files={"python.exe": b"MZ\0"}, subdir="win-64"),
        build_conda("alpha", files={"Library/bin/alpha.dll": b"MZ\0", "etc/a": f"{PLACEHOLDER}\\x\n"}, subdir="win-64"),
        packages()[2],
    ]
    write_channel(tmp_path / "channel", *windows)
    place = Workplace(tmp_path, None)
    place.write(MANIFEST.format(url="../channel", targets="win-64"))
    place.ok("lock")
    place.ok("bundle")
    prefix = tmp_path / "prefix"
    place.ok("hydrate", "train", "--platform", "win-64", "--prefix", str(prefix))
    assert (prefix / "python.exe").exists() and (prefix / "Lib/site-packages/helper.py").exists()
    assert b"#!<launcher_dir>\\..\\python.exe\n" in (prefix / "Scripts/help.exe").read_bytes()
    assert (prefix / "etc/a").read_text() == f"{PLACEHOLDER}\\x\n"
    place.ok("bundle", "--output", "../win.tar.zst")
    place.ok("hydrate", "../win.tar.zst", "--prefix", str(tmp_path / "from-file"))
    assert not (tmp_path / "from-file/.envc/relocate.sh").exists()


def test_packages_are_in_the_site_packages_of_their_python(tmp_path: Path) -> None:
    """CEP-17: `python` declares its site-packages folder, and packages of both kinds are installed there."""
    site = "lib/python3.12t/site-packages"
    python = build_conda(
        "python",
        "3.12.4",
        files={"bin/python": File("#!/bin/sh\n", mode=0o755)},
        subdir=host_platform(),
        index={"python_site_packages_path": site},
    )
    write_channel(tmp_path / "channel", python, *packages()[1:])
    with IndexServer([build_wheel("app", files={"app.py": "X = 1\n"})]) as index:
        place = Workplace(tmp_path, index.url)
        place.write(f'{MANIFEST.format(url="../channel", targets=host_platform())}pypi = ["app"]\n')
        place.ok("lock")
        place.ok("bundle")
    assert f'site-packages = "{site}"' in place.lock.read_text()
    prefix = tmp_path / "prefix"
    place.ok("hydrate", "train", "--prefix", str(prefix))
    assert {path.name for path in (prefix / site).glob("*.py")} == {"app.py", "helper.py"}
    assert [path.name for path in (prefix / "lib").iterdir()] == ["python3.12t"]
    assert "0 problems" in place.ok("verify", "--prefix", str(prefix)).err


# link scripts


def with_script(**more: object) -> list[Package]:
    scripted = build_conda(
        "alpha",
        files={"bin/.alpha-post-link.sh": "touch ran\n", "bin/.beta-post-link.sh": "", "share/big": bytes(600_000)},
        subdir=host_platform(),
        **more,  # type: ignore[arg-type]
    )
    return [scripted, packages()[0], packages()[2]]


SAID = "alpha 1.0 has bin/.alpha-post-link.sh, which envc never runs"


def test_link_scripts_are_reported_when_a_package_is_locked(tmp_path: Path) -> None:
    with ChannelServer() as server:
        server.ranges = True
        write_channel(tmp_path / "channel", *with_script())
        server.add_folder("small", tmp_path / "channel")
        place = Workplace(tmp_path, None)
        place.write(MANIFEST.format(url=f"{server.base}/small", targets=host_platform()))
        first = place.ok("lock")
        assert first.err.count("which envc never runs") == 1 and SAID in first.err
        assert {status for path, status in server.log if path.endswith(".conda")} == {206}
        assert SAID not in place.ok("lock").err, "it is reported when it is new"
        place.lock.unlink()
        before = len(server.log)
        assert SAID in place.ok("lock").err
        assert not [path for path in server.paths[before:] if path.endswith(".conda")], "the finding is kept"
        assert SAID in place.ok("bundle").err
        assert not list(tmp_path.rglob("ran"))


def test_locking_downloads_no_packages_from_a_server_without_ranges(tmp_path: Path) -> None:
    with ChannelServer() as server:
        write_channel(tmp_path / "channel", *with_script())
        server.add_folder("small", tmp_path / "channel")
        place = Workplace(tmp_path, None)
        place.write(MANIFEST.format(url=f"{server.base}/small", targets=host_platform()))
        assert SAID not in place.ok("lock").err
        assert SAID in place.ok("bundle").err
        place.lock.unlink()
        assert SAID in place.ok("lock").err, "a cached package is examined in the cache"


def test_link_scripts_of_old_packages_are_reported_when_bundled(tmp_path: Path) -> None:
    write_channel(tmp_path / "channel", *with_script(format="tar.bz2"))
    place = Workplace(tmp_path, None)
    place.write(MANIFEST.format(url="../channel", targets=host_platform()))
    assert SAID not in place.ok("lock").err
    assert SAID in place.ok("bundle").err
