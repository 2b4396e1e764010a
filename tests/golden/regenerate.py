"""Golden files: compares the current output of the code with the approved output.

With ``ENVC_REGENERATE=1`` in the environment the files are rewritten; review the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent


def check_golden(path: Path, actual: str) -> None:
    if os.environ.get("ENVC_REGENERATE"):
        path.write_text(actual, encoding="utf-8", newline="\n")
    assert actual == path.read_text(encoding="utf-8")
