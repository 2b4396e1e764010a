"""Hostile conda packages whose digest is right: each is refused with its name and the reason."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from envc.errors import StoreError
from envc.model.digest import Sha256
from envc.model.record import Member
from envc.shipping.format.encode import write_object
from envc.shipping.format.errors import UnsafePath
from envc.shipping.unpack.conda import open_conda
from envc.shipping.unpack.errors import BadArtifact, BadPackage
from envc.shipping.unpack.zips import Limits
from tests.support.conda_packages import PLACEHOLDER, File, Package, build_conda, conda_archive, tar_member
from tests.support.wheels import zip_bytes

PYTHON = "py3.12-posix"
FILES = {"bin/tool": File("#!/bin/sh\n", mode=0o755), "lib/a": "a"}


def open_package(
    package: Package, folder: Path, layout: str = "any", limits: Limits | None = None
) -> tuple[Member, ...]:
    """Write the object of a package, check it, and return its members."""
    path = folder / "package"
    path.write_bytes(package.data)
    with open_conda(path, package.file, layout, Sha256(package.sha256), limits) as contents:
        index, _ = write_object(contents.entries, io.BytesIO(), layout=layout, artifact=Sha256(package.sha256), level=1)
        contents.check(index.members)
        return index.members


def entry(path: str, content: bytes = b"", **more: object) -> dict[str, object]:
    digest = hashlib.sha256(content).hexdigest()
    return {"_path": path, "path_type": "hardlink", "sha256": digest, "size_in_bytes": len(content), **more}


OTHER = {"bin/tool": entry("bin/tool", b"#!/bin/sh\n"), "lib/a": entry("lib/a", b"a")}


def changed(path: str, **fields: object) -> list[dict[str, object]]:
    """Return `paths.json` with changed fields of one path."""
    return [value | (fields if key == path else {}) for key, value in OTHER.items()]


CASES: dict[str, tuple[Callable[[], Package], str]] = {
    "a path climbs out": (
        lambda: build_conda("p", files=FILES, members=[(tar_member("../evil"), b"")]),
        "'../evil' is not a plain relative path",
    ),
    "a path is absolute": (
        lambda: build_conda("p", files=FILES, members=[(tar_member("/etc/evil"), b"")]),
        "'/etc/evil' is not a plain relative path",
    ),
    "a path has backslashes": (
        lambda: build_conda("p", files=FILES, members=[(tar_member("..\\evil"), b"")]),
        "contains a backslash",
    ),
    "a link climbs out": (lambda: build_conda("p", files={"lib/x": File(link="../../etc/passwd")}), "leaves the tree"),
    "a link is absolute": (lambda: build_conda("p", files={"lib/x": File(link="/etc/passwd")}), "is not a plain"),
    "a file stands below a link": (
        lambda: build_conda("p", files={"lib": File(link="share"), "lib/x": "", "share/y": ""}),
        "'lib' is both a member and a folder of other members",
    ),
    "a hard link leads out": (
        lambda: build_conda(
            "p",
            files=FILES,
            paths=[*OTHER.values(), entry("lib/x")],
            members=[(tar_member("lib/x", type=tarfile.LNKTYPE, target="../../etc/passwd"), b"")],
        ),
        "is a hard link to '../../etc/passwd', which is not an earlier file",
    ),
    "a device": (
        lambda: build_conda("p", files=FILES, members=[(tar_member("lib/null", type=tarfile.CHRTYPE), b"")]),
        "'lib/null' is neither a file, a folder nor a link",
    ),
    "a path twice": (
        lambda: build_conda("p", files=FILES, members=[(tar_member("lib/a"), b"")]),
        "'lib/a' occurs twice",
    ),
    "a file that nothing lists": (
        lambda: build_conda("p", files=FILES, members=[(tar_member("lib/b"), b"")]),
        "the archive contains 'lib/b', which info/paths.json does not list",
    ),
    "a file that an old list lacks": (
        lambda: build_conda("p", files=FILES, legacy=True, format="tar.bz2", members=[(tar_member("lib/b"), b"")]),
        "the archive contains 'lib/b', which info/files does not list",
    ),
    "a listed file that is not there": (
        lambda: build_conda("p", files=FILES, paths=[*OTHER.values(), entry("lib/c")]),
        "info/paths.json lists 'lib/c', which is not in the archive",
    ),
    "a listed path that climbs out": (
        lambda: build_conda("p", files=FILES, paths=[*OTHER.values(), entry("../x", path_type="directory")]),
        "'../x' is not a plain relative path",
    ),
    "a listed path twice": (
        lambda: build_conda("p", files=FILES, paths=[*OTHER.values(), OTHER["lib/a"] | {"no_link": True}]),
        "info/paths.json lists 'lib/a' twice, and differently",
    ),
    "another content than listed": (
        lambda: build_conda("p", files=FILES, paths=changed("lib/a", sha256="0" * 64)),
        "lib/a does not match its digest in info/paths.json",
    ),
    "another size than listed": (
        lambda: build_conda("p", files=FILES, paths=changed("lib/a", size_in_bytes=7)),
        "'lib/a' has 1 bytes; info/paths.json says 7",
    ),
    "a digest that is none": (
        lambda: build_conda("p", files=FILES, paths=changed("lib/a", sha256="x")),
        "info/paths.json states an invalid sha256 for 'lib/a'",
    ),
    "a file that is listed as a link": (
        lambda: build_conda("p", files=FILES, paths=changed("lib/a", path_type="softlink")),
        "'lib/a' is a softlink in info/paths.json, but a file in the archive",
    ),
    "a link that is listed as a file": (
        lambda: build_conda(
            "p", files=FILES | {"lib/a": File(link="b"), "lib/b": ""}, paths=[*OTHER.values(), entry("lib/b")]
        ),
        "'lib/a' is a hardlink in info/paths.json, but a link in the archive",
    ),
    "a file that is listed as a folder": (
        lambda: build_conda("p", files=FILES, paths=changed("lib/a", path_type="directory")),
        "'lib/a' is a folder in info/paths.json, but a file in the archive",
    ),
    "a folder below a file": (
        lambda: build_conda("p", files=FILES, paths=[*OTHER.values(), {"_path": "lib/a/b", "path_type": "directory"}]),
        "the folder 'lib/a/b' is in the place of a file",
    ),
    "a kind of path that conda does not know": (
        lambda: build_conda("p", files=FILES, paths=changed("lib/a", path_type="junction")),
        "info/paths.json cannot be read",
    ),
    "a later paths.json": (
        lambda: build_conda("p", files=FILES, info={"paths.json": json.dumps({"paths": [], "paths_version": 9})}),
        "info/paths.json has version 9",
    ),
    "a paths.json that is nested without end": (
        lambda: build_conda("p", files=FILES, info={"paths.json": "[" * 100_000}),
        "info/paths.json cannot be read",
    ),
    "a placeholder that matches everything": (
        lambda: build_conda("p", files=FILES, paths=changed("lib/a", prefix_placeholder="a", file_mode="text")),
        "'lib/a': the placeholder 'a' cannot stand for a prefix",
    ),
    "a placeholder without a mode": (
        lambda: build_conda("p", files=FILES, paths=changed("lib/a", prefix_placeholder=PLACEHOLDER)),
        "'lib/a' has a placeholder, but is neither text nor binary",
    ),
    "a build string that is a path": (
        lambda: build_conda("p", build="../../x", file="p-1.0-x.conda"),
        "a name is not a plain relative path: 'pkg-p-1.0-../../x.tar.zst'",
    ),
    "an index.json of another package": (
        lambda: build_conda("p", files=FILES, index={"build": "../../x"}),
        "it is 'p' '1.0' '../../x' by its index.json",
    ),
    "no index.json": (
        lambda: build_conda("p", files=FILES, info={"index.json": "null"}),
        "info/index.json cannot be read",
    ),
    "an unknown kind of noarch": (
        lambda: build_conda("p", files=FILES, index={"noarch": "perl"}),
        "info/index.json states the noarch kind 'perl'",
    ),
    "noarch python that is locked as something else": (
        lambda: build_conda("p", files={"site-packages/p.py": ""}, noarch="python"),
        "it is a noarch python package by its index.json, but the lock says otherwise",
    ),
    "a prefix record of its own": (
        lambda: build_conda("p", files={"conda-meta/q-1.0-0.json": "{}"}),
        "'conda-meta/q-1.0-0.json' may only be written by the program that installs packages",
    ),
    "a history of its own": (
        lambda: build_conda("p", files={"Conda-Meta/History": ""}),
        "may only be written by the program that installs packages",
    ),
    "a pyvenv.cfg": (
        lambda: build_conda("p", files={"pyvenv.cfg": "home = /evil"}),
        "it would turn the prefix into a virtual environment of another Python",
    ),
    "a folder of envc's": (lambda: build_conda("p", files={".envc/record.json": "{}"}), "reserved folder .envc"),
    "info that pretends to be content": (
        lambda: build_conda("p", files=FILES, members=[(tar_member("info/index.json"), b"")]),
        "'info/index.json' is in the wrong one of its two archives",
    ),
    "info that is a link": (
        lambda: build_conda(
            "p", files=FILES, format="tar.bz2", info={"link.json": "{}", "paths.json": File(link="files")}
        ),  # type: ignore[dict-item]
        "info/paths.json is a link",
    ),
}
NOARCH_CASES: dict[str, tuple[Callable[[], Package], str]] = {
    "a platform's package that is locked as noarch": (
        lambda: build_conda("p", files=FILES),
        "it is not a noarch python package by its index.json",
    ),
    "an entry point with code in it": (
        lambda: build_conda("p", noarch="python", entry_points=["p = p:main;import os"]),
        "the entry point p refers to 'p:main;import os', which is not module:attribute",
    ),
    "an entry point without a function": (
        lambda: build_conda("p", noarch="python", entry_points=["p"]),
        "the entry point 'p' is not name = module:attribute",
    ),
    "an entry point twice": (
        lambda: build_conda("p", noarch="python", entry_points=["p = p:a", "p = p:b"]),
        "the entry point p is declared twice, and differently",
    ),
    "an entry point that is the interpreter": (
        lambda: build_conda("p", noarch="python", entry_points=["python3 = p:main"]),
        "a script must not be called python3",
    ),
    "a script that is the interpreter": (
        lambda: build_conda("p", files={"python-scripts/python": ""}, noarch="python"),
        "it would replace the environment's own bin/python",
    ),
    "two paths that want one place": (
        lambda: build_conda("p", files={"python-scripts/x": "", "bin/x": ""}, noarch="python"),
        "two of its paths would become 'bin/x'",
    ),
    "a way out of site-packages": (
        lambda: build_conda("p", files=FILES, noarch="python", members=[(tar_member("site-packages/../../x"), b"")]),
        "'site-packages/../../x' is not a plain relative path",
    ),
}


def again(path: str) -> tuple[tarfile.TarInfo, bytes]:
    """Return the member of a file with the content "a" once more."""
    member = tar_member(path)
    member.size = 1
    return member, b"a"


ACCEPTED: dict[str, Callable[[], Package]] = {
    "a listed path twice": lambda: build_conda("p", files=FILES, paths=[*OTHER.values(), OTHER["lib/a"]]),
    "a path twice in an old list": lambda: build_conda(
        "p", files=FILES, legacy=True, format="tar.bz2", info={"files": "bin/tool\nlib/a\nlib/a\n"}
    ),
    "a file twice": lambda: build_conda("p", files=FILES, members=[again("lib/a")]),
    "a file of info twice": lambda: build_conda(
        "p", files=FILES, format="tar.bz2", info={"x": "a"}, members=[again("info/x")]
    ),
}
ACCEPTED_NOARCH: dict[str, Callable[[], Package]] = {
    "an entry point twice": lambda: build_conda("p", noarch="python", entry_points=["p = p:a", "p = p:a"]),
    "an entry point with a separator": lambda: build_conda(
        "p", noarch="python", entry_points=["../../evil = p:main", "p = p:a"]
    ),
}


@pytest.mark.parametrize("case", [*ACCEPTED, *ACCEPTED_NOARCH])
def test_what_a_package_says_twice_alike_counts_once(case: str, tmp_path: Path) -> None:
    if case in ACCEPTED:
        members = open_package(ACCEPTED[case](), tmp_path)
        assert {"bin/tool", "lib/a"} <= {member.path for member in members}
    else:
        members = open_package(ACCEPTED_NOARCH[case](), tmp_path, PYTHON)
        assert [member.path for member in members if member.path.startswith("bin/")] == ["bin/p"]


@pytest.mark.parametrize("case", CASES)
def test_a_package_is_refused_with_its_name_and_the_reason(case: str, tmp_path: Path) -> None:
    make, reason = CASES[case]
    package = make()
    with pytest.raises((BadArtifact, UnsafePath)) as error:
        open_package(package, tmp_path)
    assert isinstance(error.value, BadArtifact), "every refusal names the file"
    assert str(error.value).startswith(f"{package.file} cannot be installed: ")
    assert reason in str(error.value)
    assert error.value.hint


@pytest.mark.parametrize("case", NOARCH_CASES)
def test_a_noarch_package_is_refused_with_its_name_and_the_reason(case: str, tmp_path: Path) -> None:
    make, reason = NOARCH_CASES[case]
    with pytest.raises(BadArtifact) as error:
        open_package(make(), tmp_path, PYTHON)
    assert reason in str(error.value)


def test_the_unchanged_packages_are_accepted(tmp_path: Path) -> None:
    members = open_package(build_conda("p", files=FILES, paths=OTHER.values()), tmp_path)
    assert [member.path for member in members] == ["bin/tool", "conda-meta/p-1.0-h0_0.json", "lib/a"]


# the archives themselves


def members_of(package: Package) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(package.data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def repacked(package: Package, members: dict[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> Package:
    return Package(package.file, package.subdir, zip_bytes(members, compression=compression), package.index)


def test_a_conda_file_is_a_zip_archive_of_exactly_two_tar_archives(tmp_path: Path) -> None:
    package = build_conda("p", files=FILES)
    members = members_of(package)
    content, info = members["pkg-p-1.0-h0_0.tar.zst"], members["info-p-1.0-h0_0.tar.zst"]
    for other, reason in (
        (
            {name: data for name, data in members.items() if not name.startswith("pkg")},
            "it contains nothing instead of pkg-p",
        ),
        (members | {"pkg-q-1.0-h0_0.tar.zst": content}, "it contains pkg-p-1.0-h0_0.tar.zst, pkg-q-1.0-h0_0.tar.zst"),
        ({name: data for name, data in members.items() if name != "metadata.json"}, "it has no metadata.json"),
        (members | {"metadata.json": b"{}"}, "its metadata.json cannot be read"),
        (members | {"metadata.json": b'{"conda_pkg_format_version": 3}'}, "it has conda package format 3"),
        (members | {"pkg-p-1.0-h0_0.tar.zst": content[:-9]}, ""),
        (members | {"pkg-p-1.0-h0_0.tar.zst": b"no zstd"}, "it does not start with a zstd frame"),
        (members | {"info-p-1.0-h0_0.tar.zst": content, "pkg-p-1.0-h0_0.tar.zst": info}, "in the wrong one"),
    ):
        with pytest.raises(BadPackage) as error:
            open_package(repacked(package, other), tmp_path)
        assert reason in str(error.value)
    with pytest.raises(BadPackage, match="is compressed twice"):
        open_package(repacked(package, members, compression=zipfile.ZIP_DEFLATED), tmp_path)
    assert open_package(repacked(package, members | {"README": b"ignored"}), tmp_path)


def test_zip_archives_that_readers_read_differently_are_refused(tmp_path: Path) -> None:
    package = build_conda("p", files=FILES)
    for data in (b"#!/bin/sh\n" + package.data, package.data + b"tail", package.data[:-5]):
        with pytest.raises(BadPackage):
            open_package(Package(package.file, package.subdir, data, package.index), tmp_path)


def test_an_old_package_that_is_cut_or_damaged_is_refused(tmp_path: Path) -> None:
    package = build_conda("p", files=FILES, format="tar.bz2")
    for data in (b"", b"BZh91", package.data[:-20], zstandard.compress(b"")):
        with pytest.raises(BadPackage):
            open_package(Package(package.file, package.subdir, data, package.index), tmp_path)


@pytest.mark.parametrize("format", ["conda", "tar.bz2"])
def test_decompression_bombs_are_refused_before_they_expand(format: str, tmp_path: Path) -> None:
    bomb = build_conda("p", files={"lib/zeros": bytes(4 << 20)}, format=format)  # type: ignore[arg-type]
    with pytest.raises(BadPackage, match="unpacks from"):
        open_package(bomb, tmp_path, limits=Limits(free=1 << 20, ratio=10))
    many = build_conda("p", files={f"lib/{number}": "" for number in range(50)}, format=format)  # type: ignore[arg-type]
    with pytest.raises(BadPackage, match="has more than 20 entries"):
        open_package(many, tmp_path, limits=Limits(entries=20))
    info = build_conda("p", files=FILES, info={"paths.json": b" " * 5000}, format=format)  # type: ignore[arg-type]
    with pytest.raises(BadPackage, match=r"info/paths\.json is a link, or larger than"):
        open_package(info, tmp_path, limits=Limits(small=1000))


@pytest.mark.parametrize("mtime", ["inf", "nan", "1e300", "8589934592"])
def test_times_that_objects_cannot_represent_are_refused(mtime: str, tmp_path: Path) -> None:
    member = tar_member("lib/dated")
    member.pax_headers = {"mtime": mtime}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member, io.BytesIO())
    package = build_conda("p", files=FILES)
    members = members_of(package) | {"pkg-p-1.0-h0_0.tar.zst": zstandard.compress(buffer.getvalue())}
    with pytest.raises(BadPackage, match=r"'lib/dated' is dated|'mtime'='.*', which is not a valid value"):
        open_package(repacked(package, members), tmp_path)


def test_the_name_of_a_file_determines_its_format(tmp_path: Path) -> None:
    package = build_conda("p", files=FILES)
    with pytest.raises(BadPackage, match=r"ends neither in \.conda nor in \.tar\.bz2"):
        open_package(Package("p-1.0-h0_0.zip", package.subdir, package.data, package.index), tmp_path)


def test_empty_archives_are_refused(tmp_path: Path) -> None:
    empty = zstandard.compress(bytes(1024))
    data = conda_archive("p-1.0-h0_0", empty, empty)
    with pytest.raises(BadPackage, match=r"it has no info/index\.json"):
        open_package(Package("p-1.0-h0_0.conda", "linux-64", data, {}), tmp_path)


def test_a_full_disk_is_not_reported_as_a_bad_package(tmp_path: Path) -> None:
    """Contents are read again while the object is written, and a truncated one must be reported as such."""
    package = build_conda("p", files=FILES)
    path = tmp_path / "package"
    path.write_bytes(package.data)
    with (
        open_conda(path, package.file, "any", Sha256(package.sha256)) as contents,
        pytest.raises(StoreError, match="as announced"),
    ):
        write_object(
            [
                e if e.size is None else type(e)(path=e.path, content=e.content, size=e.size + 1)
                for e in contents.entries
            ],
            io.BytesIO(),
            layout="any",
        )
