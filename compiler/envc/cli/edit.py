"""``envc init``, ``envc add`` and ``envc remove``, which keep the layout of the manifest."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from envc.cli.commands import verb
from envc.cli.options import Manifest as ManifestOption
from envc.cli.options import Offline, Quiet, make_context
from envc.cli.output import lock_lines, tell
from envc.cli.parameters import argument, option
from envc.cli.progress import Terminal
from envc.pipeline.edit import EditRequest, edit_manifest, write_manifest
from envc.pipeline.project import open_project


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
    path = write_manifest(options.folder, options.targets, options.python)
    tell(f"wrote {path}")
    return 0


class EditOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options that add and remove share."""

    manifest: ManifestOption = None
    step: Annotated[
        str | None, option("--step", metavar="STEP", help="Edit this step. Optional if there is only one.")
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
    """Add REQUIREMENTS to a step or a group, and lock. Those on the same projects with the same markers are
    replaced.
    """
    return _edit("add", options.requirements, options)


@verb("remove", RemoveOptions)
def remove(options: RemoveOptions) -> int:
    """Remove the requirements on NAMES from a step or a group, and lock."""
    return _edit("remove", options.names, options)


def _edit(action: Literal["add", "remove"], entries: tuple[str, ...], options: EditOptions) -> int:
    with Terminal(options.quiet) as terminal:
        context = make_context(terminal, offline=options.offline)
        project = open_project(options.manifest, context)
        request = EditRequest(
            action=action,
            entries=entries,
            kind="conda" if options.conda else "pypi",
            step=options.step,
            group=options.group,
            target=options.target,
            lock=not options.no_lock,
        )
        outcome = edit_manifest(project, request, context)
        for line in [f"edited {project.manifest.path.name}"] if outcome is None else lock_lines(outcome):
            terminal.note(line)
    return 0
