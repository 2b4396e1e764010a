"""solve-conda-large: the same queries on a channel of 18 times the size, made of renamed copies of the real one."""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from tests.benchmarks.measure import clean_environment, median, versions
from tests.benchmarks.solve_conda import measured, ours, theirs
from tests.support.channels import SHARED
from tests.support.conda_queries import shared_queries

_CHANNEL, _PLATFORM = "conda-forge", "linux-64"
_NAME = re.compile(r"[A-Za-z0-9_.-]+").match


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="solve-conda-large", description=__doc__)
    parser.add_argument("--query", action="append", help="only queries whose id starts with this")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--times", type=int, default=18)
    chosen = parser.parse_args(arguments)
    if not SHARED.exists():
        raise SystemExit("skipped: shared/conda is not beside this checkout")
    wanted = tuple(chosen.query or ["d02", "d04", "d12", "d26"])
    queries = [q for q in shared_queries() if q.id.startswith(wanted) and q.channels == (_CHANNEL,)]
    print(versions("envc", "py-rattler", "msgspec"))
    print(
        f"{'query':26} {'warm s':>8} {'/small':>6} {'cold s':>8} {'/oracle':>7} {'of CPU':>6} {'MiB':>6} {'oracle':>6}"
    )
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        grow(base / "channels", chosen.times)
        small, large = SHARED / "channels", base / "channels"
        env = clean_environment(ENVC_CACHE_DIR=str(base / "cache"))
        for query in queries:
            if query.platform != _PLATFORM:
                continue
            cold, oracle = [], []
            for _ in range(chosen.runs):
                shutil.rmtree(base / "cache", ignore_errors=True)
                cold.append(measured(ours(query, large), env, base))
                oracle.append(measured(theirs(query, large), env, base))
            measured(ours(query, small), env, base)
            warm = [
                (measured(ours(query, large), env, base), measured(ours(query, small), env, base)) for _ in range(9)
            ]
            big, little = (median([pair[side].seconds for pair in warm]) for side in (0, 1))
            first, other = (median([run.seconds for run in runs]) for runs in (cold, oracle))
            peak, other_peak = (max(run.peak for run in runs) for runs in (cold, oracle))
            first_cpu, other_cpu = (min(run.cpu for run in runs) for runs in (cold, oracle))
            line = f"{query.id:26} {big:8.3f} {big / little:6.2f} {first:8.3f} {first / other:7.2f}"
            line += f" {first_cpu / other_cpu:6.2f}"
            print(f"{line} {peak:6.0f} {other_peak:6.0f}", flush=True)
    return 0


def grow(folder: Path, times: int) -> None:
    """Write the channel with `times` copies of each name. Copies depend on copies."""
    import zstandard

    decode, encode = msgspec.json.decode, msgspec.json.encode
    for subdir in (_PLATFORM, "noarch"):
        source = SHARED / "channels" / _CHANNEL / subdir / "repodata.json.zst"
        document = decode(zstandard.ZstdDecompressor().stream_reader(source.read_bytes()).read())
        place = folder / _CHANNEL / subdir
        place.mkdir(parents=True)
        with (place / "repodata.json.zst").open("wb") as out, zstandard.ZstdCompressor(3).stream_writer(out) as writer:
            writer.write(b'{"info":' + encode(document["info"]) + b',"packages":{')
            for kind, after in (("packages", b'},"packages.conda":{'), ("packages.conda", b'},"removed":[],')):
                entries = (
                    encode(file) + b":" + encode(record)
                    for number in range(times)
                    for file, record in copies(document[kind], number)
                )
                for position, entry in enumerate(entries):
                    writer.write(b"," + entry if position else entry)
                writer.write(after)
            writer.write(b'"repodata_version":1}')


def copies(entries: dict[str, dict[str, Any]], number: int) -> Iterable[tuple[str, dict[str, Any]]]:
    """Return the records of one copy. The first is the original."""
    if number == 0:
        yield from entries.items()
        return
    for file, record in entries.items():
        name = f"{record['name']}-copy{number}"
        renamed = record | {
            "name": name,
            "depends": [rename(text, number) for text in record.get("depends", ())],
            "constrains": [rename(text, number) for text in record.get("constrains", ())],
        }
        yield f"{name}{file.removeprefix(record['name'])}", renamed


def rename(spec: str, number: int) -> str:
    match = _NAME(spec)
    if match is None or spec.startswith("__"):
        return spec
    return f"{match[0]}-copy{number}{spec[match.end() :]}"
