"""`lock` reads file names of packages that are not verified. The result is a warning, never an error."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard

from envc.fetch.conda.channel_locations import resolve_channels
from envc.fetch.conda.link_scripts import LinkScripts
from envc.fetch.net.credentials import Keyring
from envc.model.digest import Sha256, sha256
from envc.model.environment import EnvironmentMember
from tests.support.channel_server import ChannelServer
from tests.support.conda_packages import build_conda, conda_archive, tar_member, zip_bytes
from tests.support.fetching import fetching

STEM = "tool-1.0-h0_0"
SCRIPT = "bin/.tool-post-link.sh"
HONEST = build_conda("tool", files={SCRIPT: "exit 1\n"}).data


def package(digest: Sha256, size: int, source: str = "made") -> EnvironmentMember:
    return EnvironmentMember(
        kind="conda",
        name="tool",
        version="1.0",
        source=source,
        file=f"{STEM}.conda",
        size=size,
        sha256=digest,
        layout="any",
        subdir="linux-64",
    )


def found(data: bytes, folder: Path) -> tuple[str, ...]:
    """The scripts that are found in a cached package."""
    member = package(sha256(data), len(data))
    place = folder / "artifacts" / member.sha256[:2] / member.sha256 / member.file
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


def test_what_one_channel_serves_says_nothing_about_another(tmp_path: Path) -> None:
    """A channel that lists a package under its right digest, and serves another one, hides no script."""
    clean = build_conda("tool").data
    members = {}
    with ChannelServer() as server:
        server.ranges = True
        for channel, data in (("evil", clean), ("honest", HONEST)):
            server.files[f"/{channel}/linux-64/{STEM}.conda"] = data
            member = package(sha256(HONEST), len(data), channel)
            locations = resolve_channels([f"{server.base}/{channel}"], {}, Keyring())
            members[channel] = LinkScripts(locations, fetching(tmp_path, now=1)).find([member]).get(member, ())
    assert members == {"evil": (), "honest": (SCRIPT,)}
