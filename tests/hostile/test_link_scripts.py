"""`lock` reads file names of packages that are not verified. The result is a warning, never an error."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard

from envc.fetch.conda.link_scripts import LinkScripts
from envc.model.digest import sha256
from envc.model.environment import EnvironmentMember
from tests.support.conda_packages import build_conda, conda_archive, tar_member, zip_bytes
from tests.support.fetching import fetching

STEM = "tool-1.0-h0_0"
SCRIPT = "bin/.tool-post-link.sh"
HONEST = build_conda("tool", files={SCRIPT: "exit 1\n"}).data


def found(data: bytes, folder: Path) -> tuple[str, ...]:
    """The scripts that are found in a cached package."""
    file = f"{STEM}.conda"
    member = EnvironmentMember(
        kind="conda",
        name="tool",
        version="1.0",
        source="made",
        file=file,
        size=len(data),
        sha256=sha256(data),
        layout="any",
        subdir="linux-64",
    )
    place = folder / "artifacts" / member.sha256[:2] / member.sha256 / file
    place.parent.mkdir(parents=True)
    place.write_bytes(data)
    return LinkScripts({}, fetching(folder, now=1, offline=True)).find([member]).get(member, ())


def with_paths(text: bytes, member: tarfile.TarInfo | None = None) -> bytes:
    """Return a package whose list of paths is that text, or that archive member."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = member or tar_member("info/paths.json")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return conda_archive(STEM, b"", zstandard.compress(out.getvalue()))


def with_flag(flag: int) -> bytes:
    """The valid package with a flag in each entry of the ZIP archive's directory."""
    data = bytearray(HONEST)
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        struct.pack_into("<H", data, at + 8, flag)
        at = data.find(b"PK\x01\x02", at + 1)
    return bytes(data)


def test_the_unchanged_package_has_a_script(tmp_path: Path) -> None:
    assert found(HONEST, tmp_path) == (SCRIPT,)
    assert found(with_paths(b'{"paths": [{"_path": "%s"}]}' % SCRIPT.encode()), tmp_path) == (SCRIPT,)


@pytest.mark.parametrize(
    "data",
    [
        with_paths(b"[]"),
        with_paths(b"null"),
        with_paths(b'{"paths": 1}'),
        with_paths(b'{"paths": [1]}'),
        with_paths(b'{"paths": [{"_path": ["x"]}]}'),
        with_paths(b'{"paths": [' + b"[" * 100_000),
        with_paths(b"\xff"),
        with_paths(b"", tar_member("info/paths.json", type=tarfile.SYMTYPE, target="paths.json")),
        with_paths(b"", tar_member("info/paths.json", type=tarfile.DIRTYPE)),
        with_paths(b"", tar_member("info/else.json")),
        with_flag(0x1),
        zip_bytes({f"info-{STEM}.tar.zst": bytes(2 << 20)}, compression=zipfile.ZIP_DEFLATED)[:-40],
        zip_bytes({f"info-{STEM}.tar.zst": b"x"}, compression=zipfile.ZIP_LZMA),
        zip_bytes({"info-a": b"", "info-b": b""}, compression=zipfile.ZIP_STORED),
        conda_archive(STEM, b"", b"no frame"),
        conda_archive(STEM, b"", zstandard.compress(b"no archive")),
        b"",
    ],
)
def test_an_unreadable_package_has_no_scripts(data: bytes, tmp_path: Path) -> None:
    assert found(data, tmp_path) == ()
