"""``envc status``."""

from typing import Annotated

import msgspec

from envc.cli.commands import verb
from envc.cli.options import AsJson, Manifest, choose_manifest, make_context
from envc.cli.output import count, print_json, python_lines, say
from envc.cli.parameters import argument
from envc.cli.progress import Terminal
from envc.locking.review.status import Status, status
from envc.pipeline.places import reasons
from envc.pipeline.project import open_project


class StatusOptions(msgspec.Struct, frozen=True, kw_only=True):
    manifest: Annotated[str | None, argument()] = None
    manifest_option: Manifest = None
    as_json: AsJson = False


@verb("status", StatusOptions)
def command(options: StatusOptions) -> int:
    """Show the steps, their environments with ids, and what is out of date. Uses no network."""
    context = make_context(Terminal())
    project = open_project(choose_manifest(options.manifest, options.manifest_option), context)
    shown = status(
        project.manifest,
        project.step_targets,
        project.graph,
        project.freshness,
        reasons(project),
    )
    if options.as_json:
        print_json(shown)
    else:
        for line in _lines(shown):
            say(line)
    return 0


def _lines(shown: Status) -> list[str]:
    rows = [("step", "target", "environment", "packages", "")]
    rows += [
        (
            step.step,
            step.target,
            step.environment[:12] if step.environment else "-",
            str(step.packages) if step.environment else "-",
            "" if step.fresh else "stale" if step.environment else "not locked",
        )
        for step in shown.steps
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in rows
    ]
    if not shown.locked:
        return [*lines, "", "there is no lock file: run `envc lock`"]
    lines += ["", f"{count(len(shown.steps), 'step-target')}, {count(shown.environments, 'environment')}"]
    lines += python_lines(shown.pythons)
    lines += map(str, shown.yanked)
    if shown.passed_over:
        from envc.cli.passed_over import lines_of  # late: few locks record any

        lines += lines_of(shown.passed_over)
    if shown.fresh:
        return [*lines, "the lock is up to date"]
    return [*lines, "the lock is out of date: run `envc lock`", *(f"  {reason}" for reason in shown.reasons)]
