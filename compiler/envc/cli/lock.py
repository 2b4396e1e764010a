"""``envc lock``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envc.cli import lazy_click as click
from envc.cli import options
from envc.cli.output import count, lock_lines, print_json
from envc.cli.progress import Terminal
from envc.errors import UsageError
from envc.locking.plan.plan import Moves
from envc.locking.plan.project import Project, Selection, select
from envc.pipeline.lock import LockRequest, lock
from envc.pipeline.project import check as must_be_fresh
from envc.pipeline.project import open_project, warn_of_yanked

if TYPE_CHECKING:
    from envc.context import Context
    from envc_solvers.pypi.problem import Strategy


@click.command("lock")
@click.argument("manifest", required=False)
@options.manifest_option("named")
@click.option("--check", is_flag=True, help="Change nothing; exit 1 with every reason when the lock is out of date.")
@click.option("--verify", is_flag=True, help="Change nothing; solve again and look for every file where it came from.")
@click.option("-U", "--upgrade", is_flag=True, help="Let every package move to the newest version that is allowed.")
@click.option(
    "-P",
    "--upgrade-package",
    "packages",
    multiple=True,
    metavar="NAME[==VERSION]",
    help="Let this package move; may be given several times.",
)
@click.option("--step", "steps", multiple=True, metavar="S", help="Lock only these steps again; the others stay.")
@click.option("--target", "--platform", "targets", multiple=True, metavar="T", help="Only these targets or platforms.")
@options.resolution_option()
@click.option("--dry-run", is_flag=True, help="Solve and show what would change, but write nothing.")
@click.option("--refresh", is_flag=True, help="Ask the indexes again, however recently they were asked.")
@options.limit_options()
@options.offline_option()
@options.quiet_option()
@options.json_option()
def command(
    manifest: str | None,
    named: str | None,
    check: bool,
    verify: bool,
    upgrade: bool,
    packages: tuple[str, ...],
    steps: tuple[str, ...],
    targets: tuple[str, ...],
    resolution: Strategy | None,
    dry_run: bool,
    refresh: bool,
    time_limit: str | None,
    max_candidates: int | None,
    offline: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Compile MANIFEST into its lock file.

    Pins stay unless the manifest forces a change. A lock that is up to date is left alone without touching the network.
    With --step or --target the rest of the lock stays as it is, even where it is out of date.
    """
    with Terminal(quiet) as terminal:
        limits = options.limits(time_limit, max_candidates)
        context = options.surroundings(terminal, offline=offline, refresh=refresh, limits=limits)
        project = open_project(options.one_manifest(manifest, named), context, resolution)
        selection = Selection(steps=steps, targets=targets)
        if verify:
            if check or upgrade or packages or steps or targets or dry_run:
                raise UsageError("--verify looks at the whole lock as it is", "leave out what would change it")
            return _verify(project, context, terminal, as_json)
        if check:
            selected = select(project, selection)
            if project.graph is not None:
                warn_of_yanked(project.graph, context)
            graph = must_be_fresh(project, selected)
            if as_json:
                from envc.cli.documents import CheckedDocument

                print_json(CheckedDocument.of(project.manifest.lock_path, graph))
            terminal.note(f"{project.manifest.lock_path.name} is up to date")
            return 0
        moves = Moves(upgrade=upgrade, packages=packages)
        request = LockRequest(moves=moves, selection=selection, dry_run=dry_run)
        outcome = lock(project, request, context)
    if as_json:
        from envc.cli.documents import LockedDocument

        print_json(LockedDocument.of(outcome))
    for line in lock_lines(outcome):
        terminal.note(line)
    return 0


def _verify(project: Project, context: Context, terminal: Terminal, as_json: bool) -> int:
    from envc.pipeline.verify_lock import recheck

    found = recheck(project, context)
    if as_json:
        print_json(found)
    else:
        for problem in found.problems:
            print(f"{problem.where}: {problem.reason}")
    for package in found.yanked:
        terminal.warn(f"{package}\n  hint: {package.hint}")
    for file in found.restored:
        terminal.note(f"{file} is not yanked any more; the lock says so once a step with it is solved again")
    name = project.manifest.lock_path.name
    if found.problems:
        terminal.note(f"{name} is not what would be locked: {count(len(found.problems), 'problem')}")
        return 1
    terminal.note(f"{name} is what would be locked; {count(found.checked, 'file')} found where they come from")
    if found.newer:
        news = f"without its pins {count(len(found.newer), 'package')} would differ"
        terminal.note(f"{news}; `envc lock -U --dry-run` shows them")
    return 0
