"""Which name the search decides next."""

from __future__ import annotations

CONFLICT_THRESHOLD = 5  # candidates lost to (or thrown out by) earlier decisions before a name moves forward

_EXACT, _EARLY, _LATE, _ORDINARY = range(4)


class Priorities:
    """The order of decisions, as uv has it and as pip's experience confirms.

    First names pinned exactly by somebody; then names that keep losing candidates to earlier decisions; then names
    whose decisions keep throwing out other names' candidates; then the rest in the order in which they came up, breadth
    first. A project comes before its extras. Unlike in uv, a name that one project alone pins exactly gives way to that
    project, should it keep losing candidates for it.

    A name moves forward at most three times, and once more for each time that it gave way, which happens at most once:
    so the search ends.
    """

    __slots__ = ("_affected", "_culprits", "_exactly", "keys")

    def __init__(self) -> None:
        # By identifier: class, place of the project, place within it. Identifiers sort by when to decide them.
        self.keys: dict[str, tuple[int, int, int]] = {}
        self._affected: dict[str, int] = {}
        self._culprits: dict[str, int] = {}
        self._exactly: dict[str, set[str]] = {}  # name: projects that name its versions exactly, "" for the problem

    def add(self, name: str, extra: str) -> None:
        """Note an identifier that came up."""
        keys = self.keys
        known = keys.get(name)
        if known is None:
            known = keys[name] = (_ORDINARY, len(keys), 0)
        if extra:
            identifier = f"{name}[{extra}]"
            if identifier not in keys:
                keys[identifier] = (known[0], known[1], len(keys))

    def named_exactly(self, name: str, by: str) -> None:
        """Note that a candidate of the project `by`, or the problem for "", names versions of a project exactly."""
        known = self._exactly.setdefault(name, set())
        if by not in known:
            known.add(by)
            if self.keys[name][0] != _EXACT:
                self._move(name, _EXACT)

    def conflict(self, affected: str, culprit: str) -> bool:
        """A candidate of the project `affected` fell to the decision on `culprit`.

        Returns whether the culprit should be taken back, because the order between the two has just changed.
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
            # Which version is named follows from a decision that comes too late as long as this one stands before it.
            self._move(culprit, _LATE)
            changed = True
        return changed and self.keys[affected] < self.keys[culprit]

    def _move(self, name: str, place: int) -> None:
        prefix = f"{name}["
        for identifier, (_, number, within) in self.keys.items():
            if identifier == name or identifier.startswith(prefix):
                self.keys[identifier] = (place, number, within)
