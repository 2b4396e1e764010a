"""Fixtures and settings of all tests."""

from __future__ import annotations

import importlib.util
import os
import signal
import sysconfig
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.blob_servers import S3Server
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

# Peers such as uv are installed beside pytest, whether or not the environment was activated.
os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
# A shell ignores SIGINT in background jobs, and every process that the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# The time of an example depends more on other load than on the example, so there is no deadline. A law about solvable
# problems filters out many unsolvable universes, in some runs more than hypothesis allows. In CI the examples are
# derandomized, as in hypothesis' own CI profile, so that the same code gets the same verdict.
settings.register_profile(
    "envc",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    derandomize="CI" in os.environ,
)
settings.load_profile("envc")


@pytest.fixture
def server() -> Iterator[IndexServer]:
    """An index that serves demo 1.0. Modules that need another server define their own fixture of this name."""
    with IndexServer([build_wheel("demo", "1.0")]) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for the whole run. Tests that use it are marked `slow`."""
    for needed in ("moto", "s3fs"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    with S3Server() as server:
        yield server
