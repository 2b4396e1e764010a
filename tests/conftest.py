"""What tests in every folder may ask for."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

from tests.blob_servers import S3Server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for the whole run; who uses it is `slow`."""
    for needed in ("moto", "s3fs"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    with S3Server() as server:
        yield server
