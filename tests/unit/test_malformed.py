"""The exceptions that readers of hostile text catch."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import zstandard

from envc_solvers.malformed import malformed


def test_errors_of_imported_modules_are_caught() -> None:
    assert zstandard.ZstdError in malformed()


@pytest.mark.parametrize("module", [None, ModuleType("zstandard")], ids=["absent", "being imported by another thread"])
def test_a_module_without_its_error_has_raised_nothing(
    module: ModuleType | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", module)
    assert zstandard.ZstdError not in malformed()
    assert ValueError in malformed()
