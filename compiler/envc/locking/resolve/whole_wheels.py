"""Checks newly locked wheels that the run has read as a whole, so that `lock` refuses what `bundle` would refuse.

These are wheels of local sources, of indexes that state no digests, of direct references, and built ones. Of others,
only METADATA is known. Contents are compared with RECORD by `bundle`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from envc.locking.plan.closure import Closures
from envc.locking.plan.expand import StepTarget
from envc.model.digest import Sha256
from envc.model.graph import LockGraph
from envc.model.progress import Progress
from envc.shipping.deliver.path_conflicts import check_portable
from envc.shipping.unpack.errors import FaultyRecord
from envc.shipping.unpack.wheel import open_wheel


def check_wheels(
    graph: LockGraph,
    step_targets: Iterable[StepTarget],
    files: Mapping[Sha256, Path],
    *,
    strict: bool,
    progress: Progress,
) -> None:
    """Check the wheels of these step-targets among `files`, which are verified, and warn about odd ones.

    `strict` is the policy for RECORD. Raises BadArtifact and Unportable.
    """
    closures = Closures(graph)
    checked: set[tuple[Sha256, str, str]] = set()
    told: set[str] = set()
    for step_target in step_targets:
        platform = step_target.target.facts
        for member in closures.environment(step_target, is_coherent=True).members:
            path = files.get(member.sha256)
            key = member.sha256, member.layout, platform.name
            if member.kind != "pypi" or path is None or key in checked:
                continue
            checked.add(key)
            with open_wheel(path, member.file, member.layout) as wheel:
                if strict and wheel.record_faults:
                    raise FaultyRecord(wheel.file, wheel.record_faults[0])
                check_portable(f"{member.name} {member.version}", wheel.members, platform, member.layout)
                for warning in wheel.warnings:
                    if warning not in told:
                        told.add(warning)
                        progress.warn(warning)
