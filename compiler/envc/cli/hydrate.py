"""``envc hydrate``."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from envc.cli.commands import verb
from envc.cli.options import (
    AsJson,
    Force,
    Frozen,
    Manifest,
    Quiet,
    Store,
    is_bundle_file,
    make_context,
    refuse_with_bundle,
)
from envc.cli.output import print_json, say_path
from envc.cli.parameters import argument, option
from envc.cli.progress import Terminal
from envc.errors import UsageError
from envc.locking.plan.project import Selection
from envc.pipeline.hydrate import HydrateRequest, hydrate
from envc.pipeline.project import open_project


class HydrateOptions(msgspec.Struct, frozen=True, kw_only=True):
    step: Annotated[str, argument(metavar="STEP|FILE")]
    manifest: Manifest = None
    prefix: Annotated[
        Path | None, option("--prefix", metavar="DIR", help="Use this folder. Default: a folder of the cache.")
    ] = None
    target: Annotated[
        str | None,
        option(
            "--platform",
            "--target",
            metavar="TARGET",
            help="Use this target. A target of another platform is only unpacked.",
        ),
    ] = None
    bytecode: Annotated[
        bool, option("--bytecode", help="Compile sources to byte-code now instead of on first import.")
    ] = False
    link_mode: Annotated[
        Literal["clone", "hardlink", "copy"] | None,
        option(
            "--link-mode",
            help="Set how to share own files with other prefixes; others are copied. Default: the first that works.",
        ),
    ] = None
    no_cache: Annotated[
        bool, option("--no-cache", help="Do not share files with earlier prefixes of this machine.")
    ] = False
    store: Store = None
    frozen: Frozen = False
    force: Force = False
    quiet: Quiet = False
    as_json: AsJson = False


@verb("hydrate", HydrateOptions)
def command(options: HydrateOptions) -> int:
    """Rebuild the environment of STEP from the store alone, checking every byte. Prints the prefix.

    FILE is a single-file bundle: its name contains a path separator or ends in .zst. It needs neither a manifest nor a
    store. With --manifest it must match the lock.
    """
    from envc.shipping.deliver.hydrate import Loading

    loading = Loading(
        link_mode=options.link_mode, cached=not options.no_cache, bytecode=options.bytecode, force=options.force
    )
    if options.prefix is None and loading != Loading(force=options.force):
        raise UsageError(
            "--bytecode, --link-mode and --no-cache need --prefix", "name the folder to fill: --prefix DIR"
        )
    if options.no_cache and options.link_mode:
        raise UsageError("--no-cache shares no files, so --link-mode has no effect", "leave out one of them")
    with Terminal(options.quiet) as terminal:
        context = make_context(terminal, offline=True, force=options.force)
        if is_bundle_file(options.step):
            from envc.pipeline import single_file

            refuse_with_bundle(options.step, platform=options.target, store=options.store, frozen=options.frozen)
            project = open_project(options.manifest, context) if options.manifest else None
            prefix, made = single_file.hydrate(Path(options.step), options.prefix, project, context, loading)
        else:
            project = open_project(options.manifest, context, checked=(options.step,))
            request = HydrateRequest(
                step=options.step,
                target=options.target,
                prefix=options.prefix,
                selection=Selection(store=options.store, frozen=options.frozen),
                loading=loading,
            )
            prefix, made = hydrate(project, request, context)
    if options.as_json:
        from envc.cli.documents import HydratedDocument

        print_json(HydratedDocument(prefix=str(prefix), made=made))
    else:
        say_path(prefix)
    return 0
