"""JSON Schemas of every file format, made from the types that read and write them.

``python -m envc.cli.schemas FOLDER`` writes them. A test compares them with those in the repository.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from envc.cli.documents import (
    BundleDocument,
    CheckedDocument,
    EditedDocument,
    ErrorDocument,
    HydratedDocument,
    InitDocument,
    LockedDocument,
    StepsDocument,
)
from envc.cli.documents_upkeep import CacheDocument, PruneDocument, TagsDocument
from envc.cli.solved import SolveDocument
from envc.locking.lockfile.document import LockDocument
from envc.locking.manifest.document import ManifestDocument
from envc.locking.review.status import Status
from envc.model.record import ObjectIndex, Record, StepCard, StepPointer
from envc.pipeline.upkeep import Collected
from envc.pipeline.verify_lock import Rechecked
from envc.shipping.deliver.verify import Verified
from envc.shipping.format.bundle import BundleIndex
from envc.shipping.store.tags import Tag
from envc.shipping.store.upkeep.leases import Lease
from envc.shipping.store.upkeep.notices import Notice

DRAFT = "https://json-schema.org/draft/2020-12/schema"


class Format(msgspec.Struct, frozen=True):
    """One file format."""

    title: str
    types: tuple[Any, ...]  # a document has one of these types
    is_toml: bool = False
    version: int = 1  # raised when a document that was valid no longer is, or means something else; new keys do not


SCHEMAS: Mapping[str, Format] = {  # by file name, without its extension
    "manifest": Format("manifest.toml, and the [tool.envc] table of a pyproject.toml", (ManifestDocument,), True),
    "lock": Format("manifest.lock", (LockDocument,), True),
    "record": Format(
        "The JSON documents of a store and of a bundle", (Record, ObjectIndex, StepPointer, StepCard, BundleIndex)
    ),
    "solve": Format("The output of envc solve --json", (SolveDocument, ErrorDocument)),
    "status": Format("The output of envc status --json", (Status, ErrorDocument)),
    "locked": Format("The output of envc lock --json", (LockedDocument, CheckedDocument, ErrorDocument)),
    "rechecked": Format("The output of envc lock --verify --json", (Rechecked, ErrorDocument)),
    "verified": Format("The output of envc verify --json", (Verified, ErrorDocument)),
    "collected": Format("The output of envc gc --json", (Collected, ErrorDocument)),
    "tags": Format("The output of envc tag --json", (TagsDocument, ErrorDocument)),
    "cache": Format("The output of envc cache show --json and envc cache prune --json", (CacheDocument, PruneDocument)),
    "upkeep": Format("The JSON documents of a store that keep or release environments", (Tag, Lease, Notice)),
    "initialised": Format("The output of envc init --json", (InitDocument, ErrorDocument)),
    "steps": Format("The output of envc run --json, without a step", (StepsDocument, ErrorDocument)),
    "edited": Format("The output of envc add --json and envc remove --json", (EditedDocument, ErrorDocument)),
    "hydrated": Format("The output of envc hydrate --json", (HydratedDocument, ErrorDocument)),
    "bundled": Format("The output of envc bundle --json", (BundleDocument, ErrorDocument)),
}


def schema(name: str) -> dict[str, Any]:
    """One JSON Schema, draft 2020-12. Dates and date-times of TOML are described as strings."""
    described = SCHEMAS[name]
    roots, components = msgspec.json.schema_components(described.types, ref_template="#/$defs/{name}")
    root = roots[0] if len(roots) == 1 else {"anyOf": list(roots)}
    parts = {key: _without_nulls(part) if described.is_toml else part for key, part in sorted(components.items())}
    about = {"$schema": DRAFT, "$id": f"urn:envc:schema:{name}:{described.version}", "title": described.title}
    return {**about, **root, "$defs": parts}


def _without_nulls(part: Any) -> Any:
    """The schema without nulls, which TOML lacks: a key may be left out instead."""
    if isinstance(part, list):
        return [_without_nulls(item) for item in part]
    if not isinstance(part, dict):
        return part
    plain = {key: _without_nulls(value) for key, value in part.items() if (key, value) != ("default", None)}
    options = plain.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        rest = [option for option in options if option != {"type": "null"}]
        del plain["anyOf"]
        plain.update(rest[0] if len(rest) == 1 else {"anyOf": rest})
    return plain


def render(name: str) -> str:
    """The text of a schema file."""
    return msgspec.json.format(msgspec.json.encode(schema(name)), indent=2).decode() + "\n"


def write(folder: Path) -> None:
    """Write every schema as ``<name>.schema.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SCHEMAS:
        (folder / f"{name}.schema.json").write_text(render(name), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "schemas"))
