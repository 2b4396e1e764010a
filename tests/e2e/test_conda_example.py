"""The example of conda steps, end to end: its packages come from a channel of real wheels, and run on its Python."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.e2e.command import HOST_PYTHON, Workplace, host_platform
from tests.support import conda_real
from tests.support.conda_packages import build_conda

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(bool(conda_real.missing()), reason=str(conda_real.missing())),
]
EXAMPLE = Path(__file__).parents[2] / "examples" / "conda"


def test_the_example_runs(tmp_path: Path) -> None:
    place = Workplace(tmp_path, None)
    shutil.copytree(EXAMPLE, place.checkout, dirs_exist_ok=True)
    openblas = build_conda("openblas", "0.3.30", files={"lib/openblas.txt": "a stand-in\n"}, subdir=host_platform())
    channel = conda_real.real_channel(["numpy>=1.26,<3", "pandas", "scikit-learn"], extra=[openblas])
    (place.checkout / "channel").symlink_to(channel)
    text = re.sub(r"^targets = .*$", f'targets = ["{host_platform()}"]', place.manifest.read_text(), flags=re.MULTILINE)
    text = text.replace('python = "3.11"', f'python = "{HOST_PYTHON}"')
    place.manifest.write_text(f'{text}\n[sources.conda-forge]\nkind = "conda"\nurl = "channel"\n')
    place.ok("lock")
    place.ok("bundle", "--fast")
    assert "prepared 180 rows with pandas" in place.ok("run", "prepare").out
    assert "trained with scikit-learn" in place.ok("run", "train").out
    assert (place.checkout / "out" / "predictions.csv").stat().st_size > 1000
