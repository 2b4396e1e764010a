"""Measures that make start-up fast and safe, with the benefit and cost of each.

The figures are CPU time of `envc lock` with an up-to-date lock, about 60 ms in all (medians of 30 runs, Python 3.11 on
Linux). Three more measures are part of the code that they speed up:

* Plain command lines are parsed without click (`envc.cli.commands`): saves 13 ms. Costs a second parser, which a
  property test compares with click.
* A verb is imported when it is called (`envc.cli.verbs`), and imports other modules when it needs them. Costs imports
  inside functions, and a table that names modules as text.
* The cache folder is found without platformdirs on Linux (`envc.context`): saves 5 ms. Costs a copy of one rule.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` would first import enum, which takes time
import gc
import os
import sys

_ALLOCATIONS = 100_000  # before the garbage collector runs; Python's default is 700


def collect_rarely() -> None:
    """Run the garbage collector rarely.

    Saves 4 ms: the collector would run dozens of times, and most runs end before it finds anything. Costs memory in a
    long run that makes cyclic garbage: up to 100,000 such objects wait for the next collection.
    """
    gc.set_threshold(_ALLOCATIONS)


def open_standard_streams() -> None:
    """Open the null device in place of standard streams that the caller closed, as in ``envc lock 2>&-``.

    Otherwise the next file that is opened would take the number of the stream, and children would write to it. The
    device is read-only as standard output: what was asked for cannot be written there, so writing it has to fail.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            file = os.open(os.devnull, os.O_RDONLY if number < 2 else os.O_WRONLY)  # takes the lowest free number
            os.set_inheritable(file, file == number)
            setattr(sys, name, os.fdopen(file, mode, closefd=False))


def import_basics() -> None:
    """Import the modules that every verb needs, while Ctrl-C ends the process at once and without a message.

    An extension module whose import is interrupted may stay half initialised and crash much later. No work has started
    yet, so there is nothing to clean up. The cost is too small to measure.
    """
    end_at_interrupts()
    _import_msgspec()
    from envc.cli import output  # noqa: F401 - needed to report an interruption


def end_at_interrupts() -> None:
    """Let Ctrl-C end the process at once, unless SIGINT is ignored or has a handler other than Python's."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


def raise_interrupts() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again, after `end_at_interrupts`."""
    if _signal.getsignal(_signal.SIGINT) == _signal.SIG_DFL:
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)


def _import_msgspec() -> None:
    """Import msgspec as if `typing_extensions` were not installed.

    Saves 8 ms: importing `typing_extensions` takes as long as the rest of msgspec, which uses nothing from it that
    `typing` lacks since Python 3.11. Costs an entry in `sys.modules` while msgspec is imported.
    """
    _import_uuid()
    if "typing_extensions" not in sys.modules:
        sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # makes its import fail
        try:
            import msgspec  # noqa: F401
        finally:
            del sys.modules["typing_extensions"]


def _import_uuid() -> None:
    """Import `uuid`, which msgspec needs, without `platform`, of which `uuid` needs only the system's name.

    Saves 1.5 ms. Costs an entry in `sys.modules` while `uuid` is imported. If `uuid` ever needs more, both are imported
    as usual.
    """
    if "platform" in sys.modules or not hasattr(os, "uname"):
        return
    names = type(sys)("platform")
    names.system = lambda: os.uname().sysname  # type: ignore[attr-defined]  # what `platform.system` returns on POSIX
    sys.modules["platform"] = names
    try:
        import uuid  # noqa: F401
    except (AttributeError, ImportError):
        pass
    finally:
        del sys.modules["platform"]


def skip_last_collection() -> None:
    """Exempt all live objects from the collection that Python runs at exit.

    Saves 12 ms. The cost is too small to measure: the operating system frees the memory.
    """
    gc.freeze()
