"""``envc init``, ``envc add`` and ``envc remove``: edit the manifest, then lock."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from envc.context import Context
from envc.errors import EnvcError, Unwritable, UsageError
from envc.locking.manifest import edit
from envc.locking.manifest.load import parse_manifest
from envc.pipeline.lock import LockRequest, lock
from envc.pipeline.project import open_project, this_platform
from envc.system.user_file import replace_user_file

if TYPE_CHECKING:
    from envc.locking.plan.project import Project
    from envc.model.kinds import DependencyKind
    from envc.model.manifest import KeyPath, Manifest
    from envc.pipeline.lock import LockOutcome


class EditRequest(msgspec.Struct, frozen=True, kw_only=True):
    action: Literal["add", "remove"]
    entries: tuple[str, ...]  # requirements to add, or names to remove
    kind: DependencyKind = "pypi"
    step: str | None = None  # the table to edit; None if there is only one step, or for a group
    group: str | None = None
    target: str | None = None  # only for this target of the step
    lock: bool = True


def write_manifest(folder: Path, targets: tuple[str, ...], python: str | None) -> Path:
    """Write a first manifest into the folder, by default for linux-64, this machine's platform and the running Python.

    Returns its path. Raises UsageError if it exists, ManifestError for targets or a Python that cannot be read, and
    Unwritable.
    """
    path = folder / "manifest.toml"
    if path.exists():
        raise UsageError(f"{path} already exists", "edit it, or add packages with `envc add`")
    targets = targets or tuple(dict.fromkeys(["linux-64", this_platform()]))
    python = python or f"{sys.version_info[0]}.{sys.version_info[1]}"
    text = edit.new_manifest(folder.absolute().name or "project", targets, python)
    parse_manifest(text, path)
    _write(path, text.encode())
    return path


def edit_manifest(project: Project, request: EditRequest, context: Context) -> LockOutcome | None:
    """edit → parse → write → lock. Returns None if the request says not to lock.

    The manifest is restored if it cannot be locked, unless another program has changed it in the meantime. Raises
    UsageError for a table or a requirement that does not exist, ManifestError, Unwritable, and the errors of `lock`.
    """
    path = project.manifest.path
    before = path.read_bytes()
    table = _table(project.manifest, request)
    change = edit.add if request.action == "add" else edit.remove
    after = edit.change_bytes(before, lambda text: change(text, table, request.kind, request.entries))
    parse_manifest(after.decode("utf-8-sig"), path)
    _write(path, after)
    if not request.lock:
        return None
    try:
        return lock(open_project(str(path), context), LockRequest(), context)
    except (EnvcError, KeyboardInterrupt):
        if _still_has(path, after):
            _write(path, before)
            context.progress.note(f"{path.name} was restored, because it could not be locked")
        else:
            context.progress.warn(f"{path.name} could not be locked, and was not restored: it has changed since")
        raise


def _still_has(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False


def _write(path: Path, data: bytes) -> None:
    """Write the manifest atomically, in a folder that may not exist yet. Raises StrayLink and Unwritable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_user_file(path, data)
    except OSError as error:
        raise Unwritable(path, error, "check the permissions of the folder") from None


def _table(manifest: Manifest, request: EditRequest) -> KeyPath:
    """The key path of the table that the request selects. Raises UsageError if it selects none."""
    step, target = request.step, request.target
    if request.group is not None:
        if step is not None or target is not None:
            raise UsageError("--group cannot be used with --step or --target", "name a step or a group, not both")
        return (*manifest.prefix, "groups", request.group)
    if step is None:
        if len(manifest.steps) != 1:
            raise UsageError("the manifest has several steps", f"name one with --step: {', '.join(manifest.steps)}")
        step = next(iter(manifest.steps))
    if step not in manifest.steps:
        raise UsageError(f"there is no step {step}", f"the manifest has {', '.join(manifest.steps)}")
    return (*manifest.prefix, "steps", step, *(("on", target) if target else ()))
