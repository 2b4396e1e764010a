"""Published wheels are read, and their contents are those that other programs unpack.

`python -m tests.benchmarks wheels` does the same with several hundred.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.wheels import differences, download, refusals

# Requirement, and the Python for which the wheel is chosen; "" for this one. Small files of many writers: setuptools,
# flit, poetry, hatchling, maturin, meson-python, Bazel (zip64 fields beside plain sizes); one that lists files twice,
# and some with byte-code.
WHEELS = [
    ("attrs==15.0.0", "2.7"),
    ("awscli==1.9.0", "2.7"),
    ("babel==2.1.1", "2.7"),
    ("black==18.4a0", "3.6"),
    ("bleach==1.4.2", "2.7"),
    ("boto==2.38.0", "2.7"),
    ("certifi==2015.4.28", "2.7"),
    ("chardet==2.3.0", "2.7"),
    ("click==5.1", "2.7"),
    ("docutils==0.12", ""),
    ("enum34==1.1.6", "2.7"),
    ("flit==0.9", "3.5"),
    ("gunicorn==19.3.0", "2.7"),
    ("mkdocstrings-python-xref==1.6.2", ""),
    ("nose==1.3.7", "2.7"),
    ("pip==1.5.6", "2.7"),
    ("poetry==0.10.0", "3.6"),
    ("pytz==2014.10", "2.7"),
    ("requests==2.0.0", "2.7"),
    ("scrapy==1.0.3", "2.7"),
    ("setuptools==0.9.8", "2.7"),
    ("six==1.10.0", "2.7"),
    ("sphinx==1.3.1", "2.7"),
    ("typed-ast==1.0.4", "3.6"),
    ("wheel==0.24.0", "2.7"),
    ("boltons", ""),
    ("certifi", ""),
    ("charset-normalizer", ""),
    ("contourpy", ""),
    ("flit-core", ""),
    ("hatchling", ""),
    ("idna", ""),
    ("jinja2", ""),
    ("markupsafe", ""),
    ("packaging", ""),
    ("pip", ""),
    ("poetry-core", ""),
    ("protobuf", ""),
    ("pybind11", ""),
    ("pytest", ""),
    ("rpds-py", ""),
    ("setuptools", ""),
    ("zope-interface", ""),
]


@pytest.mark.network
@pytest.mark.parametrize(("requirement", "python"), WHEELS, ids=lambda value: value or "now")
def test_a_published_wheel_is_read_as_by_other_programs(requirement: str, python: str, tmp_path: Path) -> None:
    if not download(requirement, python, tmp_path):
        pytest.skip("its index cannot be reached, or has no such wheel any more")
    (wheel,) = tmp_path.glob("*.whl")
    assert list(refusals(wheel)) == []
    assert list(differences(wheel)) == []
