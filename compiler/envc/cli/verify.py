"""``envc verify``."""

from pathlib import Path
from typing import Annotated

import msgspec

from envc.cli.commands import verb
from envc.cli.options import AsJson, Frozen, Manifest, Quiet, Steps, Store, Targets, make_context
from envc.cli.output import count, print_json, say
from envc.cli.parameters import option
from envc.cli.progress import Terminal
from envc.errors import UsageError
from envc.locking.plan.project import Selection
from envc.pipeline import upkeep
from envc.pipeline.project import open_project


class VerifyOptions(msgspec.Struct, frozen=True, kw_only=True):
    manifest: Manifest = None
    targets: Targets = ()
    steps: Steps = ()
    whole: Annotated[bool, option("--all", help="Check everything in the store, without reading the lock.")] = False
    prefix: Annotated[
        Path | None, option("--prefix", metavar="DIR", help="Check this hydrated folder instead of a store.")
    ] = None
    store: Store = None
    frozen: Frozen = False
    quiet: Quiet = False
    as_json: AsJson = False


@verb("verify", VerifyOptions)
def command(options: VerifyOptions) -> int:
    """Check every byte that the store has for the lock, or compare a prefix with its record.

    Changes nothing in the store. Exits with 1 if there is a problem. The next `envc bundle` on this machine makes
    damaged objects again, and so does `envc bundle --repair` on any machine.
    """
    whole, prefix = options.whole, options.prefix
    if (whole or prefix is not None) and (options.targets or options.steps or (whole and prefix is not None)):
        raise UsageError(
            "--all and --prefix cannot be combined, nor used with --step or --platform", "leave out all but one"
        )
    with Terminal(options.quiet) as terminal:
        context = make_context(terminal)
        if prefix is not None:
            verified = upkeep.verify_folder(prefix, context)
        elif whole:
            verified = upkeep.verify_whole_store(upkeep.open_store(options.store, options.manifest, context), context)
        else:
            project = open_project(options.manifest, context)
            selection = Selection(
                steps=options.steps, targets=options.targets, store=options.store, frozen=options.frozen
            )
            verified = upkeep.verify_steps(project, selection, context)
    if options.as_json:
        print_json(verified)
    else:
        for problem in verified.problems:
            say(f"{problem.where}: {problem.reason}")
    terminal.note(f"verified {count(verified.checked, 'item')}, {count(len(verified.problems), 'problem')}")
    return 1 if verified.problems else 0
