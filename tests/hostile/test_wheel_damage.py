"""Any change of a wheel's bytes is refused, or leaves the installed tree unchanged."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envc.model.digest import Sha256
from envc.shipping.format.decode import read_object
from envc.shipping.format.encode import write_object
from envc.shipping.store.objects import bytes_reader
from envc.shipping.unpack.errors import BadWheel
from envc.shipping.unpack.wheel import open_wheel
from tests.support.wheels import build_wheel

LAYOUT = "py3.12-posix"
WHEEL = build_wheel(
    "demo",
    files={"demo.py": "def main():\n    return 0\n", "demo-1.0.data/scripts/old": "#!python\n"},
    entry_points={"console_scripts": {"demo": "demo:main"}},
)


def tree(data: bytes, folder: Path) -> dict[str, bytes]:
    """Contents by path. Modes are left out: RECORD does not know them."""
    path = folder / "wheel"
    path.write_bytes(data)
    out = io.BytesIO()
    with open_wheel(path, WHEEL.file, LAYOUT) as wheel:
        index, _ = write_object(wheel.entries, out, layout=LAYOUT, artifact=Sha256("0" * 64), level=1, threads=1)
        wheel.check(index.members)
    return {piece.member.path: bytes(piece.data) for piece in read_object(index, bytes_reader(out.getvalue()))}


def check(damaged: bytes, folder: Path) -> None:
    try:
        found = tree(damaged, folder)
    except BadWheel as refused:
        assert refused.reason
    else:
        assert found == tree(WHEEL.data, folder)


def test_the_undamaged_wheel_is_installed(tmp_path: Path) -> None:
    assert len(tree(WHEEL.data, tmp_path)) == 8


@pytest.mark.slow
@pytest.mark.parametrize("bits", [0x01, 0x80, 0xFF])
def test_every_single_byte(bits: int, tmp_path: Path) -> None:
    for at in range(len(WHEEL.data)):
        check(WHEEL.data[:at] + bytes([WHEEL.data[at] ^ bits]) + WHEEL.data[at + 1 :], tmp_path)


slices = st.tuples(st.integers(0, len(WHEEL.data)), st.integers(0, 40))


# Every example rewrites the same folder, and has no deadline.
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(cut=slices, put=st.binary(max_size=40))
def test_bytes_cut_out_put_in_and_replaced(cut: tuple[int, int], put: bytes, tmp_path: Path) -> None:
    at, length = cut
    check(WHEEL.data[:at] + put + WHEEL.data[at + length :], tmp_path)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(source=slices, to=st.integers(0, len(WHEEL.data)))
def test_bytes_moved_within_the_archive(source: tuple[int, int], to: int, tmp_path: Path) -> None:
    at, length = source
    piece = WHEEL.data[at : at + length]
    check(WHEEL.data[:to] + piece + WHEEL.data[to + len(piece) :], tmp_path)
