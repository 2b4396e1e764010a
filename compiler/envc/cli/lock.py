"""``envc lock``."""

from __future__ import annotations

import click

from envc import pipeline
from envc.cli import options
from envc.cli.documents import LockedDocument
from envc.cli.output import lock_lines, print_json
from envc.cli.progress import Terminal
from envc.project import check as must_be_fresh
from envc.project import open_project


@click.command("lock")
@click.argument("manifest", required=False)
@click.option("--check", is_flag=True, help="Change nothing; exit 1 with every reason when the lock is out of date.")
@click.option("-U", "--upgrade", is_flag=True, help="Let every package move to the newest version that is allowed.")
@click.option(
    "-P",
    "--upgrade-package",
    "packages",
    multiple=True,
    metavar="NAME[==VERSION]",
    help="Let this package move; may be given several times.",
)
@click.option("--dry-run", is_flag=True, help="Solve and show what would change, but write nothing.")
@click.option("--refresh", is_flag=True, help="Ask the indexes again, however recently they were asked.")
@options.offline_option()
@options.quiet_option()
@options.json_option()
def command(
    manifest: str | None,
    check: bool,
    upgrade: bool,
    packages: tuple[str, ...],
    dry_run: bool,
    refresh: bool,
    offline: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Compile MANIFEST into its lock file.

    Pins stay unless the manifest forces a change. A lock that is up to date is left alone without touching the network.
    """
    with Terminal(quiet) as terminal:
        around = options.surroundings(terminal, offline=offline, refresh=refresh)
        project = open_project(manifest, around)
        if check:
            must_be_fresh(project)
            if as_json:
                print_json({"lock": str(project.manifest.lock_path), "stale": []})
            terminal.note(f"{project.manifest.lock_path.name} is up to date")
            return 0
        request = pipeline.LockRequest(upgrade=upgrade, packages=packages, dry_run=dry_run)
        outcome = pipeline.lock(project, request, around)
    if as_json:
        print_json(LockedDocument.of(outcome))
    for line in lock_lines(outcome):
        terminal.note(line)
    return 0
