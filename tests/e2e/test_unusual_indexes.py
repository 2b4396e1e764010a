"""Pages and metadata that break the specifications, and that installers read: no older version is chosen."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.command import HOST_PYTHON, Workplace
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel


@pytest.fixture
def index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        server.add(build_wheel("demo", "1.0"))
        yield server


def write(workplace: Workplace, *projects: str, project: str = "") -> None:
    workplace.write(
        f'[project]\nname = "demo"\ntargets = ["linux-64"]\npython = "{HOST_PYTHON}"\n{project}'
        f"[steps.use]\npypi = {json.dumps(projects)}\n"
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", "123"),
        ("size", 1.5),
        ("upload-time", ""),
        ("core-metadata", "true"),
        ("hashes", None),
        ("requires-python", 3),
    ],
)
def test_a_file_with_an_odd_optional_key_stays(
    key: str, value: object, workplace: Workplace, index: IndexServer
) -> None:
    index.add(build_wheel("demo", "2.0"))
    index.add(build_wheel("other", "2.0"))
    index.behaviour.replaced = {key: value}
    write(workplace, "demo", "other")
    done = workplace.ok("lock")
    assert "demo-2.0-py3-none-any.whl" in workplace.lock.read_text()
    warnings = [line for line in done.err.splitlines() if line.startswith("warning:")]
    assert len(warnings) == 1
    assert f"a {key} that the specification does not allow; such keys count as absent" in warnings[0]


def test_a_file_without_a_readable_date_does_not_exist_before_a_cut_off(
    workplace: Workplace, index: IndexServer
) -> None:
    index.behaviour.replaced = {"upload-time": ""}
    write(workplace, "demo", project="exclude-newer = 2026-05-01T00:00:00Z\n")
    refused = workplace.fails(1, "lock")
    assert "demo" in refused.err and "upload" in refused.err


@pytest.mark.parametrize(("yanked", "version"), [("", "2.0"), (0, "2.0"), (False, "2.0"), ("bad", "1.0"), (1, "1.0")])
def test_a_file_is_yanked_if_the_value_is_true(
    yanked: object, version: str, workplace: Workplace, index: IndexServer
) -> None:
    """PEP 691: the value is evaluated for its truth, so an empty reason is none."""
    index.add(build_wheel("demo", "2.0"))
    page = {
        "meta": {"api-version": "1.1"},
        "name": "demo",
        "files": [
            {
                "filename": each.distribution.file,
                "url": f"{index.base}/files/{each.distribution.file}",
                "hashes": {"sha256": each.distribution.sha256},
                "yanked": yanked if each.distribution.version == "2.0" else False,
            }
            for each in index.files_of("demo")
        ],
    }
    body = json.dumps(page).encode()
    index.behaviour.bodies = {"/simple/demo/": ("application/vnd.pypi.simple.v1+json", body)}
    write(workplace, "demo")
    workplace.ok("lock")
    assert f"demo-{version}-py3-none-any.whl" in workplace.lock.read_text()


@pytest.mark.parametrize("wanted", [">=9.0.0a1.0", ">=abc", "!=~5.0", ">dev"])
def test_a_malformed_requirement_of_an_extra_that_is_not_requested_costs_no_version(
    wanted: str, workplace: Workplace, index: IndexServer
) -> None:
    index.add(
        build_wheel("demo", "2.0", extra_headers=[f"Requires-Dist: kubernetes{wanted}; extra == 'k8s'"], extras=["k8s"])
    )
    write(workplace, "demo")
    workplace.ok("lock")
    workplace.ok("bundle")
    assert "demo-2.0-py3-none-any.whl" in workplace.lock.read_text()


def test_the_extra_of_a_requirement_that_cannot_be_repaired_is_not_provided(
    workplace: Workplace, index: IndexServer
) -> None:
    index.add(
        build_wheel("demo", "2.0", extra_headers=["Requires-Dist: kubernetes>=abc; extra == 'k8s'"], extras=["k8s"])
    )
    write(workplace, "demo[k8s]")
    assert "demo 2.0 has no extra k8s" in workplace.ok("lock").err
