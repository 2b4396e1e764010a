"""Measures that keep start-up short and safe: what each buys, and what it costs.

The figures are CPU time of `envc lock` with an up-to-date lock, about 60 ms in all (medians of 30 runs, Python 3.11 on
Linux). Three more measures are part of the code that they speed up:

* Plain command lines are read without click (`envc.cli.commands`): saves 13 ms. Costs a second reader of command lines,
  which a property test compares with click.
* A verb is imported when it is called (`envc.cli.verbs`), and imports what its answer needs when it needs it. Costs
  imports inside functions, and a table that names modules as text.
* The cache folder is found without platformdirs on Linux (`envc.context`): saves 5 ms. Costs a copy of one rule.
"""

from __future__ import annotations

import gc
import signal
import sys

_ALLOCATIONS = 100_000  # before the garbage collector runs; Python's default is 700


def collect_rarely() -> None:
    """Run the garbage collector rarely.

    Buys 4 ms: most runs end before the collector would find anything, yet it would run dozens of times. Costs memory
    where a long run makes cyclic garbage: up to 100,000 objects of it wait for the next collection.
    """
    gc.set_threshold(_ALLOCATIONS)


def import_basics() -> None:
    """Import what every verb needs. Ctrl-C meanwhile ends the process at once, without a message.

    Buys safety: an extension module whose import is interrupted may stay half initialised and crash much later. Nothing
    has begun yet, so nothing has to be cleaned up. Costs nothing that can be measured. Where SIGINT is ignored or has a
    handler that is not Python's, it keeps that.
    """
    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_usual:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _import_msgspec()
    from envc.cli import output  # noqa: F401 - needed to report an interruption

    if is_usual:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _import_msgspec() -> None:
    """Import msgspec as if `typing_extensions` were not installed.

    Buys 8 ms: importing `typing_extensions` takes as long as all the rest of msgspec, which uses nothing of it that
    `typing` lacks since Python 3.11. Costs an entry in `sys.modules` while msgspec is imported.
    """
    if "typing_extensions" not in sys.modules:
        sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # makes its import fail
        try:
            import msgspec  # noqa: F401
        finally:
            del sys.modules["typing_extensions"]


def skip_last_collection() -> None:
    """Exempt everything that is alive from the collection that Python runs when it exits.

    Buys 12 ms. Costs nothing that can be measured: the operating system frees the memory.
    """
    gc.freeze()
