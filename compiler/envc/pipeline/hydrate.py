"""``envc hydrate``: locate, then record, then hydrate, from the store alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from envc.context import Context
from envc.errors import UsageError
from envc.locking.plan.project import Project, Selection
from envc.pipeline.locate import (
    corrupt_objects_forgotten,
    interpreter_for,
    locate,
    make_ready,
    stored_environment,
    tell_holdings,
)
from envc.pipeline.project import step_target_for, this_platform

if TYPE_CHECKING:
    from envc.shipping.deliver.hydrate import Loading


class HydrateRequest(msgspec.Struct, frozen=True, kw_only=True):
    step: str
    target: str | None = None  # None: the step's target for this machine; a foreign one is only unpacked
    prefix: Path | None = None  # the folder to fill; None: one in the cache
    selection: Selection = Selection()  # the store and `frozen`; its steps and targets are not used
    loading: Loading | None = None  # how files are written to `prefix`; in the cache there is only one way


def hydrate(project: Project, request: HydrateRequest, context: Context) -> tuple[Path, bool]:
    """locate → record → hydrate. Returns the prefix, and whether this call made it.

    For a foreign target, files are unpacked without an interpreter, and only into a `prefix`. Raises UsageError,
    NotBundled, CorruptBlob, and the errors of `shipping.deliver.hydrate`.
    """
    from envc.shipping.deliver.hydrate import hydrate as fill
    from envc.shipping.format.errors import NotBundled
    from envc.shipping.prefix.places import check_place

    is_named = request.target is not None
    step_target = step_target_for(project, request.step, request.target, foreign=is_named)
    is_native = step_target.target.platform == this_platform()
    interpreter = interpreter_for(step_target, project, context) if is_native else None
    if request.prefix is None and interpreter is None:
        raise UsageError(
            f"an environment for {step_target.target.name} cannot run here", "name a folder to unpack it: --prefix"
        )
    if interpreter is not None:
        check_place(context.cwd / request.prefix if request.prefix else context.cache, step_target.interpreter)
    try:
        located = locate(project, step_target, request.selection, context)
    except NotBundled as error:
        raise tell_holdings(error, project, request.selection, context) from None
    with corrupt_objects_forgotten(context):
        if request.prefix is None and interpreter is not None:
            return make_ready(located, interpreter, context)
        prefix = context.cwd / (request.prefix or "")
        made = fill(
            stored_environment(located),
            prefix,
            interpreter=interpreter,
            cache=context.cache,
            progress=context.progress,
            loading=request.loading,
        )
        return prefix, made
