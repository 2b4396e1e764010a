"""Laws of the object format."""

from __future__ import annotations

import io
import tarfile
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from envc.model.digest import sha256
from envc.model.record import Member
from envc.shipping.format.bundle import Source, part_reader, read_bundle, write_bundle
from envc.shipping.format.encode import Entry
from envc.shipping.format.errors import UnsafePath
from envc.shipping.format.frames import compress
from envc.shipping.format.object_index import read_index
from envc.shipping.format.paths import ENVIRONMENT_LAYOUT, check_link, check_path
from envc.shipping.format.spans import FRAME, spans
from envc.shipping.format.tar import BLOCK, END, MAX_OCTAL, encode_header, header_size, padding
from envc.shipping.store.objects import bytes_reader
from tests.support.stores import ARTIFACT, LAYOUT, encode, tree, tree_of
from tests.support.strategies import entries


@given(entries())
def test_written_values_are_read_back(written: list[Entry]) -> None:
    data, index = encode(written)
    assert read_index(len(data), bytes_reader(data)) == index
    assert tree(index, data) == tree_of(written)
    assert (index.artifact, index.layout) == (ARTIFACT, LAYOUT)


@given(entries(), st.randoms(use_true_random=False), st.integers(1, 3))
def test_bytes_depend_on_neither_order_nor_threads(written: list[Entry], random: Random, threads: int) -> None:
    shuffled = list(written)
    random.shuffle(shuffled)
    assert encode(shuffled, threads=threads) == encode(written)


@given(entries(), st.sampled_from([-5, 3, 9, 19]))
@settings(deadline=None)
def test_the_content_digest_is_the_same_at_every_level(written: list[Entry], level: int) -> None:
    data, index = encode(written, level=level)
    assert index.content == encode(written)[1].content
    assert tree(index, data) == tree_of(written)


@given(entries(), entries())
def test_the_content_digest_tells_trees_apart(left: list[Entry], right: list[Entry]) -> None:
    def content(tree: list[Entry]) -> dict[str, tuple[object, ...]]:
        return {path: (mode, link, data) for path, (mode, _, link, data) in tree_of(tree).items()}

    same = encode(left)[1].content == encode(right)[1].content
    assert same == (content(left) == content(right))


def untar(data: bytes) -> dict[str, tuple[int, int, str, bytes]]:
    found = {}
    stream = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True)
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
            assert member.issym() or member.isreg()
            content = archive.extractfile(member).read() if member.isreg() else b""  # type: ignore[union-attr]
            found[member.name] = (member.mode, int(member.mtime), member.linkname, content)
    return found


@given(entries())
def test_tarfile_reads_the_same_object(written: list[Entry]) -> None:
    data, _ = encode(written)
    assert untar(data + compress(END, 1)) == tree_of(written)


@given(st.lists(entries(max_size=4), max_size=3), entries(max_size=2))
def test_a_bundle_is_its_objects_and_one_tar_stream(trees: list[list[Entry]], own: list[Entry]) -> None:
    parts = [encode(each, artifact=sha256(b"%d" % number)) for number, each in enumerate(trees)]
    last = encode(own, layout=ENVIRONMENT_LAYOUT, artifact=None)
    sources = [
        Source(index=index, size=len(data), read_range=bytes_reader(data), what=index.layout)
        for data, index in [*parts, last]
    ]
    out = io.BytesIO()
    written = write_bundle(sources[:-1], sources[-1], out.write)
    bundle = out.getvalue()
    found = read_bundle(len(bundle), bytes_reader(bundle), "bundle")
    assert found == written
    expected: dict[str, tuple[int, int, str, bytes]] = {}
    for part, (data, index), entries_of in zip(found.parts, [*parts, last], [*trees, own], strict=True):
        assert bundle[part.offset : part.offset + part.length] == data
        assert read_index(part.length, part_reader(part, bytes_reader(bundle))) == index
        expected |= tree_of(entries_of)
    assert untar(bundle) == expected


SIZES = st.one_of(
    st.integers(0, 3000),
    st.integers(-3, 3).map(lambda n: FRAME - BLOCK + n),
    st.integers(-3, 3).map(lambda n: FRAME + n),
    st.integers(0, 5 * FRAME),
)


def tar_size(member: Member) -> int:
    """Return the size in bytes of the whole member in a tar stream."""
    return header_size(member) + member.size + padding(member.size)


@given(st.lists(st.tuples(SIZES, st.integers(1, 300)), max_size=12))
def test_frames_cover_the_tar_stream(shapes: list[tuple[int, int]]) -> None:
    members = [
        Member(f"{number:03}" + "p" * length, size=size, sha256="0" * 64)
        for number, (size, length) in enumerate(shapes)
    ]
    starts: list[int] = []
    position = 0
    for member in members:
        starts.append(position)
        position += tar_size(member)
    end = position
    position = 0
    for span in (cut := spans(members)):
        assert 0 < span.raw <= FRAME
        if span.at:
            assert span.stop == span.first + 1
            assert position == starts[span.first] + header_size(members[span.first]) + span.at
            assert 0 < span.at < members[span.first].size
            assert position % FRAME == starts[span.first] % FRAME  # slices are whole frames
        else:
            assert position == starts[span.first]
            rest = members[span.first : span.stop]
            assert span.raw == sum(map(tar_size, rest)) or (len(rest) == 1 and span.raw == FRAME)
        position += span.raw
    assert position == end
    for span, following in pairwise(cut):
        if not span.at and not following.at and tar_size(members[span.first]) <= FRAME:
            assert span.raw + tar_size(members[following.first]) > FRAME  # no frame ends early


NAMES = st.one_of(
    st.text("ab/", min_size=1, max_size=300),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=120),
).map(lambda text: "/".join(part for part in text.split("/") if part) or "x")


@given(
    NAMES,
    st.one_of(st.just(""), NAMES),
    st.one_of(st.integers(0, 2**20), st.integers(MAX_OCTAL - 1, 2**40)),
    st.integers(0, MAX_OCTAL),
    st.booleans(),
)
def test_tarfile_reads_every_header_as_intended(path: str, link: str, size: int, mtime: int, executable: bool) -> None:
    if link:
        member = Member(path, type="link", mode=0o777, link=link, mtime=mtime)
    else:
        member = Member(path, mode=0o755 if executable else 0o644, size=size, sha256="0" * 64, mtime=mtime)
    header = encode_header(member)
    assert len(header) == header_size(member)
    assert (len(header) == BLOCK) == (
        path.isascii() and link.isascii() and len(link) <= 100 and fits(path, member.size)
    )
    read = tarfile.open(fileobj=io.BytesIO(header + END), mode="r:").next()  # noqa: SIM115
    assert read is not None
    assert (read.name, read.mode, read.mtime, read.linkname) == (path, member.mode, mtime, link)
    assert read.size == member.size


def fits(path: str, size: int) -> bool:
    """Whether ustar can represent the path, tested with every split."""
    splits = [(path[:cut], path[cut + 1 :]) for cut, c in enumerate(path) if c == "/"]
    return size <= MAX_OCTAL and (len(path) <= 100 or any(len(p) <= 155 and len(n) <= 100 for p, n in splits))


@given(st.text(st.sampled_from("ab./\\:\0 "), max_size=12))
def test_an_accepted_path_stays_inside_according_to_pathlib(path: str) -> None:
    try:
        check_path(path)
    except UnsafePath:
        return
    root = Path("/root/of/tree")
    assert (root / path).relative_to(root).as_posix() == path
    assert ".." not in Path(path).parts


FOLDERS = ["a", "a/b", "a/b/c", "d", "d/e"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*FOLDERS, ""]),
            st.sampled_from("xyz"),
            st.lists(st.sampled_from(["..", "a", "b", "c", "d", "e", "x", "y", "z", "."]), min_size=1, max_size=6),
        ),
        max_size=6,
    )
)
def test_accepted_links_never_leave_the_root(links: list[tuple[str, str, list[str]]]) -> None:
    accepted: dict[str, str] = {}
    for folder, name, parts in links:
        path, target = f"{folder}/{name}".lstrip("/"), "/".join(parts)
        try:
            check_link(path, target)
        except UnsafePath:
            continue
        accepted.setdefault(path, target)
    for path in accepted:
        assert resolves_inside(path, accepted)


def resolves_inside(path: str, links: dict[str, str]) -> bool:
    """Follow a path as a kernel does, link by link, in real folders. Return False if it ever leaves the root."""
    todo = path.split("/")[::-1]
    at: list[str] = []
    for _ in range(200):
        if not todo:
            return True
        part = todo.pop()
        if part == "..":
            if not at:
                return False
            at.pop()
        elif (here := "/".join([*at, part])) in links:
            todo += links[here].split("/")[::-1]
        else:
            at.append(part)
    return True  # a cycle has no target


@pytest.mark.slow
@given(entries(max_size=40))
@settings(max_examples=400, deadline=None)
def test_written_objects_are_read_back_at_length(written: list[Entry]) -> None:
    data, index = encode(written, level=3, threads=4)
    assert tree(index, data) == tree_of(written) == untar(data + compress(END, 1))
