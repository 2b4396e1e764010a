"""The JSON Schemas in the repository match the types, and accept what the readers accept."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import tomli

from envc.cli.commands import Group
from envc.cli.schemas import SCHEMAS, render, schema
from envc.cli.verbs import VERBS, load_verb
from envc.model.digest import sha256
from envc.model.record import Frame, Member, ObjectIndex, Record, RecordObject, StepPointer
from tests.golden.regenerate import FOLDER

ROOT = Path(__file__).parents[2]
DIGEST = sha256(b"")


def _validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(name))


def _plain(value: Any) -> Any:
    """Convert a TOML document for JSON Schema: date-times and dates become text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_file_matches_the_types(name: str) -> None:
    """If this fails, run ``python -m envc.cli.schemas schemas`` and review the difference."""
    assert (ROOT / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8") == render(name)


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_file_is_a_valid_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))
    assert "://" not in render(name).replace(schema(name)["$schema"], "")


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_is_identified_with_its_version(name: str) -> None:
    assert schema(name)["$id"] == f"urn:envc:schema:{name}:{SCHEMAS[name].version}"


def test_every_verb_with_json_has_a_schema() -> None:
    titles = " ".join(one.title for one in SCHEMAS.values())
    for verb in VERBS:
        loaded = load_verb(verb)
        leaves = loaded.commands.items() if isinstance(loaded, Group) else [("", loaded)]
        for below, leaf in leaves:
            if any("--json" in one.names for one in leaf.parameters):
                name = f"envc {verb} {below}".strip()
                assert f"{name} --json" in titles or f"envc {verb} --json" in titles, name


@pytest.mark.parametrize("path", [FOLDER / "whole.toml", *sorted(ROOT.glob("examples/*/manifest.toml"))], ids=str)
def test_valid_manifests_satisfy_the_schema(path: Path) -> None:
    """No error is raised: `validate` accepts the manifest."""
    _validator("manifest").validate(_plain(tomli.loads(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("situation", ["unknown-keys", "wrong-types", "unknown-choices", "project-incomplete"])
def test_manifests_of_the_wrong_shape_do_not_satisfy_the_schema(situation: str) -> None:
    document = tomli.loads((FOLDER / "manifests" / f"{situation}.toml").read_text(encoding="utf-8"))
    assert not _validator("manifest").is_valid(_plain(document))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("locks/*.lock")), ids=lambda path: path.stem)
def test_locks_satisfy_the_schema(path: Path) -> None:
    document = _plain(tomli.loads(path.read_text(encoding="utf-8")))
    _validator("lock").validate(document)
    assert not _validator("lock").is_valid({**document, "odd": 1})


def test_documents_of_a_store_satisfy_their_schemas() -> None:
    index = ObjectIndex(
        artifact=DIGEST,
        layout="any",
        frames=(Frame(offset=0, length=1, raw=2, sha256=DIGEST),),
        members=(Member(path="a", size=1, sha256=DIGEST), Member(path="b", type="link", mode=0o777, link="a")),
    )
    member = RecordObject(kind="pypi", name="a", version="1", file="a.whl", content=DIGEST, size=1, index=index)
    record = Record(environment=DIGEST, platform="linux-64", python="cp312", interpreter="host", objects=(member,))
    pointer = StepPointer(environment=DIGEST, record=DIGEST)
    for document in (index, record, pointer):
        _validator("record").validate(msgspec.json.decode(msgspec.json.encode(document)))
    assert not _validator("record").is_valid({"format": 1})
