"""The archive of each standalone interpreter. It is chosen before the packages, because it fixes the patch release."""

from __future__ import annotations

import msgspec

from envc.context import Context
from envc.errors import Refusal, Unsolvable
from envc.fetch.standalone import NoStandalone, StandalonePython, Table, choose, read_table, table_path
from envc.locking.plan.cutoff import cutoff_timestamp
from envc.locking.plan.problems import SharedProblem, StandalonePreference
from envc.locking.resolve.refusal import Message, title_of
from envc.model.manifest import Manifest
from envc_solvers.pypi.problem import PyPIProblem
from envc_solvers.solution import Solution
from envc_solvers.target import Python

SOURCE = "standalone"  # the name of the archives' source in the lock


class Interpreters:
    """The interpreters of a run's problems, by the first step-target of each problem."""

    def __init__(self, problems: tuple[SharedProblem, ...], manifest: Manifest, context: Context) -> None:
        """Choose the archives. Raises Unsolvable with every problem without one, and UsageError for a broken table."""
        self._pins: dict[tuple[str, str], StandalonePython] = {}
        with_archive = [shared for shared in problems if shared.standalone is not None]
        if not with_archive:
            return
        table: Table | None = None
        exclude_newer = cutoff_timestamp(manifest.exclude_newer, context.now)
        refusals: list[Refusal] = []
        for shared in with_archive:
            step_target, preference = shared.step_targets[0], shared.standalone or StandalonePreference()
            kept = _kept(preference, step_target.python, exclude_newer)
            if kept is not None:
                self._pins[step_target.step, step_target.key] = kept
                continue
            table = table or read_table(table_path(manifest.standalone, manifest.root))
            try:
                self._pins[step_target.step, step_target.key] = choose(
                    table,
                    step_target.target,
                    step_target.python,
                    version=preference.requested,
                    exclude_newer=exclude_newer,
                )
            except NoStandalone as error:
                why = Message(str(error), error.data())
                refusals.append(Refusal(title=title_of(shared), why=why, suggestion=error.hint or ""))
        if refusals:
            raise Unsolvable(tuple(refusals))

    def with_interpreter(self, shared: SharedProblem) -> SharedProblem:
        """The problem with the full version of its interpreter, on which markers and Requires-Python depend."""
        pin = self._of(shared)
        if pin is None or not isinstance(shared.problem, PyPIProblem):
            return shared
        python = msgspec.structs.replace(shared.problem.python, patch=pin.patch)
        return msgspec.structs.replace(shared, problem=msgspec.structs.replace(shared.problem, python=python))

    def solution(self, shared: SharedProblem, solution: Solution) -> Solution:
        """The solution with its interpreter among the pins."""
        pin = self._of(shared)
        if pin is None:
            return solution
        pins = sorted((*solution.pins, pin.as_pin(SOURCE)), key=lambda each: (each.kind, each.name))
        return msgspec.structs.replace(solution, pins=tuple(pins))

    def _of(self, shared: SharedProblem) -> StandalonePython | None:
        return self._pins.get((shared.step_targets[0].step, shared.step_targets[0].key))


def _kept(preference: StandalonePreference, python: Python, exclude_newer: int | None) -> StandalonePython | None:
    """The archive that is locked, unless another one is requested or it is no longer allowed.

    The table need not list it any more: it has only the newest build of each version.
    """
    if preference.locked is None or preference.requested is not None or len(preference.locked.artifacts) != 1:
        return None
    kept = StandalonePython.of_locked(preference.locked, python.implementation)
    is_allowed = exclude_newer is None or (kept.uploaded is not None and kept.uploaded < exclude_newer)
    return kept if is_allowed and python.serves_on(kept.patch) else None
