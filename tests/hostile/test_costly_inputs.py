"""The inputs of at most a MiB that are known to cost most, for each reader: time and memory stay within bounds.

Each is read by a process of its own, whose peak of memory is compared with that of a process that has only loaded the
input. The bounds are several times what was measured.
"""

from __future__ import annotations

import bz2
import io
import struct
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import zstandard

from envc.shipping.format.object_index import FOOTER_MAGIC, SKIPPABLE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory as Linux states it"),
]

MIB = 1 << 20
SECONDS = 20  # of CPU time; the slowest takes five
MEMORY = 400  # MiB
RUN = """
import resource, sys, time
data = open(sys.argv[1], "rb").read()
{imports}
from envc.errors import EnvcError
from envc_solvers.errors import MetadataUnusable, SolverError
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before, start = peak(), time.process_time()
try:
    {call}
except (ValueError, EnvcError, MetadataUnusable, SolverError):
    pass
print(time.process_time() - start, peak() - before)
"""


def filled(unit: bytes, before: bytes = b"", after: bytes = b"", size: int = MIB) -> bytes:
    return before + unit * ((size - len(before) - len(after)) // len(unit)) + after


def numbered(form: bytes, before: bytes = b"", after: bytes = b"", size: int = MIB) -> bytes:
    return before + b"".join(form % number for number in range((size - len(before)) // len(form % 10**5))) + after


def packed(pieces: Iterator[bytes]) -> bytes:
    codec = zstandard.ZstdCompressor(level=3).compressobj()
    return b"".join([*map(codec.compress, pieces), codec.flush()])


def repodata(form: bytes, size: int, before: bytes, after: bytes) -> bytes:
    def pieces() -> Iterator[bytes]:
        yield before
        for start in range(0, size // len(form % 0), 10_000):
            yield b"".join(form % number for number in range(start, start + 10_000))
        yield after

    return packed(pieces())


def header(name: str, size: int = 0, kind: bytes = b"0") -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def tar_bomb(kind: bytes) -> bytes:
    codec = bz2.BZ2Compressor()
    parts = [codec.compress(header("x", 200 * MIB, kind))]
    parts += [codec.compress(bytes(MIB)) for _ in range(200)]
    parts += [codec.compress(header("a") + bytes(1024)), codec.flush()]
    assert sum(map(len, parts)) < 600
    return b"".join(parts)


def zip_of(count: int, extra: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(count):
            info = zipfile.ZipInfo(str(number))
            info.extra = extra
            archive.writestr(info, b"")
    return out.getvalue()


READERS = {
    "page": (
        "from envc.fetch.pypi.listing import parse_page\nimport unearth.collector",
        "parse_page(data, 'text/html', 'https://localhost/')",
    ),
    "json page": (
        "from envc.fetch.pypi.listing import parse_page",
        "parse_page(data, 'application/json', 'https://localhost/')",
    ),
    "metadata": (
        "from envc.fetch.pypi.metadata import parse_metadata\nimport packaging.requirements",
        "parse_metadata('a-1-py3-none-any.whl', data)",
    ),
    "record": ("from envc.shipping.unpack.records import parse_record", "parse_record(data.decode())"),
    "has_prefix": (
        "from envc.shipping.unpack.conda_info import read_legacy_paths",
        "read_legacy_paths(b'', data, b'', [], [])",
    ),
    "paths.json": ("from envc.shipping.unpack.conda_info import read_paths", "read_paths(data)"),
    "tar.bz2": (
        "import io\nfrom envc.shipping.unpack.tars import open_tar",
        "open_tar(io.BytesIO(data), 'bz2', size=len(data)).__enter__()",
    ),
    "tar.zst": (
        "import io\nfrom envc.shipping.unpack.tars import open_tar",
        "open_tar(io.BytesIO(data), 'zst', size=len(data)).__enter__()",
    ),
    "zip": (
        "import io\nfrom envc.shipping.unpack.zips import Limits, open_zip",
        "open_zip(io.BytesIO(data), Limits())",
    ),
    "repodata": (
        """\
        import io
        from envc.fetch.conda.plain_repodata import PlainRepodataScanner
        from envc.fetch.conda.repodata import *
        def read():
            scanner, pieces = PlainRepodataScanner(most_records(len(data))), []
            for piece in decompress(io.BytesIO(data), len(data), REPODATA_BOUNDS):
                scanner.feed(piece)
                pieces.append(piece)
            whole = b"".join(pieces)
            return index_plain_repodata(whole, scanner) or index_repodata(whole, most_records(len(data)))
        """,
        "read()",
    ),
    "shard": (
        "import io\nfrom envc.fetch.conda.repodata import SHARD_BOUNDS, decompress, records_of_shard",
        "records_of_shard(b''.join(decompress(io.BytesIO(data), len(data), SHARD_BOUNDS)))",
    ),
    "object": (
        "from envc.shipping.format.object_index import read_index",
        "read_index(len(data), lambda at, length: data[at : at + length])",
    ),
    "entry points": (
        "from envc.shipping.unpack.launchers import parse_entry_points",
        "parse_entry_points(data.decode())",
    ),
    "conda version": ("from envc_solvers.conda.language.version import version_key", "version_key(data.decode())"),
    "match spec": (
        "from envc_solvers.conda.language.matchspec import parse_matchspec",
        "parse_matchspec(data.decode())",
    ),
    "specifier": (
        "from envc_solvers.pypi.language.specifier import allows, compile_specifier",
        "compile_specifier(data.decode()) and allows(data.decode(), '1.0')",
    ),
    "lock": ("from envc.locking.lockfile.load import loads", "loads(data.decode())"),
    "manifest": (
        "from pathlib import Path\nfrom envc.locking.manifest.load import parse_manifest",
        "parse_manifest(data.decode(), Path('manifest.toml'))",
    ),
}


def index_of(size: int, count: int) -> bytes:
    """An object that is nothing but an index of `count` equal links or, with a size, files."""
    name = b"%07d" if count > 1000 else b"%03d"
    rest = b'"size":%d,"mode":420,"sha256":"%b"' % (size, b"0" * 64) if size else b'"type":"link","mode":511,"link":"a"'
    members = b",".join(b'{"path":"' + name % number + b'",' + rest + b"}" for number in range(count))
    fields = b'"format":1,"artifact":"%b","layout":"any","frames":[]' % (b"0" * 64)
    payload = zstandard.compress(b"{" + fields + b',"members":[' + members + b"]}", 3)
    footer = struct.pack("<QQ8s", 8, len(payload), FOOTER_MAGIC)
    return struct.pack("<II", SKIPPABLE, len(payload) + len(footer)) + payload + footer


FIELDS = b"Metadata-Version: 2.1\nName: a\nVersion: 1\n"
STEP = b'[project]\nname = "a"\ntargets = ["linux-64"]\npython = "3.11"\n[steps.a]\n'
RAW = 100 * MIB  # of repodata; it compresses to a MiB or two
TABLE = b'{"packages":{},"packages.conda":{'
LAST = b'"a-1-0.conda":{}}}'

CASES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "anchors": ("page", lambda: filled(b"<a href=x>")),
    "lone brackets": ("page", lambda: filled(b"<")),
    "brackets of a decompressed page": ("page", lambda: filled(b"<", size=64 * MIB)),
    "anchors of a decompressed page": ("page", lambda: filled(b"<a>", size=64 * MIB)),
    "attributes of one tag": ("page", lambda: filled(b" x", b"<a", b">")),
    "attributes of a tag without end": ("page", lambda: filled(b" x=1", b"<a")),
    "attributes with brackets": ("page", lambda: filled(b' x=">"', b"<a", b">")),
    "attributes of many tags": ("page", lambda: filled(b"<a" + b" x" * 4000 + b">", size=64 * MIB)),
    "entities": ("page", lambda: filled(b'<a href="' + b"&amp;" * 1000 + b'">', size=64 * MIB)),
    "files": ("json page", lambda: filled(b'{"filename":"","url":""},', b'{"files":[', b"{}]}")),
    "files of a decompressed page": (
        "json page",
        lambda: filled(b'{"filename":"","url":""},', b'{"files":[', b'{"filename":"","url":""}]}', 64 * MIB),
    ),
    "numbers as files": ("json page", lambda: filled(b"1,", b'{"files":[', b"1]}")),
    "numbers of a decompressed page": ("json page", lambda: filled(b"1,", b'{"files":[', b"1]}", 6 * MIB)),
    "nested arrays": ("json page", lambda: filled(b"[", b'{"files":')),
    "requirements": ("metadata", lambda: numbered(b"Requires-Dist: a%d; os_name == 'x' or os_name == 'y'\n", FIELDS)),
    "requirements to repair": ("metadata", lambda: filled(b"Requires-Dist: a>=1<2\n", FIELDS)),
    "folded lines": ("metadata", lambda: filled(b"\n ", FIELDS + b"Requires-Dist: a")),
    "folded words": ("metadata", lambda: filled(b"\n x", FIELDS + b"Summary: a")),
    "clauses": ("metadata", lambda: numbered(b"!=%d,", FIELDS + b"Requires-Dist: a", b"!=1\n")),
    "equal clauses": ("metadata", lambda: filled(b",>=1", FIELDS + b"Requires-Dist: a>=1", b"\n")),
    "a long marker": ("metadata", lambda: filled(b" or os_name=='x'", FIELDS + b"Requires-Dist: a;os_name=='x'")),
    "parentheses": ("metadata", lambda: filled(b"(", FIELDS + b"Requires-Dist: a;")),
    "a long Requires-Python": ("metadata", lambda: numbered(b"!=%d,", FIELDS + b"Requires-Python: ", b"!=1\n")),
    "a long version": ("metadata", lambda: filled(b"1.", FIELDS + b"Requires-Dist: a>=", b"x\n")),
    "rows": ("record", lambda: numbered(b"%d,,\n")),
    "a long field": ("record", lambda: filled(b"a")),
    "a long line": ("has_prefix", lambda: filled(b"a")),
    "lines": ("has_prefix", lambda: numbered(b"%d\n")),
    "paths": ("paths.json", lambda: numbered(b'{"_path":"%d"},', b'{"paths_version":1,"paths":[', b'{"_path":"a"}]}')),
    "a long name in 600 bytes": ("tar.bz2", lambda: tar_bomb(b"L")),
    "a pax header in 600 bytes": ("tar.bz2", lambda: tar_bomb(b"x")),
    "a global header in 600 bytes": ("tar.bz2", lambda: tar_bomb(b"g")),
    "a sparse file in 600 bytes": ("tar.bz2", lambda: tar_bomb(b"S")),
    "a file in 600 bytes": ("tar.bz2", lambda: tar_bomb(b"0")),
    "entries of a tar": ("tar.zst", lambda: packed(iter([*(header(str(n)) for n in range(249_999)), bytes(1024)]))),
    "entries of a zip": ("zip", lambda: zip_of(11_000)),
    "extra fields": ("zip", lambda: zip_of(8, b"\1\2\0\0" * 15_000)),
    "names": ("repodata", lambda: repodata(b'"n%08d-1-0.conda":{},', RAW, TABLE, LAST)),
    "records of one name": ("repodata", lambda: repodata(b'"n-%08d-0.conda":{},', RAW, TABLE, LAST)),
    "records with blanks": ("repodata", lambda: repodata(b'"%08d": {},', RAW, TABLE, LAST)),
    "numbers as records": ("repodata", lambda: repodata(b'"%08d":1,', RAW, TABLE, LAST)),
    "removed files": ("repodata", lambda: repodata(b'"%08d",', RAW, b'{"packages":{},"removed":[', b'"a"]}')),
    "records of a shard": (
        "shard",
        lambda: packed(iter([msgspec.msgpack.encode({"packages": {f"a-{n}-0.tar.bz2": {} for n in range(60_000)}})])),
    ),
    "values of a shard": (
        "shard",
        lambda: packed(iter([msgspec.msgpack.encode({"packages": {"a-1-0.tar.bz2": {"depends": [[]] * 3_900_000}}})])),
    ),
    "files of a TiB in an object": ("object", lambda: index_of(1 << 40, 500)),
    "members of an object": ("object", lambda: index_of(0, 900_000)),
    "entry points": ("entry points", lambda: numbered(b"a%d=b:c\n", b"[console_scripts]\n")),
    "groups of entry points": ("entry points", lambda: numbered(b"[a%d]\n")),
    "numbers of a conda version": ("conda version", lambda: filled(b"1.", after=b"1")),
    "zeros of a conda version": ("conda version", lambda: filled(b"0.", after=b"1")),
    "alternatives": ("match spec", lambda: filled(b"|1", b"a >=1")),
    "brackets": ("match spec", lambda: filled(b",a=b", b"a[a=b", b"]")),
    "numbers of a version": ("specifier", lambda: filled(b".1", b"==1")),
    "clauses of a specifier": ("specifier", lambda: numbered(b"!=%d,", after=b"!=1")),
    "tables": ("lock", lambda: numbered(b"[a%d]\n")),
    "keys with many parts": ("lock", lambda: numbered(b"a." * 500 + b"b%d=1\n")),
    "a deep key": ("lock", lambda: filled(b"a.", after=b"a=1\n")),
    "a long number": ("lock", lambda: filled(b"f", b"a=0x")),
    "conflict markers": ("lock", lambda: filled(b"<<<<<<< a\n=======\n>>>>>>> b\n")),
    "mistakes": ("manifest", lambda: numbered(b'"!%d",', STEP + b"pypi = [", b"]\n")),
    "unknown keys": ("manifest", lambda: numbered(b"k%d=1\n", STEP)),
    "equal targets": (
        "manifest",
        lambda: filled(b'"linux-64",', b'[project]\nname="a"\npython="3.11"\ntargets=[', b"]\n[steps.a]\n"),
    ),
    "steps": ("manifest", lambda: numbered(b"[steps.s%d]\n", STEP)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_cost_of_an_input_is_bounded(name: str, tmp_path: Path) -> None:
    reader, make = CASES[name]
    imports, call = READERS[reader]
    (tmp_path / "input").write_bytes(make())
    code = RUN.format(imports=textwrap.dedent(imports), call=call)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "input")], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    seconds, memory = map(float, done.stdout.split())
    assert seconds < SECONDS, f"{seconds:.1f} s"
    assert memory < MEMORY, f"{memory:.0f} MiB"
