"""The order in which names are decided."""

from __future__ import annotations

CONFLICT_THRESHOLD = 5  # conflicts of a name, as the affected one or as the culprit, before it moves forward

_EXACT, _EARLY, _LATE, _ORDINARY = range(4)


class Priorities:
    """The order of decisions. It follows uv, and agrees with pip's experience.

    First come names with an exact requirement; then names that lost several candidates to earlier decisions; then names
    whose decisions cost other names several candidates; then the rest in the order in which they were first required,
    breadth first. A project comes before its extras. There is one difference from uv: if only one project requires
    exact versions of a name and that project keeps losing candidates to it, the project is decided first.

    A name moves forward at most three times, and once more after it moved back for such a project, which happens at
    most once. So the search ends.
    """

    __slots__ = ("_affected", "_culprits", "_exactly", "keys")

    def __init__(self) -> None:
        # By identifier: class, position of the project, position within the project. Lower keys are decided first.
        self.keys: dict[str, tuple[int, int, int]] = {}
        self._affected: dict[str, int] = {}
        self._culprits: dict[str, int] = {}
        self._exactly: dict[str, set[str]] = {}  # name: projects that name its versions exactly, "" for the problem

    def add(self, name: str, extra: str) -> None:
        """Add an identifier that is required for the first time."""
        keys = self.keys
        known = keys.get(name)
        if known is None:
            known = keys[name] = (_ORDINARY, len(keys), 0)
        if extra:
            identifier = f"{name}[{extra}]"
            if identifier not in keys:
                keys[identifier] = (known[0], known[1], len(keys))

    def named_exactly(self, name: str, by: str) -> None:
        """Note that the project `by`, or the problem for "", requires an exact version of a project."""
        known = self._exactly.setdefault(name, set())
        if by not in known:
            known.add(by)
            if self.keys[name][0] != _EXACT:
                self._move(name, _EXACT)

    def conflict(self, affected: str, culprit: str) -> bool:
        """Note that a candidate of the project `affected` was rejected because of the decision on `culprit`.

        Returns whether that decision should be undone, because the order of the two has just changed.
        """
        self._affected[affected] = self._affected.get(affected, 0) + 1
        self._culprits[culprit] = self._culprits.get(culprit, 0) + 1
        changed = False
        if self._affected[affected] >= CONFLICT_THRESHOLD and self.keys[affected][0] > _EARLY:
            self._move(affected, _EARLY)
            changed = True
        if self._culprits[culprit] >= CONFLICT_THRESHOLD and self.keys[culprit][0] > _LATE:
            self._move(culprit, _LATE)
            changed = True
        exact = self.keys[culprit][0] == _EXACT
        if exact and self._affected[affected] >= CONFLICT_THRESHOLD and self._exactly.get(culprit) == {affected}:
            # The exact version depends on the decision on `affected`, which comes too late as long as the culprit
            # is decided first.
            self._move(culprit, _LATE)
            changed = True
        return changed and self.keys[affected] < self.keys[culprit]

    def _move(self, name: str, place: int) -> None:
        prefix = f"{name}["
        for identifier, (_, number, within) in self.keys.items():
            if identifier == name or identifier.startswith(prefix):
                self.keys[identifier] = (place, number, within)
