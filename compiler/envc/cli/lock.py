"""``envc lock``."""

from typing import Annotated, Literal

import msgspec

from envc.cli.commands import verb
from envc.cli.options import (
    AsJson,
    Manifest,
    MaxCandidates,
    Offline,
    Quiet,
    Refresh,
    Targets,
    TimeLimit,
    choose_manifest,
    limits,
    make_context,
)
from envc.cli.output import count, lock_lines, print_json, say
from envc.cli.parameters import argument, option
from envc.cli.progress import Terminal
from envc.context import Context
from envc.errors import UsageError
from envc.locking.plan.project import NamedUpgrade, Project, Selection, Upgrades
from envc.pipeline.lock import LockRequest, check, lock, recorded_passed_over
from envc.pipeline.project import open_project


class LockOptions(msgspec.Struct, frozen=True, kw_only=True):
    manifest: Annotated[str | None, argument()] = None
    manifest_option: Manifest = None
    check: Annotated[
        bool, option("--check", help="Change nothing; exit with 1 and list every reason if the lock is out of date.")
    ] = False
    verify: Annotated[
        bool, option("--verify", help="Change nothing; solve again and check that every file is still at its source.")
    ] = False
    upgrade: Annotated[bool, option("-U", "--upgrade", help="Upgrade every package to the newest allowed version.")] = (
        False
    )
    packages: Annotated[
        tuple[str, ...],
        option(
            "-P",
            "--upgrade-package",
            metavar="NAME[==VERSION]",
            help="Upgrade this package, or move it to VERSION; other specifiers limit it. Repeatable.",
        ),
    ] = ()
    reuploads: Annotated[
        tuple[str, ...],
        option(
            "--accept-reupload",
            metavar="NAME",
            help="Take the files of this package even if their bytes have changed since they were locked. Repeatable.",
        ),
    ] = ()
    build: Annotated[
        tuple[str, ...],
        option(
            "--build",
            metavar="NAME",
            help="Allow building this project from source: write it into policy.build of the manifest. Repeatable.",
        ),
    ] = ()
    steps: Annotated[tuple[str, ...], option("--step", metavar="STEP", help="Relock only this step. Repeatable.")] = ()
    targets: Targets = ()
    resolution: Annotated[
        Literal["highest", "lowest", "lowest-direct"] | None,
        option("--resolution", help="Prefer these versions of PyPI projects, whatever the manifest says."),
    ] = None
    dry_run: Annotated[bool, option("--dry-run", help="Solve and show what would change, but write nothing.")] = False
    refresh: Refresh = False
    time_limit: TimeLimit = None
    max_candidates: MaxCandidates = None
    offline: Offline = False
    quiet: Quiet = False
    as_json: AsJson = False


@verb("lock", LockOptions)
def command(options: LockOptions) -> int:
    """Compile MANIFEST into its lock file.

    Pins stay unless the manifest forces a change. A lock that is up to date is left unchanged, without using the
    network. With --step or --target, the rest of the lock stays as it is, even if it is out of date.
    """
    with Terminal(options.quiet) as terminal:
        context = make_context(
            terminal,
            offline=options.offline,
            refresh=options.refresh,
            limits=limits(options.time_limit, options.max_candidates),
        )
        project = open_project(choose_manifest(options.manifest, options.manifest_option), context, options.resolution)
        if options.build and (options.check or options.verify or options.dry_run):
            raise UsageError(
                "--build changes the manifest, and --check, --verify and --dry-run change nothing",
                "leave out one of them",
            )
        if options.verify:
            if (
                options.check
                or options.upgrade
                or options.packages
                or options.reuploads
                or options.steps
                or options.targets
                or options.dry_run
            ):
                raise UsageError(
                    "--verify checks the whole lock and changes nothing", "leave out the options that select or change"
                )
            return _verify(project, context, terminal, options.as_json)
        selection = Selection(steps=options.steps, targets=options.targets)
        if options.check:
            graph = check(project, selection, context)
            if options.as_json:
                from envc.cli.documents import CheckedDocument

                print_json(CheckedDocument.of(project.manifest.lock_path, graph))
            terminal.note(f"{project.manifest.lock_path.name} is up to date")
            if graph.holds_passed_over:
                from envc.cli.passed_over import tell_each  # late: few locks record any

                tell_each(recorded_passed_over(graph), terminal)
            return 0
        named = tuple(map(NamedUpgrade.parse, options.packages))
        upgrades = Upgrades(everything=options.upgrade, packages=named, reuploads=options.reuploads)
        request = LockRequest(upgrades=upgrades, selection=selection, dry_run=options.dry_run)
        if options.build:
            from envc.pipeline.edit import lock_with_builds

            outcome = lock_with_builds(project, options.build, request, context, options.resolution)
        else:
            outcome = lock(project, request, context)
    if options.as_json:
        from envc.cli.documents import LockedDocument

        print_json(LockedDocument.of(outcome))
    for line in lock_lines(outcome):
        terminal.note(line)
    if outcome.passed_over:
        from envc.cli.passed_over import tell_passed_over  # late: few locks have any

        tell_passed_over(outcome, terminal)
    return 0


def _verify(project: Project, context: Context, terminal: Terminal, as_json: bool) -> int:
    from envc.pipeline.verify_lock import recheck

    found = recheck(project, context)
    if as_json:
        print_json(found)
    else:
        for problem in found.problems:
            say(f"{problem.where}: {problem.reason}")
    for package in found.yanked:
        terminal.warn(str(package), hint=package.hint)
    for file in found.restored:
        terminal.note(f"{file} is no longer yanked; the lock will record that once a step that uses it is solved again")
    name = project.manifest.lock_path.name
    if found.problems:
        terminal.note(f"{name} does not match what would be locked: {count(len(found.problems), 'problem')}")
        return 1
    terminal.note(f"{name} matches what would be locked; {count(found.checked, 'file')} found at their sources")
    if found.newer:
        newer = count(len(found.newer), "package")
        terminal.note(f"without its pins, {newer} would differ; `envc lock -U --dry-run` shows them")
    return 0
