"""conda-index reads and py-rattler installs the conda packages that tests build."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from pathlib import Path

import pytest

from tests.support.conda_channels import conda_index, write_channel
from tests.support.conda_packages import PLACEHOLDER, File, Package, build_conda

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("conda_index", "rattler")),
    reason="conda-index or py-rattler is not installed",
)
FILES = {
    "bin/tool": File(f"#!{PLACEHOLDER}/bin/sh\n", mode=0o755),
    "bin/again": File(link="tool"),
    "lib/tool.bin": b"\0" + PLACEHOLDER.encode() + b"/lib\0tail",
    "lib/same.bin": File(hard="lib/tool.bin"),
}


def packages() -> list[Package]:
    return [
        build_conda("tool", "1.2", "h_0", FILES),
        build_conda("tool", "1.2", "h_1", FILES, format="tar.bz2", build_number=1),
        build_conda("tool", "1.2", "h_2", FILES, format="tar.bz2", build_number=2, legacy=True),
    ]


@pytest.mark.engines
def test_conda_index_reads_the_records_of_built_packages(tmp_path: Path) -> None:
    write_channel(tmp_path / "ours", *packages())
    write_channel(tmp_path / "theirs", *packages())
    conda_index(tmp_path / "theirs")
    ours, theirs = (
        json.loads((tmp_path / side / "linux-64/repodata.json").read_bytes()) for side in ("ours", "theirs")
    )
    for table in ("packages", "packages.conda"):
        assert theirs[table].keys() == ours[table].keys()
        for file, record in theirs[table].items():
            assert record.items() <= ours[table][file].items()
    assert (tmp_path / "theirs/linux-64/repodata_shards.msgpack.zst").exists()


@pytest.mark.engines
@pytest.mark.parametrize("build", ["h_0", "h_1", "h_2"])
def test_py_rattler_installs_every_format(tmp_path: Path, build: str) -> None:
    import rattler

    write_channel(tmp_path / "channel", *packages())
    prefix = tmp_path / "prefix"

    async def install() -> None:
        channel = rattler.Channel(str(tmp_path / "channel"))
        records = await rattler.solve([channel], [f"tool ==1.2 {build}"], platforms=["linux-64", "noarch"])
        await rattler.install(records, prefix, cache_dir=tmp_path / "cache", show_progress=False)

    asyncio.run(install())
    assert (prefix / "bin/tool").read_text() == f"#!{prefix}/bin/sh\n"
    assert (prefix / "bin/again").readlink() == Path("tool")
    content = (prefix / "lib/tool.bin").read_bytes()
    assert content.startswith(b"\0" + str(prefix).encode() + b"/lib\0")
    assert len(content) == len(FILES["lib/tool.bin"])
