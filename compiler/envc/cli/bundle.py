"""``envc bundle``."""

import time
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from envc.cli.commands import verb
from envc.cli.documents import BundleDocument
from envc.cli.options import AsJson, Frozen, Manifest, Offline, Quiet, Steps, Store, Targets, make_context
from envc.cli.output import bundle_lines, print_json
from envc.cli.parameters import option
from envc.cli.progress import Terminal
from envc.errors import UsageError
from envc.locking.plan.project import Selection
from envc.pipeline import single_file
from envc.pipeline.bundle import BundleRequest, bundle
from envc.pipeline.project import open_project

ENDINGS = (".tar.zst", ".zst", ".tzst")
LEVELS = {"fast": 3, "normal": 9, "small": 19}  # of zstd


class BundleOptions(msgspec.Struct, frozen=True, kw_only=True):
    manifest: Manifest = None
    targets: Targets = ()
    steps: Steps = ()
    store: Store = None
    output: Annotated[
        Path | None, option("--output", metavar="FILE", help="Also write one step on one target as a single file.")
    ] = None
    record: Annotated[bool, option("--record", help="Record the content digest of every artifact in the lock.")] = False
    size: Annotated[
        Literal["fast", "small"] | None,
        option("--fast", flag_value="fast", help="Compress less (zstd level 3)."),
        option("--small", flag_value="small", help="Compress more (zstd level 19)."),
    ] = None
    trust_store: Annotated[
        bool, option("--trust-store", help="Reuse objects that other machines made, without deriving them again.")
    ] = False
    repair: Annotated[
        bool, option("--repair", help="Read all that the store has for the steps, and make again what is damaged.")
    ] = False
    init_store: Annotated[
        bool, option("--init-store", help="Keep the store in its folder although that folder holds other files.")
    ] = False
    frozen: Frozen = False
    offline: Offline = False
    quiet: Quiet = False
    as_json: AsJson = False


@verb("bundle", BundleOptions)
def command(options: BundleOptions) -> int:
    """Write the packages of locked environments to the store, for all steps and targets or the selected ones.

    Identical environments are stored once, and existing objects are kept. FILE is a zstd-compressed tar that
    `envc hydrate`, `envc run` and any tar program can read. In a tree unpacked with tar,
    run `sh .envc/relocate.sh` first.
    """
    begin = time.monotonic()
    shipped = None
    if options.output is not None:
        _check_ending(options.output)
    with Terminal(options.quiet) as terminal:
        context = make_context(terminal, offline=options.offline)
        project = open_project(options.manifest, context)
        selection = Selection(
            steps=options.steps,
            targets=options.targets,
            store=options.store,
            init_store=options.init_store,
            frozen=options.frozen,
        )
        request = BundleRequest(
            selection=selection,
            level=LEVELS[options.size or "normal"],
            trust_store=options.trust_store,
            repair=options.repair,
            record=options.record,
        )
        if options.output is None:
            bundled = bundle(project, request, context)
        else:
            bundled, shipped = single_file.write(project, request, options.output, context)
    if options.as_json:
        print_json(BundleDocument.of(bundled, shipped))
    for line in bundle_lines(bundled, shipped, time.monotonic() - begin):
        terminal.note(line)
    return 0


def _check_ending(output: Path) -> None:
    """Raise UsageError for a file name that promises another format."""
    if output.suffix and not output.suffix[1:].isdigit() and not output.name.endswith(ENDINGS):
        hint = f"let the name end in {' or '.join(ENDINGS)}, for example {output.stem}.tar.zst"
        raise UsageError(f"--output {output.name}: a bundle is a tar file under zstd, not {output.suffix}", hint)
