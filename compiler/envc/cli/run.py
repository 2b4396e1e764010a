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
from envc.cli.parameters import argument, option
from envc.cli.progress import Terminal
from envc.locking.plan.project import Selection
from envc.pipeline.project import open_project
from envc.pipeline.run import RunRequest, run


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    step: Annotated[str, argument(metavar="STEP|FILE")]
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
    frozen: Frozen = False
    force: Force = False
    offline: Offline = False
    quiet: Quiet = False


@verb("run", RunOptions)
def command(options: RunOptions) -> int:
    """Run STEP in its environment: its `run` command, or the command after `--`.

    Locks if there is no lock, then bundles and hydrates whatever is missing.

    FILE is a single-file bundle: its name contains a path separator or ends in .zst. It needs neither a manifest nor a
    store. With --manifest it must match the lock.
    """
    with Terminal(options.quiet) as terminal:
        context = make_context(terminal, offline=options.offline, force=options.force)
        if is_bundle_file(options.step):
            from envc.pipeline import single_file

            refuse_with_bundle(
                options.step,
                platform=options.target,
                store=options.store,
                from_store=options.from_store,
                frozen=options.frozen,
            )
            project = open_project(options.manifest, context) if options.manifest else None
            return single_file.run(Path(options.step), options.arguments, project, context)
        project = open_project(options.manifest, context, checked=(options.step,))
        request = RunRequest(
            step=options.step,
            command=options.arguments,
            target=options.target,
            selection=Selection(store=options.store, frozen=options.frozen),
            from_store=options.from_store,
        )
        return run(project, request, context)
