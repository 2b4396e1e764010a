"""``envc init``, ``envc add`` and ``envc remove``: a manifest edited, its layout kept."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from envc.cli import lazy_click as click
from envc.cli import options
from envc.cli.output import lock_lines
from envc.cli.progress import Terminal
from envc.errors import EnvcError, Unwritable, UsageError
from envc.locking.lockfile import replace_file
from envc.locking.manifest import edit, parse_manifest
from envc.model.manifest import KeyPath, Manifest
from envc.pipeline.lock import LockRequest, lock
from envc.pipeline.project import open_project, this_platform


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--target", "targets", multiple=True, metavar="T", help="A platform; else this machine's and linux-64.")
@click.option("--python", metavar="V", help="Such as 3.12; else the running minor.")
def init(folder: Path, targets: tuple[str, ...], python: str | None) -> int:
    """Write a first manifest.toml into FOLDER."""
    path = folder / "manifest.toml"
    if path.exists():
        raise UsageError(f"{path} exists already", "edit it, or `envc add` packages to it")
    wanted = targets or tuple(dict.fromkeys(["linux-64", this_platform()]))
    name = folder.absolute().name or "project"
    text = edit.new_manifest(name, wanted, python or f"{sys.version_info[0]}.{sys.version_info[1]}")
    parse_manifest(text, path)
    _write(path, text.encode())
    print(f"wrote {path}", file=sys.stderr)
    return 0


def _table_options(command: Callable[..., int]) -> Callable[..., int]:
    for decorate in (
        options.quiet_option(),
        options.offline_option(),
        click.option("--no-lock", is_flag=True, help="Only edit the manifest."),
        click.option("--conda", is_flag=True, help="These are conda packages."),
        click.option("--target", metavar="T", help="Only for this target of the step."),
        click.option("--group", metavar="G", help="The group that is meant."),
        click.option("--step", metavar="S", help="The step that is meant; may be left out where there is one."),
        options.manifest_option(),
    ):
        command = decorate(command)
    return command


@click.command("add")
@click.argument("requirements", nargs=-1, required=True)
@_table_options
def add(requirements: tuple[str, ...], **chosen: object) -> int:
    """Add REQUIREMENTS to a step or a group, and lock. One on the same project is replaced."""
    return _edit(edit.add, requirements, **chosen)  # type: ignore[arg-type]


@click.command("remove")
@click.argument("names", nargs=-1, required=True)
@_table_options
def remove(names: tuple[str, ...], **chosen: object) -> int:
    """Remove the requirements on NAMES from a step or a group, and lock."""
    return _edit(edit.remove, names, **chosen)  # type: ignore[arg-type]


def _edit(
    change: Callable[[str, KeyPath, str, tuple[str, ...]], str],
    entries: tuple[str, ...],
    *,
    manifest: str | None,
    step: str | None,
    group: str | None,
    target: str | None,
    conda: bool,
    no_lock: bool,
    offline: bool,
    quiet: bool,
) -> int:
    with Terminal(quiet) as terminal:
        context = options.surroundings(terminal, offline=offline)
        project = open_project(manifest, context)
        path = project.manifest.path
        before = path.read_bytes()
        table = _table(project.manifest, step, group, target)
        after = edit.in_bytes(before, lambda text: change(text, table, "conda" if conda else "pypi", entries))
        parse_manifest(after.decode("utf-8-sig"), path)
        _write(path, after)
        if no_lock:
            terminal.note(f"edited {path.name}")
            return 0
        try:
            outcome = lock(open_project(str(path), context), LockRequest(), context)
        except (EnvcError, KeyboardInterrupt):
            _write(path, before)
            terminal.note(f"{path.name} is as it was, since it could not be locked")
            raise
        for line in lock_lines(outcome):
            terminal.note(line)
    return 0


def _write(path: Path, data: bytes) -> None:
    """Replace a manifest, or make a first one. Raises Unwritable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data)
    except OSError as error:
        raise Unwritable(path, error, "check the folder's rights") from None


def _table(manifest: Manifest, step: str | None, group: str | None, target: str | None) -> KeyPath:
    """The key path of the table that the options mean. Raises UsageError where they mean none."""
    if group is not None:
        if step is not None or target is not None:
            raise UsageError("--group stands alone", "name a step, or a group, not both")
        return (*manifest.prefix, "groups", group)
    if step is None:
        if len(manifest.steps) != 1:
            raise UsageError("the manifest has several steps", f"name one with --step: {', '.join(manifest.steps)}")
        step = next(iter(manifest.steps))
    if step not in manifest.steps:
        raise UsageError(f"there is no step {step}", f"the manifest has {', '.join(manifest.steps)}")
    return (*manifest.prefix, "steps", step, *(("on", target) if target else ()))
