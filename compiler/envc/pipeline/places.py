"""Lines of the manifest for what is said about it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from envc.errors import render_key_path
from envc.locking.plan.expand import StepTarget
from envc.locking.plan.freshness import Reason
from envc.locking.plan.project import Project
from envc.model.manifest import KeyPath, Manifest


def reasons(project: Project) -> tuple[Reason, ...]:
    """Why the lock is out of date, sorted, with the lines of the manifest."""
    return with_lines(project.manifest, project.freshness.reasons) if project.freshness is not None else ()


def with_lines(manifest: Manifest, reasons: tuple[Reason, ...]) -> tuple[Reason, ...]:
    """The reasons with the lines that say so. Reads the manifest again, if there is something to say."""
    if not any(reason.at for reason in reasons):
        return reasons
    from envc.locking.manifest.positions import Positions

    positions = Positions(manifest.path.read_text(encoding="utf-8-sig"))

    def line(at: KeyPath) -> int | None:
        place = positions.of((*manifest.prefix, *at)) if at else None
        return place[0] if place is not None else None

    return tuple(msgspec.structs.replace(reason, line=line(reason.at)) for reason in reasons)


def line_labels(manifest: Manifest, step_targets: tuple[StepTarget, ...]) -> Callable[[str], str]:
    """Adds to a rendered key path the line of the manifest where it stands. Reads the manifest when first asked."""
    lines: dict[str, int] = {}

    def label(origin: str) -> str:
        if not lines:
            from envc.locking.manifest.positions import Positions

            positions = Positions(manifest.path.read_text(encoding="utf-8-sig"))
            pypi = (
                *manifest.constraints.pypi,
                *manifest.overrides.pypi,
                *(d for step_target in step_targets for d in step_target.pypi),
            )
            conda = (
                *manifest.constraints.conda,
                *manifest.overrides.conda,
                *(d for step_target in step_targets for d in step_target.conda),
            )
            written: list[KeyPath] = [dependency.at for dependency in pypi]
            written += [dependency.at for dependency in conda]
            written += [("project", "python")]
            written += [("steps", step, key) for step in manifest.steps for key in ("python", "interpreter")]
            for at in written:
                place = positions.of((*manifest.prefix, *at))
                if place is not None:
                    lines[render_key_path(at)] = place[0]
        before, space, key = origin.rpartition(" ")
        return f"{before}{space}{key}, line {lines[key]}" if key in lines else origin

    return label
