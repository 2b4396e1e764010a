"""What a store holds instead of a step that is not in it, for a message."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple
from urllib.parse import unquote

from envc.errors import StoreError
from envc.model.digest import Sha256
from envc.shipping.store.blobs import Blobs
from envc.shipping.store.keys import STEPS, escape, is_own

_SHOWN = 3  # names in one message
_LISTED = 10_000  # keys that are looked at


class _Step(NamedTuple):
    """A step on a target, for one lock of one project."""

    project: str
    lock: str
    step: str
    target: str

    @property
    def text(self) -> str:
        return f"{self.step} on {self.target}"


def holdings(store: Blobs, project: str, lock: Sha256) -> str:
    """What a store holds for this lock, else of this project, else at all: ``it holds …``.

    "" if the store cannot be listed. Lists the steps of the project, and of all projects if there are none.
    """
    try:
        own = _steps(store, f"{STEPS}/{escape(project)}")
        here = [each for each in own if each.lock == lock]
        if here:
            return f"it holds {_some(each.text for each in here)} for this lock"
        if own:
            locks = len({each.lock for each in own})
            return f"it holds {_some(each.text for each in own)} for {locks} other lock{'s' if locks > 1 else ''}"
        others = _steps(store, STEPS)
    except StoreError:
        return ""
    if others:
        names = sorted({each.project for each in others})
        return f"it holds nothing of project {project}, but of {_some(names)}"
    return "it holds no steps at all"


def _steps(store: Blobs, prefix: str) -> list[_Step]:
    found = []
    for key in islice(store.list(prefix), _LISTED):
        if is_own(key):
            project, lock, step, target = key.removeprefix(f"{STEPS}/").split("/")
            found.append(_Step(unquote(project), lock, unquote(step), unquote(target.removesuffix(".json"))))
    return found


def _some(names: Iterable[str]) -> str:
    first = list(dict.fromkeys(names))
    more = len(first) - _SHOWN
    return ", ".join(first[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
