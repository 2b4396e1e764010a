"""The functions that the table of readers calls, each with bytes, and valid samples for them."""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from envc.fetch import standalone
from envc.fetch.conda import channel_locations, link_scripts, plain_repodata, repodata, slices
from envc.fetch.net import credentials, http, settings
from envc.fetch.pypi import listing, wheel_metadata
from envc.locking.builds import backend, origin
from envc.locking.lockfile import dump
from envc.locking.manifest.conda_query import CondaQuery, parse_conda_query
from envc.locking.manifest.python import choose_python, parse_python
from envc.locking.manifest.query import Query, parse_query
from envc.model.digest import Sha256, sha256
from envc.model.environment import EnvironmentMember
from envc.model.graph import SourceFile
from envc.shipping.format.documents import canonical_json
from envc.shipping.format.encode import Entry
from envc.shipping.format.frames import compress
from envc.shipping.format.object_index import encode_trailer, read_index
from envc.shipping.prefix import activate
from envc.shipping.store import objects
from envc.shipping.store.keys import environment_key
from envc.shipping.store.records import get_record
from envc.shipping.unpack.conda import open_conda
from envc.shipping.unpack.tars import open_tar
from envc.shipping.unpack.wheel import open_wheel
from envc.shipping.unpack.zips import Limits, open_zip
from envc_solvers.conda.language import matchspec, version, versionspec
from envc_solvers.conda.language.record import RecordUnusable, decode_records
from envc_solvers.pypi.language import markers, specifier
from envc_solvers.pypi.language import tags as wheel_tags
from envc_solvers.target import Python, default_target
from tests.support import lock_samples, vectors
from tests.support.conda_packages import conda_archive, tar_member
from tests.support.fetching import fetching
from tests.support.standalone_archive import archive_of
from tests.support.stores import MemoryBlobs, encode
from tests.support.wheels import build_wheel, zip_bytes

WHEEL = "demo-1.0-py3-none-any.whl"
STEM = "demo-1.0-h0_0"
_URL = "https://example.com/simple/demo/"
LAYOUT = "py3.12-posix"
DIGEST = Sha256("a" * 64)
_TARGET, _PYTHON = default_target("linux-64"), Python(minor=(3, 12))
_LIMITS = Limits(unpacked=64 << 20, free=8 << 20, small=4 << 20)
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def text_of(data: bytes) -> str:
    """Bytes as text in which anything may occur, lone surrogates too."""
    return data.decode("utf-8", "surrogateescape")


@cache
def folder() -> Path:
    """A folder for readers that take a path. It is on a memory file system where there is one, or below TMPDIR."""
    is_free = "TMPDIR" not in os.environ and os.access("/dev/shm", os.W_OK)
    made = tempfile.TemporaryDirectory(dir="/dev/shm" if is_free else None)
    _FOLDERS.append(made)
    return Path(made.name)


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


def on_disk(read: Callable[[Path], object], name: str = "file") -> Callable[[bytes], object]:
    """A reader of files as a reader of bytes."""

    def read_bytes(data: bytes) -> object:
        path = folder() / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return read(path)

    return read_bytes


def of_text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: read(text_of(data))


def to_json(value: object) -> bytes:
    return json.dumps(value).encode()


# --- package indexes


def page(content_type: str) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        page = listing.parse_page(data, content_type, _URL)
        names = [entry.filename for entry in page.entries]
        return list(page), wheel_tags.rank_names(
            "demo", "pypi", names, page.at, wheel_tags.wheel_tags(_TARGET, _PYTHON)
        )

    return read


_ENTRY = {
    "filename": WHEEL,
    "url": "../../files/demo-1.0-py3-none-any.whl",
    "hashes": {"sha256": "ab" * 32},
    "size": 7,
    "upload-time": "2026-01-01T00:00:00.000001Z",
    "requires-python": ">=3.8",
    "yanked": "broken",
    "core-metadata": {"sha256": "c" * 64},
}


def json_pages() -> list[bytes]:
    return [to_json({"meta": {"api-version": "1.0"}, "name": "demo", "files": [_ENTRY, {**_ENTRY, "yanked": False}]})]


def html_pages() -> list[bytes]:
    return [
        f'<!DOCTYPE html><html><head><base href="https://f.example/"></head><body><a href="{WHEEL}#sha256={"a" * 64}" '
        f'data-requires-python="&gt;=3.8" data-yanked="" data-core-metadata="sha256={"b" * 64}">{WHEEL}</a>'
        "<!-- note --><br/></body></html>".encode()
    ]


METADATA = b"""Metadata-Version: 2.2
Name: demo
Version: 1.0
Requires-Python: >=3.8
Requires-Dist: other[extra] (>=1.0,<2) ; python_version < "3.12" and extra == "more"
Requires-Dist: third @ https://example.com/third-1.0.tar.gz
Provides-Extra: more
License: MIT
Classifier: License :: OSI Approved
  continued
Dynamic: description

Text
"""
PYPROJECT = b"""[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "demo"
version = "1.0"
dependencies = ["other>=1; python_version < '3.12'"]
optional-dependencies = { more = ["third"] }
requires-python = ">=3.8"
"""


def wheel_by_ranges(data: bytes) -> object:
    def read(offset: int, length: int) -> bytes:
        if length <= 0 or offset < 0 or offset + length > len(data):
            raise ValueError("it refers to bytes outside of itself")
        return data[offset : offset + length]

    return wheel_metadata.read_metadata(WHEEL, len(data), read)


def wheel_samples() -> list[bytes]:
    wheel = build_wheel("demo", "1.0", files={"demo/__init__.py": "x = 1\n"})
    return [wheel.data]


def read_marker(text: str) -> object:
    return markers.Markers(markers.marker_environment(_TARGET, _PYTHON), {}).holds(text, ("more",))


def read_specifier(text: str) -> object:
    return specifier.allows(text, "1.5"), specifier.allows(text, "2!1.0rc1+local"), specifier.span_of(text)


def read_file_name(text: str) -> object:
    tags = wheel_tags.wheel_tags(_TARGET, _PYTHON)
    return wheel_tags.version_of(text, "demo"), wheel_tags.explain_file(text, tags), listing.is_file_name(text)


# --- conda channels

RECORD = {
    "build": "h0_0",
    "build_number": 0,
    "depends": ["python >=3.8,<4.0a0"],
    "constrains": [],
    "license": "MIT",
    "md5": "c" * 32,
    "name": "demo",
    "noarch": "python",
    "sha256": "a" * 64,
    "size": 7,
    "subdir": "linux-64",
    "timestamp": 1700000000000,
    "track_features": "a b",
    "version": "1.0",
}


def repodata_samples() -> list[bytes]:
    plain = {"info": {"subdir": "linux-64"}, "packages": {}, "packages.conda": {f"{STEM}.conda": RECORD}}
    more = {"demo-2.0-0.conda": {**RECORD, "version": "2.0", "build": "0"}, "odd-1-0.conda": {**RECORD, "size": None}}
    texts = (plain, {**plain, "packages.conda": {f"{STEM}.conda": RECORD, **more}, "removed": ["gone-1-0.conda"]})
    return [json.dumps(text, separators=(",", ":")).encode() for text in texts]


def read_repodata(data: bytes) -> object:
    scanner = plain_repodata.PlainRepodataScanner(10**6)
    for at in range(0, len(data), 1000):
        scanner.feed(data[at : at + 1000])
    plain = repodata.index_plain_repodata(data, scanner)
    index = repodata.index_repodata(data, 10**6)
    texts = [(name, b"{%b}" % data[start:stop]) for name, start, stop in plain.spans] if plain else []
    texts += [(name, b"{%b}" % (index.data or b"")[start:stop]) for name, start, stop in index.spans]
    for _, text in texts:
        try:
            decode_records(text, "made", "linux-64")
        except RecordUnusable:
            continue
    return index


def shards_samples() -> list[bytes]:
    info = {"base_url": "../", "shards_base_url": "./shards/", "subdir": "linux-64"}
    return [msgspec.msgpack.encode({"version": 1, "info": info, "shards": {"demo": b"d" * 32, "other": b"o" * 32}})]


def shard_samples() -> list[bytes]:
    record = {**RECORD, "sha256": b"a" * 32, "md5": b"c" * 16}
    return [msgspec.msgpack.encode({"packages": {}, "packages.conda": {f"{STEM}.conda": record}, "removed": []})]


def read_shard(data: bytes) -> object:
    return decode_records(repodata.records_of_shard(data).records, "made", "linux-64")[0]


def read_compressed(data: bytes) -> object:
    return b"".join(repodata.decompress(io.BytesIO(data), len(data), repodata.SHARD_BOUNDS))


def read_slices(path: Path) -> object:
    opened = slices.Slices(path)
    return [opened.get(name) for name in [*opened.names(), "demo"]], opened.note


def slices_sample() -> list[bytes]:
    path = folder() / "made.slices"
    with path.open("w+b") as out:
        out.write(b"data")
        slices.append_index(out, [("demo", 0, 2), ("other", 2, 4)], b"{}")
    return [path.read_bytes()]


def _find_link_scripts(data: bytes) -> object:
    member = EnvironmentMember(
        kind="conda",
        name="demo",
        version="1.0",
        source="made",
        file=f"{STEM}.conda",
        size=len(data),
        sha256=sha256(data),
        layout="any",
        subdir="linux-64",
    )
    return link_scripts.LinkScripts({}, fetching(folder(), now=1, offline=True)).find([member])


def read_link_scripts(data: bytes) -> object:
    place = folder() / "artifacts" / sha256(data)[:2] / sha256(data) / f"{STEM}.conda"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    try:
        return _find_link_scripts(data)
    finally:
        place.unlink()


def read_matchspec(text: str) -> object:
    spec = matchspec.parse_matchspec(text)
    record = msgspec.convert({**RECORD, "track_features": ["a"]}, matchspec.Record)
    return spec.matches(record), str(spec), spec.is_simple


def read_conda_version(text: str) -> object:
    return version.version_key(text), version.prefix_bounds(text)


def read_version_spec(text: str) -> object:
    spec = versionspec.parse_version_spec(text)
    return [spec.contains(version.parse_version(each)) for each in ("1.0", "2!1.2a", "1.0_")]


def read_channel(text: str) -> object:
    keyring = credentials.Keyring()
    found = channel_locations.resolve_channels([text], {}, keyring)
    return found, [keyring.login(location.url) for location in found.values()]


# --- the network


def read_headers(text: str) -> object:
    return http.max_age({"cache-control": text}), http.retry_after(text)


def read_netrc(path: Path) -> object:
    return credentials.Keyring(path).login("https://example.com/simple/")


def read_pip(path: Path) -> object:
    return settings.read_settings({"PIP_CONFIG_FILE": str(path), "HOME": str(folder() / "home")})


# --- manifests, locks and command lines

_MANIFEST = """[project]
name = "demo"
python = ">=3.11,<3.13"
targets = ["linux-64", "gpu"]
exclude-newer = "7 days"
store = "s3://bucket/key"
channels = ["conda-forge", "acme"]
[sources.acme]
kind = "conda"
url = "https://example.com/acme"
[targets.gpu]
platform = "linux-64"
glibc = "2.28"
cuda = "12.4"
[groups.base]
pypi = ["numpy>=1.26,<3; sys_platform == 'linux'", { name = "torch", version = ">=2", source = "pypi", extras = ["a"] }]
[steps.train]
groups = ["base"]
conda = ["acme::tool[build=h*]", { name = "other", version = ">=1" }]
pypi = ["demo @ git+https://example.com/demo@v1", { name = "x", path = "../x" }]
run = "python train.py"
code = ["src"]
env = { A = "b" }
[steps.train.on.gpu]
pypi = ["cupy"]
[constraints]
pypi = ["scipy<2"]
[policy]
prereleases = ["torch"]
exclude-newer-package = { torch = 2026-01-01, x = false }
build = ["x"]
[mapping]
tool = false
"""


def manifest_texts() -> list[bytes]:
    return [
        _MANIFEST.encode(),
        b'[project]\nname = "x"\npython = "3.12"\ntargets = ["linux-64"]\n[steps.a]\npypi = ["numpy"]\n',
    ]


def lock_texts() -> list[bytes]:
    return [dump.dumps(lock_samples.SMALL).encode(), dump.dumps(lock_samples.WHOLE).encode()]


def conflicted_locks() -> list[bytes]:
    text = dump.dumps(lock_samples.SMALL).splitlines(keepends=True)
    half = len(text) // 2
    middle = ["<<<<<<< ours\n", *text[half : half + 3], "=======\n", *text[half + 1 : half + 4], ">>>>>>> theirs\n"]
    return ["".join([*text[:half], *middle, *text[half + 4 :]]).encode()]


def read_python(text: str) -> object:
    return choose_python(parse_python(text))


def read_interpreters(path: Path) -> object:
    return standalone.choose(standalone.read_table(path), _TARGET, _PYTHON)


def read_query(text: str) -> object:
    values: dict[str, Any] = {"platform": "linux-64", "python": "3.12", "pypi": ("numpy",)}
    key, _, value = text.partition("=")
    if key in ("pypi", "constraints", "overrides", "indexes"):
        values[key] = (value,)
    elif key in ("platform", "python", "exclude_newer"):
        values[key] = value
    elif key in ("conda", "virtual"):
        specs = (value,) if key == "conda" else ("demo",)
        virtual = (value,) if key == "virtual" else ()
        return parse_conda_query(CondaQuery(platform="linux-64", specs=specs, virtual=virtual), ("made",), _NOW)
    return parse_query(Query(**values))


# --- archives


def opening(open_archive: Callable[..., Any], file: str, *more: object) -> Callable[[bytes], object]:
    """A reader of an archive with its name, that also reads every content."""

    def read(path: Path) -> object:
        with open_archive(path, file, *more, limits=_LIMITS) as contents:
            found = []
            for entry in contents.entries:
                if callable(entry.content):
                    with entry.content() as stream:
                        found.append(len(stream.read()))
            return found

    return on_disk(read)


def sdist(file: str) -> Callable[[bytes], object]:
    """A reader of an sdist: its metadata, its build system, and its files."""

    def read(path: Path) -> object:
        source = origin.Archive(path, SourceFile(file=file, size=path.stat().st_size, sha256=DIGEST))
        with tempfile.TemporaryDirectory(dir=folder()) as place:
            source.unpack(Path(place, "unpacked"))
        return source.read("PKG-INFO"), backend.build_system(source)

    return on_disk(read)


class _Text(msgspec.Struct, frozen=True):
    """An origin of a build whose files all have the same text."""

    data: bytes
    label = "made"

    def read(self, name: str) -> bytes:
        return self.data


def read_build_system(data: bytes) -> object:
    return backend.build_system(_Text(data))  # type: ignore[arg-type]  # it reads nothing else


def _read_tar(data: bytes) -> object:
    with open_tar(io.BytesIO(data), "zst", _LIMITS, size=len(data)) as tar:
        return [tar.read(member) for member in tar.members if not member.link]


def plain_tar(data: bytes) -> object:
    """The tar inside of the compression, which random changes would only break."""
    return _read_tar(zstandard.ZstdCompressor(level=1).compress(data))


def tar_samples() -> list[bytes]:
    found = []
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as archive:
            for name, content in (("demo/a", b"a"), ("demo/" + "n" * 120, b"long"), ("demo/é", b"")):
                info = tar_member(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            archive.addfile(tar_member("demo/link", type=tarfile.SYMTYPE, target="a"))
        found.append(out.getvalue())
    return found


def read_zip(data: bytes) -> object:
    archive, infos = open_zip(io.BytesIO(data), _LIMITS)
    return [archive.read(info) for info in infos]


def dist_info(name: str) -> Callable[[bytes], object]:
    """A reader of a wheel in which one file of the dist-info folder has that content."""
    read = opening(open_wheel, WHEEL, LAYOUT)

    def read_with(data: bytes) -> object:
        files = {
            "demo-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "demo-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
            "demo-1.0.data/scripts/tool": b"#!python\nprint(1)\n",
        }
        files[name] = data
        lines = [f"{path},{_record_digest(content)},{len(content)}\n" for path, content in files.items()]
        record = "".join([*lines, "demo-1.0.dist-info/RECORD,,\n"]).encode()
        return read(zip_bytes({**files, "demo-1.0.dist-info/RECORD": record}))

    return read_with


def _record_digest(content: bytes) -> str:
    import base64
    import hashlib

    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def info_file(name: str) -> Callable[[bytes], object]:
    """A reader of a conda package in which one file of ``info`` has that content."""
    read = opening(open_conda, f"{STEM}.conda", "any", DIGEST)
    paths = {"paths": [{"_path": "bin/a", "path_type": "hardlink", "size_in_bytes": 1}], "paths_version": 1}
    fixed = {
        "info/index.json": to_json({key: value for key, value in RECORD.items() if key != "noarch"}),
        "info/paths.json": to_json(paths),
    }

    def read_with(data: bytes) -> object:
        files = {**fixed, name: data}
        if name in ("info/files", "info/has_prefix", "info/no_link"):
            files = {"info/index.json": fixed["info/index.json"], "info/files": b"bin/a\n", name: data}
        return read(conda_archive(STEM, _compressed({"bin/a": b"a"}), _compressed(files)))

    return read_with


def _compressed(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, content in files.items():
            info = tar_member(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return zstandard.ZstdCompressor(level=1).compress(out.getvalue())


def standalone_samples() -> list[bytes]:
    return [archive_of({"python/bin/python3.12": "#!", "python/lib/python3.12/site.py": "x"})]


# --- stores


def object_samples() -> list[bytes]:
    entries = [
        Entry(path="bin/tool", content=b"#!/bin/sh\n", executable=True),
        Entry(path="lib/link", link="../bin/tool"),
    ]
    return [encode(entries)[0]]


def read_object(data: bytes) -> object:
    from envc.shipping.format.decode import read_object

    read = objects.bytes_reader(data)
    return [piece.at for piece in read_object(read_index(len(data), read, "an object"), read)]


def index_texts() -> list[bytes]:
    return [canonical_json(encode(vectors.FIRST)[1])]


def read_index_text(data: bytes) -> object:
    """An index inside of its trailer, whose checksums random changes would only break."""
    frames = encode(vectors.FIRST)[0]
    end = sum(frame.length for frame in encode(vectors.FIRST)[1].frames)
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = None
    if value is None:
        return None
    return read_object(frames[:end] + encode_trailer(value, end))


def stored(key: str, read: Callable[[MemoryBlobs], object]) -> Callable[[bytes], object]:
    """A reader of a document of a store."""

    def read_bytes(data: bytes) -> object:
        store = MemoryBlobs()
        store.blobs[key] = data
        return read(store)

    return read_bytes


def record_text() -> list[bytes]:
    pairs = [(data, index) for data, index in _vector_objects()]
    return [canonical_json(vectors.record_of(pairs))]


@cache
def _vector_objects() -> list[vectors.Encoded]:
    return [
        encode(vectors.FIRST, layout="py3.12-posix", artifact=sha256(b"artifact first")),
        encode(vectors.SECOND[:1], layout="any", artifact=sha256(b"artifact second")),
    ]


def read_record(data: bytes) -> object:
    key = environment_key(vectors.record_of(_vector_objects()).environment)
    return stored(key, lambda store: get_record(store, Sha256(key.split("/")[-1][:64])))(compress(data, 1))


def bundle_samples() -> list[bytes]:
    return [vectors.BUNDLE.read_bytes()]


def card_samples() -> list[bytes]:
    return [canonical_json(vectors.card_of(vectors.record_of(_vector_objects())))]


def read_card(data: bytes) -> object:
    """A bundle whose card has that text."""
    from envc.model.record import CARD_PATH
    from envc.pipeline.single_file import open_bundle
    from envc.shipping.format.paths import ENVIRONMENT_LAYOUT

    record = vectors.record_of(_vector_objects())
    entries = [
        Entry(path=entry.path, content=data) if entry.path == CARD_PATH else entry
        for entry in vectors.own_entries(record, vectors.card_of(record))
    ]
    own = encode(entries, layout=ENVIRONMENT_LAYOUT, artifact=None)
    return on_disk(open_bundle)(vectors.assemble(_vector_objects(), own))


def read_variables(path: Path) -> object:
    return activate.variables(path.parents[3])


POINTER = {
    "environment": "a" * 64,
    "record": "b" * 64,
    "code": None,
    "code_object": None,
    "run": "x",
    "env": {"a": "b"},
}
STEP_KEY = f"v1/steps/demo/{'a' * 64}/train/linux-64.json"
KEY = "v1/objects/any/aa/" + "a" * 64
