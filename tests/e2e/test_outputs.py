"""Machine-readable output: every JSON output matches its schema, and standard output contains only data."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from tests.e2e.command import HOST_PYTHON, Workplace

SCHEMAS = Path(__file__).parents[2] / "schemas"


@pytest.mark.parametrize(
    ("schema", "verb"),
    [
        ("status", ("status", "--json")),
        ("locked", ("lock", "--json")),
        ("locked", ("lock", "--json", "--dry-run", "--upgrade")),
        ("bundled", ("bundle", "--json", "--step", "train")),
        ("solve", ("solve", "--json", "--pypi", "beta[fast]", "--python", HOST_PYTHON)),
        ("solve", ("solve", "--json", "--pypi", "no-such-project")),
        ("status", ("status", "--json", "nowhere.toml")),
        ("bundled", ("bundle", "--json", "--step", "no-such-step")),
    ],
)
def test_output_matches_its_schema(workplace: Workplace, schema: str, verb: tuple[str, ...]) -> None:
    """No error is raised: `validate` accepts the document that the verb prints."""
    if schema == "bundled":
        workplace.ok("lock")
    document = json.loads(workplace.run(*verb).out)
    jsonschema.validate(document, json.loads((SCHEMAS / f"{schema}.schema.json").read_text()))


def test_quiet_prints_nothing(workplace: Workplace) -> None:
    done = workplace.ok("lock", "--quiet")
    assert (done.out, done.err) == ("", "")


def test_output_to_a_pipe_has_no_colours(workplace: Workplace) -> None:
    assert "\x1b" not in workplace.fails(2, "lock", "nowhere.toml").err
