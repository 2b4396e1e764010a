"""The digests of data in memory."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envc.model.digest import sha256, small_sha256


@given(st.binary(max_size=300))
def test_both_implementations_agree(data: bytes) -> None:
    assert small_sha256(data) == sha256(data) == hashlib.sha256(data).hexdigest()
    assert small_sha256(memoryview(data)) == small_sha256(bytearray(data)) == sha256(data)


def test_a_python_without_its_own_implementation_uses_openssl(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("_sha2", "_sha256"):
        monkeypatch.setitem(sys.modules, module, None)
    assert small_sha256(b"data") == hashlib.sha256(b"data").hexdigest()


@pytest.mark.parametrize(("size", "loads"), [(256 << 10, False), ((256 << 10) + 1, True)])
def test_a_small_digest_does_not_load_openssl(size: int, loads: bool) -> None:
    code = f"import sys; from envc.model.digest import sha256; print(sha256(b'x' * {size}), '_hashlib' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert found == [hashlib.sha256(b"x" * size).hexdigest(), str(loads)]
