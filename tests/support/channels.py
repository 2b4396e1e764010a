"""Conda channels for tests: repodata folders read completely, and universes in memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from envc.fetch.conda.plain_repodata import PlainRepodataScanner
from envc.fetch.conda.repodata import RepodataIndex, index_plain_repodata, index_repodata
from envc_solvers.conda.language.record import Record, decode_records, name_of

SHARED = Path(__file__).resolve().parents[3] / "shared" / "conda"
CHANNELS = SHARED / "channels"
_EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def copy_example(name: str, folder: Path) -> None:
    """Copy an example into a folder. Its channel `conda-forge` becomes the recorded one, which must exist."""
    shutil.copytree(_EXAMPLES / name, folder, dirs_exist_ok=True)
    (folder / "channels").symlink_to(CHANNELS)
    with (folder / "manifest.toml").open("a") as manifest:
        manifest.write('\n[sources.conda-forge]\nkind = "conda"\nurl = "channels/conda-forge"\n')


class MemoryRepodata:
    """The in-memory twin of the `Repodata` protocol. `names_read` lists the names whose records were read, in order."""

    def __init__(self, records: Iterable[Record], platform: str) -> None:
        self._subdirs = tuple(dict.fromkeys((platform, "noarch")))
        self._records: dict[tuple[str, str, str], list[Record]] = {}
        for record in records:
            self._records.setdefault((record.channel, record.subdir, record.name), []).append(record)
        self.names_read: list[str] = []

    def subdirs(self, channel: str) -> tuple[str, ...]:
        return self._subdirs

    def names(self, channel: str, subdir: str) -> frozenset[str]:
        return frozenset(name for at, below, name in self._records if (at, below) == (channel, subdir))

    def digest(self, channel: str, subdir: str) -> str:
        return f"{channel}/{subdir}"

    def records(self, channel: str, subdir: str, name: str) -> tuple[Record, ...]:
        self.names_read.append(name)
        found = self._records.get((channel, subdir, name), ())
        return tuple(record for record in found if not _is_twin(record, found))

    def archives(self, channel: str, subdir: str, name: str) -> tuple[Record, ...]:
        found = self._records.get((channel, subdir, name), ())
        return tuple(record for record in found if _is_twin(record, found))

    def lists(self, channel: str, subdir: str, name: str) -> bool:
        return (channel, subdir, name) in self._records

    def expect(self, names: Iterable[str]) -> None:
        """Do nothing: every record is in memory already."""


def _is_twin(record: Record, others: Iterable[Record]) -> bool:
    """Whether a .tar.bz2 also exists as .conda."""
    twin = record.file.removesuffix(".tar.bz2") + ".conda"
    return record.file.endswith(".tar.bz2") and any(other.file == twin for other in others)


def read_channels(channels: Iterable[str], platform: str) -> list[Record]:
    """Return every record of the shared channels for a platform. `.conda` comes before `.tar.bz2`."""
    import zstandard

    found: list[Record] = []
    for channel in channels:
        for subdir in dict.fromkeys((platform, "noarch")):
            path = CHANNELS / channel / subdir / "repodata.json.zst"
            if not path.exists():
                continue
            document = json.loads(zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read())
            entries = document.get("packages", {})
            newer = document.get("packages.conda", {})
            kept = {file: entry for file, entry in entries.items() if file[: -len(".tar.bz2")] + ".conda" not in newer}
            named = {file: entry for file, entry in (kept | newer).items() if entry["name"] == name_of(file)}
            found += decode_records(json.dumps(named).encode(), channel, subdir)[0]
    return found


def cut_whole(data: bytes, size: int = 1 << 20) -> RepodataIndex:
    """Scan repodata in pieces of a given size, then cut it into records."""
    scanner = PlainRepodataScanner(10**6)
    for at in range(0, len(data), size):
        scanner.feed(data[at : at + size])
    return index_plain_repodata(data, scanner) or index_repodata(data, 10**6)
