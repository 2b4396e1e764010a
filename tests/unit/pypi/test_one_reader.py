"""Only one thread at a time uses packaging's parser: CPython 3.11 may fail if two use it at once."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from envc_solvers.pypi.language.markers import Markers
from envc_solvers.pypi.language.requirement import parse

MARKER = "(sys_platform == 'linux' or os_name == '{}')"  # those in double quotes need no parser
READERS: dict[str, Callable[[str], object]] = {
    "markers": lambda word: Markers({"sys_platform": "linux", "os_name": "posix"}, {}).holds(MARKER.format(word)),
    "requirements": lambda word: parse(f"acme; {MARKER.format(word)}"),
}


class ParsingGarbage:
    """Garbage whose finaliser runs in the middle of parsing a text, and starts another thread that parses one."""

    def __init__(self, read: Callable[[str], object], seen: list[bool]) -> None:
        self.itself = self
        self.read = read
        self.seen = seen

    def __del__(self) -> None:
        frame = sys._getframe()
        while frame.f_back is not None:
            frame = frame.f_back
            if frame.f_globals.get("__name__") == "packaging._parser":
                other = threading.Thread(target=self.read, args=(f"other{len(self.seen)}",), daemon=True)
                other.start()
                other.join(0.2)
                self.seen.append(other.is_alive())
                return


@pytest.fixture(autouse=True)
def restored_thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize("kind", READERS)
def test_a_reader_waits_for_the_current_reader(kind: str) -> None:
    read, seen = READERS[kind], []
    read("before")  # imports also allocate objects
    for number in range(1, 200):
        gc.collect()
        gc.set_threshold(number)  # the number of allocations until the finaliser runs
        ParsingGarbage(read, seen)
        read(f"text{number}")
        if seen:
            break
    if sys.version_info >= (3, 14) and not seen:
        pytest.skip("the collector decides when finalisers run, and here none ran during parsing")
    assert seen
    assert all(seen)  # the other thread did not get in meanwhile
