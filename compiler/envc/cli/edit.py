"""``envc init``, ``envc add`` and ``envc remove``, which keep the layout of the manifest."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from envc.cli.commands import verb
from envc.cli.options import AsJson, Offline, Quiet, make_context
from envc.cli.options import Manifest as ManifestOption
from envc.cli.output import lock_lines, print_json, tell
from envc.cli.parameters import argument, option
from envc.cli.progress import Terminal
from envc.context import Context, user_path
from envc.errors import UsageError
from envc.locking.manifest.requirement_lists import Entry, entry_of, read_list
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
    as_json: AsJson = False


@verb("init", InitOptions)
def init(options: InitOptions) -> int:
    """Write a first manifest.toml into FOLDER."""
    path = write_manifest(options.folder, options.targets, options.python)
    if options.as_json:
        from envc.cli.documents import InitDocument

        print_json(InitDocument(manifest=str(path)))
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
    dry_run: Annotated[bool, option("--dry-run", help="Solve and show what would change, but write nothing.")] = False
    offline: Offline = False
    quiet: Quiet = False
    as_json: AsJson = False


class AddOptions(EditOptions, frozen=True, kw_only=True):
    requirements: Annotated[tuple[str, ...], argument()] = ()
    files: Annotated[
        tuple[str, ...],
        option("-r", "--requirements", metavar="FILE", help="Add the requirements of this file. Repeatable."),
    ] = ()
    raw: Annotated[bool, option("--raw", help="Add requirements as they are, without lower bounds.")] = False


class RemoveOptions(EditOptions, frozen=True, kw_only=True):
    names: Annotated[tuple[str, ...], argument()]


@verb("add", AddOptions)
def add(options: AddOptions) -> int:
    """Add REQUIREMENTS to a step or a group, and lock. Those on the same projects with the same markers are
    replaced.

    A requirement without versions gets the locked version as its lower bound. REQUIREMENTS that start with ./, ../ or /
    are paths of local projects. A step that does not exist is made.
    """
    if not options.requirements and not options.files:
        raise UsageError("nothing is named that could be added", "write envc add NAME, or envc add -r FILE")
    return _edit("add", options, raw=options.raw)


@verb("remove", RemoveOptions)
def remove(options: RemoveOptions) -> int:
    """Remove the requirements on NAMES from a step or a group, and lock."""
    return _edit("remove", options)


def _entries(options: EditOptions, context: Context, root: Path) -> tuple[Entry, ...]:
    if isinstance(options, RemoveOptions):
        return options.names
    if not isinstance(options, AddOptions):
        return ()
    entries = [entry_of(word, context.cwd, root) for word in options.requirements]
    for file in options.files:
        entries += read_list(context.cwd / user_path(file, "-r"), root)
    return tuple(entries)


def _edit(action: Literal["add", "remove"], options: EditOptions, *, raw: bool = False) -> int:
    with Terminal(options.quiet) as terminal:
        context = make_context(terminal, offline=options.offline)
        project = open_project(options.manifest, context)
        request = EditRequest(
            action=action,
            entries=_entries(options, context, project.manifest.root),
            kind="conda" if options.conda else "pypi",
            step=options.step,
            group=options.group,
            target=options.target,
            lock=not options.no_lock,
            bounds=not raw,
            dry_run=options.dry_run,
        )
        outcome = edit_manifest(project, request, context)
        if options.as_json:
            from envc.cli.documents import EditedDocument

            print_json(EditedDocument.of(outcome))
        verb = "edited" if outcome.written else "would edit"
        lines = [f"{verb} {outcome.path.name}"] if outcome.locked is None else lock_lines(outcome.locked)
        for line in lines:
            terminal.note(line)
        if outcome.locked is not None and outcome.locked.passed_over:
            from envc.cli.passed_over import tell_passed_over

            tell_passed_over(outcome.locked, terminal)
    return 0
