"""explain: all mistakes of a manifest, with their places. Runs only if reading it has failed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import tomli

from envc.errors import ManifestError, Mistake
from envc.locking.manifest.document import ManifestDocument
from envc.locking.manifest.manifest import read_document
from envc.locking.manifest.positions import Positions
from envc.locking.manifest.report import Report
from envc.locking.manifest.shape import Shaper
from envc.model.manifest import KeyPath


def explain(document: object, text: str, path: Path, prefix: KeyPath) -> ManifestError:
    """Every mistake of shape, and every mistake of meaning in the well-formed parts, in the order of the file."""
    positions = Positions(text)
    shapes, meanings = Report(), Report()
    shaper = Shaper(shapes, lambda key_path: positions.source((*prefix, *key_path)))
    if isinstance(document, dict):
        part = msgspec.convert(shaper.shape(document, ManifestDocument), ManifestDocument)
        read_document(meanings, part, document, path, prefix)
    else:
        shapes.add((), "expected a table")
    for mistake in meanings.mistakes:
        mistake.key_path = shaper.original(mistake.key_path)
    return ManifestError(path, _in_order(shapes.mistakes + meanings.mistakes, positions, prefix))


def _in_order(mistakes: Iterable[Mistake], positions: Positions, prefix: KeyPath) -> tuple[Mistake, ...]:
    """The same mistakes with lines and columns, each once: one in a group is found for every step that uses it."""
    placed = {}
    for mistake in mistakes:
        key_path = (*prefix, *mistake.key_path)
        line, column = positions.nearest(key_path) or (1, 1)
        placed[line, column, str(key_path), mistake.reason] = Mistake(
            key_path, mistake.reason, mistake.suggestion, line, column
        )
    return tuple(placed[order] for order in sorted(placed))


def explain_syntax(text: str, path: Path, error: tomli.TOMLDecodeError) -> ManifestError:
    """The error for a text that is not TOML. For a key that is set twice it gives both places."""
    duplicate = Positions(text).duplicate
    if duplicate is not None and error.msg.startswith(("Cannot", "Duplicate")):
        key_path, (first_line, first_column), (line, column) = duplicate
        reason = f"is set twice, first at line {first_line}, column {first_column}"
        return ManifestError(path, (Mistake(key_path, reason, None, line, column),))
    reason = f"not TOML: {error.msg[:1].lower()}{error.msg[1:]}"
    return ManifestError(path, (Mistake((), reason, None, error.lineno, error.colno),))
