"""Reads a manifest: its text becomes typed values, or one report of all its mistakes.

`document` defines the shape, `manifest` and the modules below it the meaning. `explain`, `shape` and `positions` are
imported only if there is a mistake.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from envc.errors import ManifestError, Mistake, UsageError
from envc.locking.manifest.find import PYPROJECT, PYPROJECT_PREFIX
from envc.model.limits import MANIFEST_BYTES
from envc_solvers.malformed import malformed, reason_of

if TYPE_CHECKING:
    from envc.model.manifest import KeyPath, Manifest


def load_manifest(path: Path) -> Manifest:
    """Read and parse a manifest. Raises ManifestError, and UsageError if the file cannot be read."""
    return parse_manifest(read_manifest(path), path)


def read_manifest(path: Path) -> str:
    """The text of a manifest. Raises ManifestError, and UsageError if the file cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MANIFEST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}", "check the path of the manifest") from None
    if len(data) > MANIFEST_BYTES:
        raise ManifestError(path, (Mistake((), f"is larger than {MANIFEST_BYTES >> 20} MiB"),))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise ManifestError(path, (Mistake((), "is not UTF-8", "save it as UTF-8", line, column),)) from None


def parse_manifest(text: str, path: Path) -> Manifest:
    """Parse the text of the manifest at `path`, which is not read. Raises ManifestError with every mistake.

    In a ``pyproject.toml`` the manifest is the ``[tool.envc]`` table, and the name of the project may be that of
    ``[project]``.
    """
    # Imported late: other modules of this package are used by commands that read no manifest.
    import msgspec
    import tomli

    from envc.locking.manifest.document import ManifestDocument
    from envc.locking.manifest.manifest import read_document
    from envc.locking.manifest.report import Report

    try:
        document: Any = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        from envc.locking.manifest.explain import explain_syntax

        raise explain_syntax(text, path, error) from None
    except malformed() as error:
        raise ManifestError(path, (Mistake((), reason_of(error)),)) from None
    prefix: KeyPath = ()
    if path.name == PYPROJECT:
        prefix = PYPROJECT_PREFIX
        document = _tool_table(document, path)
    try:
        manifest = read_document(Report(), msgspec.convert(document, ManifestDocument), document, path, prefix)
    except msgspec.ValidationError:
        manifest = None
    if manifest is None:
        from envc.locking.manifest.explain import explain

        raise explain(document, text, path, prefix)
    return manifest


def position_of(text: str, key_path: KeyPath) -> tuple[int, int] | None:
    """Line and column (from 1) of a key of a TOML text, or of an item of an array; None if it is absent.

    The key path starts at the root of the text: in a ``pyproject.toml`` it begins with `Manifest.prefix`.
    """
    from envc.locking.manifest.positions import Positions

    return Positions(text).of(key_path)


def _tool_table(document: dict[str, Any], path: Path) -> object:
    """The manifest in a pyproject.toml, whose `[project]` table may name the project."""
    tool = document.get("tool")
    if not isinstance(tool, dict) or "envc" not in tool:
        suggestion = "add [tool.envc.project], or write a manifest.toml"
        raise ManifestError(path, (Mistake((), "has no [tool.envc] table", suggestion),))
    table = tool["envc"]
    project = document.get("project")
    if isinstance(table, dict) and isinstance(table.get("project"), dict) and isinstance(project, dict):
        name = project.get("name")
        if isinstance(name, str):
            return {**table, "project": {"name": name, **table["project"]}}
    return table
