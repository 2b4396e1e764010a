"""What tests in every folder may ask for."""

from __future__ import annotations

import importlib.util
import os
import signal
import sysconfig
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.blob_servers import S3Server

# Peers such as uv are installed beside pytest, whether or not the environment was activated.
os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
# Where the tests run in the background of a shell, SIGINT is ignored, and every process they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# How long an example takes says more of who else uses the machine than of the example; and a law that holds where there
# is a solution looks at many universes without one, more than hypothesis likes in some runs. On a CI machine the same
# code gets the same verdict, as with hypothesis' own profile for such machines; new examples are looked for elsewhere.
settings.register_profile(
    "envc",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    derandomize="CI" in os.environ,
)
settings.load_profile("envc")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for the whole run; who uses it is `slow`."""
    for needed in ("moto", "s3fs"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    with S3Server() as server:
        yield server
