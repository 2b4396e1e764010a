"""``envc bundle``."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from envc.cli.commands import option, verb
from envc.cli.documents import BundleDocument
from envc.cli.options import AsJson, Frozen, Manifest, Offline, Quiet, Steps, Store, Targets, make_context
from envc.cli.output import count, print_json
from envc.cli.progress import Terminal
from envc.locking.plan.project import Selection
from envc.pipeline import single_file
from envc.pipeline.bundle import BundleRequest, bundle
from envc.pipeline.project import open_project

LEVELS = {"fast": 3, "normal": 9, "small": 19}  # of zstd


class BundleOptions(msgspec.Struct, frozen=True, kw_only=True):
    manifest: Manifest = None
    targets: Targets = ()
    steps: Steps = ()
    store: Store = None
    output: Annotated[
        Path | None, option("--output", metavar="FILE", help="Also write one step-target as one file.")
    ] = None
    record: Annotated[bool, option("--record", help="Write what every artifact unpacks to into the lock.")] = False
    size: Annotated[
        Literal["fast", "small"] | None,
        option("--fast", flag_value="fast", help="Compress less (zstd 3)."),
        option("--small", flag_value="small", help="Compress more (zstd 19)."),
    ] = None
    trust_store: Annotated[
        bool, option("--trust-store", help="Reuse objects that other machines made, without deriving them.")
    ] = False
    frozen: Frozen = False
    offline: Offline = False
    quiet: Quiet = False
    as_json: AsJson = False


@verb("bundle", BundleOptions)
def command(options: BundleOptions) -> int:
    """Write the packages of locked environments to the store: every step and target, or those that are named.

    Equal environments are stored once, and objects that are there already are kept. FILE is a zstd-compressed tar,
    which `envc hydrate`, `envc run` and any tar read; `sh .envc/relocate.sh` then makes the unpacked tree run.
    """
    shipped = None
    with Terminal(options.quiet) as terminal:
        context = make_context(terminal, offline=options.offline)
        project = open_project(options.manifest, context)
        selection = Selection(steps=options.steps, targets=options.targets, store=options.store, frozen=options.frozen)
        request = BundleRequest(
            selection=selection,
            level=LEVELS[options.size or "normal"],
            trust_store=options.trust_store,
            record=options.record,
        )
        if options.output is None:
            bundled = bundle(project, request, context)
        else:
            bundled, shipped = single_file.write(project, request, options.output, context)
    if options.as_json:
        print_json(BundleDocument.of(bundled, shipped))
    terminal.note(
        f"bundled {count(len(bundled.pointers), 'step-target')} in {count(len(bundled.records), 'environment')}, "
        f"{count(len(bundled.made), 'new object')}"
    )
    return 0
