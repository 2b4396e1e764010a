"""A step of conda and PyPI packages, from manifest to run, on conda's Python."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.command import Workplace
from tests.e2e.conda_places import MADE, manifest
from tests.e2e.test_conda_runs import alone, run_alone
from tests.support import conda_real, namespaces
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

pytestmark = [pytest.mark.skipif(bool(conda_real.missing()), reason=str(conda_real.missing()))]

APP = "import greeter\n\n\ndef main():\n    greeter.main()\n    print('app')\n"
PROGRAM = """\
import json
from importlib.metadata import distributions

import app, greeter

found = sorted((each.metadata["Name"], each.version) for each in distributions() if each.metadata["Name"])
print(json.dumps(found))
app.main()
"""


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    """A workplace whose index is stopped after the step is bundled."""
    app = build_wheel(
        "app", "1.0", ["greeter>=2"], files={"app.py": APP}, entry_points={"console_scripts": {"say": "app:main"}}
    )
    with IndexServer([app, build_wheel("greeter", "9.0")]) as index:
        place = Workplace(tmp_path, index.url)
        (place.checkout / "channel").symlink_to(conda_real.real_channel(extra=MADE))
        place.write(f'{manifest("channel", "greeter")}pypi = ["app"]\n')
        place.ok("lock")
        place.ok("bundle", "--fast")
    return place


def test_both_kinds_are_in_one_prefix_and_import_each_other(place: Workplace, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    place.ok("hydrate", "work", "--prefix", str(prefix))
    *_, found, greeting, last = run_alone(prefix, PROGRAM)
    versions = dict(json.loads(found))
    assert (versions["greeter"], versions["app"]) == ("2.0", "1.0")
    assert (greeting, last) == (f"hello from {prefix}", "app")
    if not namespaces.missing():
        done = alone(prefix, "say")
        assert done.stdout == f"hello from {prefix}\napp\n", done.stderr
    assert "0 problems" in place.ok("verify", "--prefix", str(prefix)).err
    assert (prefix / "conda-meta").is_dir()


def test_a_single_file_bundle_contains_both_kinds(place: Workplace, tmp_path: Path) -> None:
    place.ok("bundle", "--frozen", "--output", str(tmp_path / "work.tar.zst"))
    for folder in (place.store, place.checkout, place.cache):
        shutil.rmtree(folder)
    place.checkout.mkdir()
    done = place.ok("run", str(tmp_path / "work.tar.zst"), "--", "python", "-c", "import app; app.main()")
    assert done.out.endswith("app\n")
