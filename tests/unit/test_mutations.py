"""The mutation sampler, as far as it works without LibCST, an optional dependency."""

from __future__ import annotations

import runpy
import sys

import pytest


def test_without_libcst_the_sampler_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("tests.mutations.operators", "tests.mutations.run"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "libcst", None)
    with pytest.raises(SystemExit) as exited:
        runpy.run_module("tests.mutations", run_name="__main__")
    assert exited.value.code == 2
    assert capsys.readouterr().err == "LibCST is not installed: run pip install -e '.[mutations]'\n"
