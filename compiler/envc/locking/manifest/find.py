"""find: the file of the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from envc.context import user_path
from envc.errors import UsageError
from envc_solvers.malformed import malformed

PYPROJECT = "pyproject.toml"
PYPROJECT_PREFIX = ("tool", "envc")


def find_manifest(argument: str | None, environ: Mapping[str, str], cwd: Path) -> Path:
    """The path of the manifest: the argument, else ``ENVC_MANIFEST``, else the first found in `cwd` or above it.

    For a folder, that is its ``manifest.toml``, else its ``pyproject.toml`` if that has a ``[tool.envc]`` table. Raises
    UsageError if there is none.
    """
    for origin, text in (("", argument), ("ENVC_MANIFEST: ", environ.get("ENVC_MANIFEST"))):
        if text and "://" in text:
            from envc.fetch.net.urls import redact

            raise UsageError(
                f"{origin}{redact(text)} is a URL, and a manifest is a file of this machine",
                "check out the project first",
            )
        if text:
            return _named(cwd / user_path(text, f"{origin}the manifest"), origin)
    for folder in (cwd, *cwd.parents):
        found = _in_folder(folder)
        if found is not None:
            return found
    raise UsageError(
        f"there is no manifest in {cwd} or above it",
        "run `envc init` to write one, or name it with --manifest",
    )


def _named(path: Path, origin: str) -> Path:
    if path.is_dir():
        found = _in_folder(path)
        if found is None:
            raise UsageError(
                f"{origin}{path} holds neither a manifest.toml nor a {PYPROJECT} with [tool.envc]",
                "run `envc init` there to write one",
            )
        return found
    if not path.is_file():
        raise UsageError(f"{origin}{path} does not exist", "check the path, or run `envc init` to write a manifest")
    return path


def _in_folder(folder: Path) -> Path | None:
    manifest = folder / "manifest.toml"
    if manifest.is_file():
        return manifest
    pyproject = folder / PYPROJECT
    return pyproject if pyproject.is_file() and _has_table(pyproject) else None


def _has_table(pyproject: Path) -> bool:
    """Whether a pyproject.toml has a ``[tool.envc]`` table.

    True also for a text that is not TOML but mentions the table, so that reading it reports the mistake.
    """
    try:
        text = pyproject.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    if "envc" not in text:
        return False
    import tomli

    try:
        tool = tomli.loads(text).get("tool")
    except malformed():
        return "[tool.envc" in text
    return isinstance(tool, dict) and "envc" in tool
