"""``envc init``, ``envc add`` and ``envc remove``, which keep the layout of the manifest."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec

from envc.cli.commands import argument, option, verb
from envc.cli.options import Manifest as ManifestOption
from envc.cli.options import Offline, Quiet, make_context
from envc.cli.output import lock_lines
from envc.cli.progress import Terminal
from envc.errors import EnvcError, Unwritable, UsageError
from envc.locking.lockfile import replace_file
from envc.locking.manifest import edit, parse_manifest
from envc.model.kinds import DependencyKind
from envc.model.manifest import KeyPath, Manifest
from envc.pipeline.lock import LockRequest, lock
from envc.pipeline.project import open_project, this_platform


class InitOptions(msgspec.Struct, frozen=True, kw_only=True):
    folder: Annotated[Path, argument(is_folder=True)] = Path()
    targets: Annotated[
        tuple[str, ...],
        option(
            "--target",
            metavar="PLATFORM",
            help="Target this platform. Repeatable. Default: linux-64 and this machine's.",
        ),
    ] = ()
    python: Annotated[
        str | None,
        option("--python", metavar="VERSION", help="Use this Python, such as 3.12. Default: the one that runs envc."),
    ] = None


@verb("init", InitOptions)
def init(options: InitOptions) -> int:
    """Write a first manifest.toml into FOLDER."""
    path = options.folder / "manifest.toml"
    if path.exists():
        raise UsageError(f"{path} exists already", "edit it, or add packages with `envc add`")
    targets = options.targets or tuple(dict.fromkeys(["linux-64", this_platform()]))
    name = options.folder.absolute().name or "project"
    text = edit.new_manifest(name, targets, options.python or f"{sys.version_info[0]}.{sys.version_info[1]}")
    parse_manifest(text, path)
    _write(path, text.encode())
    print(f"wrote {path}", file=sys.stderr)
    return 0


class EditOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of both add and remove."""

    manifest: ManifestOption = None
    step: Annotated[
        str | None, option("--step", metavar="STEP", help="Edit this step. May be left out if there is only one.")
    ] = None
    group: Annotated[str | None, option("--group", metavar="GROUP", help="Edit this group.")] = None
    target: Annotated[str | None, option("--target", metavar="TARGET", help="Edit only this target of the step.")] = (
        None
    )
    conda: Annotated[bool, option("--conda", help="Treat the packages as conda packages.")] = False
    no_lock: Annotated[bool, option("--no-lock", help="Edit the manifest without locking.")] = False
    offline: Offline = False
    quiet: Quiet = False


class AddOptions(EditOptions, frozen=True, kw_only=True):
    requirements: Annotated[tuple[str, ...], argument()]


class RemoveOptions(EditOptions, frozen=True, kw_only=True):
    names: Annotated[tuple[str, ...], argument()]


@verb("add", AddOptions)
def add(options: AddOptions) -> int:
    """Add REQUIREMENTS to a step or a group, and lock. Requirements on the same projects are replaced."""
    return _edit(edit.add, options.requirements, options)


@verb("remove", RemoveOptions)
def remove(options: RemoveOptions) -> int:
    """Remove the requirements on NAMES from a step or a group, and lock."""
    return _edit(edit.remove, options.names, options)


def _edit(
    change: Callable[[str, KeyPath, DependencyKind, tuple[str, ...]], str],
    entries: tuple[str, ...],
    options: EditOptions,
) -> int:
    with Terminal(options.quiet) as terminal:
        context = make_context(terminal, offline=options.offline)
        project = open_project(options.manifest, context)
        path = project.manifest.path
        before = path.read_bytes()
        table = _table(project.manifest, options.step, options.group, options.target)
        after = edit.in_bytes(before, lambda text: change(text, table, "conda" if options.conda else "pypi", entries))
        parse_manifest(after.decode("utf-8-sig"), path)
        _write(path, after)
        if options.no_lock:
            terminal.note(f"edited {path.name}")
            return 0
        try:
            outcome = lock(open_project(str(path), context), LockRequest(), context)
        except (EnvcError, KeyboardInterrupt):
            _write(path, before)
            terminal.note(f"{path.name} was restored, because it could not be locked")
            raise
        for line in lock_lines(outcome):
            terminal.note(line)
    return 0


def _write(path: Path, data: bytes) -> None:
    """Write the manifest atomically, in a folder that may not exist yet. Raises Unwritable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data)
    except OSError as error:
        raise Unwritable(path, error, "check the permissions of the folder") from None


def _table(manifest: Manifest, step: str | None, group: str | None, target: str | None) -> KeyPath:
    """The key path of the table that the options select. Raises UsageError where they select none."""
    if group is not None:
        if step is not None or target is not None:
            raise UsageError("--group cannot be used with --step or --target", "name a step or a group, not both")
        return (*manifest.prefix, "groups", group)
    if step is None:
        if len(manifest.steps) != 1:
            raise UsageError("the manifest has several steps", f"name one with --step: {', '.join(manifest.steps)}")
        step = next(iter(manifest.steps))
    if step not in manifest.steps:
        raise UsageError(f"there is no step {step}", f"the manifest has {', '.join(manifest.steps)}")
    return (*manifest.prefix, "steps", step, *(("on", target) if target else ()))
