"""``envc run``."""

from pathlib import Path
from typing import Annotated

import msgspec

from envc.cli.commands import verb
from envc.cli.options import (
    Force,
    Frozen,
    Manifest,
    Offline,
    Quiet,
    Store,
    is_bundle_file,
    make_context,
    refuse_with_bundle,
)
from envc.cli.output import print_json, say, tell
from envc.cli.parameters import argument, option
from envc.cli.progress import Terminal
from envc.errors import UsageError
from envc.locking.plan.project import Project, Selection
from envc.pipeline.project import open_project
from envc.pipeline.run import RunRequest, run


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    step: Annotated[str | None, argument(metavar="[STEP|FILE]")] = None
    arguments: Annotated[tuple[str, ...], argument(metavar="[-- CMD...]")] = ()
    manifest: Manifest = None
    target: Annotated[
        str | None,
        option(
            "--platform",
            "--target",
            metavar="TARGET",
            help="Use this target, which must be for this machine's platform.",
        ),
    ] = None
    store: Store = None
    from_store: Annotated[bool, option("--from-store", help="Run the bundled code instead of the working tree's.")] = (
        False
    )
    needs: Annotated[bool, option("--needs", help="First run the steps that STEP needs.")] = False
    all: Annotated[bool, option("--all", help="Run all steps, each after the steps that it needs.")] = False
    jobs: Annotated[
        int | None,
        option(
            "-j",
            "--jobs",
            metavar="N",
            minimum=1,
            help="Run at most N steps at the same time, with --needs or --all. Default: one for each core.",
        ),
    ] = None
    keep_going: Annotated[
        bool,
        option("-k", "--keep-going", help="After a failure, still run the steps that do not need the failed one."),
    ] = False
    frozen: Frozen = False
    force: Force = False
    offline: Offline = False
    quiet: Quiet = False
    as_json: Annotated[bool, option("--json", help="List the steps as JSON. Only without STEP.")] = False


@verb("run", RunOptions)
def command(options: RunOptions) -> int:
    """Run STEP in its environment: its `run` command, or the command after `--`.

    Locks if there is no lock, then bundles and hydrates whatever is missing. Without STEP, lists the steps.

    With --needs or --all, several steps run, each after the steps that it `needs`, and their lines are printed behind
    their names. The exit code is that of the first step that failed.

    FILE is a single-file bundle: its name contains a path separator or ends in .zst. It needs neither a manifest nor a
    store. With --manifest it must match the lock.
    """
    runs_several = options.needs or options.all
    if options.as_json and (options.all or options.step is not None):
        raise UsageError("--json lists the steps, and the output of a run is that of its steps", "leave out --json")
    if not runs_several and (options.jobs or options.keep_going):
        raise UsageError("--jobs and --keep-going are for several steps", "add --needs or --all")
    if options.all and options.step is not None:
        raise UsageError(f"--all runs every step, and {options.step} is named", "leave out one of them")
    with Terminal(options.quiet) as terminal:
        context = make_context(terminal, offline=options.offline, force=options.force)
        if options.step is None and not options.all:
            return _list_steps(open_project(options.manifest, context, checked=()), as_json=options.as_json)
        if options.step is not None and is_bundle_file(options.step):
            from envc.pipeline import single_file

            refuse_with_bundle(
                options.step,
                platform=options.target,
                store=options.store,
                from_store=options.from_store,
                frozen=options.frozen,
                needs=options.needs,
            )
            project = open_project(options.manifest, context) if options.manifest else None
            return single_file.run(Path(options.step), options.arguments, project, context)
        checked = None if runs_several or options.step is None else (options.step,)
        project = open_project(options.manifest, context, checked=checked)
        request = RunRequest(
            step=options.step or "",
            command=options.arguments,
            target=options.target,
            selection=Selection(store=options.store, frozen=options.frozen),
            from_store=options.from_store,
        )
        if runs_several:
            from envc.pipeline.run_steps import RunStepsRequest, run_steps

            several = RunStepsRequest(last=request, jobs=options.jobs, keep_going=options.keep_going)
            return run_steps(project, several, context)
        return run(project, request, context)


def _list_steps(project: Project, *, as_json: bool) -> int:
    """Print the steps with their commands. Returns the exit code of a command line that lacks a word, but for JSON."""
    steps = project.manifest.steps
    if as_json:
        from envc.cli.documents import ListedStep, StepsDocument

        listed = (ListedStep(step=name, run=one.run, shell=one.shell, needs=one.needs) for name, one in steps.items())
        print_json(StepsDocument(steps=tuple(listed)))
        return 0
    width = max(map(len, steps), default=0)
    for name, step in steps.items():
        needs = f"  (needs {', '.join(step.needs)})" if step.needs else ""
        say(f"{name.ljust(width)}  {step.run or '-'}{needs}".rstrip())
    tell("name a step: `envc run STEP`, or run all of them: `envc run --all`", "error", "1;31")
    return 2
