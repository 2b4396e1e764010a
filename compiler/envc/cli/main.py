"""The command line: options in, one call of the pipeline, text or JSON out.

Verbs are imported when they are called: start-up is part of the product.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass
from envc.cli.verbs import VERBS, load_verb

INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it


_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)  # no mistake of ours, wherever it shows


def main() -> None:
    """The console command. Exit codes: 0 done, 1 expected failure, 2 usage or unexpected error, 130 interrupted."""
    # Most runs are over before the collector finds anything, and it would look for it many times.
    gc.set_threshold(100_000)
    on_interrupt = signal.getsignal(signal.SIGINT)
    if on_interrupt is signal.default_int_handler:
        # Nothing is begun yet, so there is nothing to end in order; and an extension module that is interrupted while
        # it is imported may be left with holes in it, and crash much later.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _import_msgspec()
    from envc.cli import output  # noqa: F401 - how an interruption is told

    signal.signal(signal.SIGINT, on_interrupt)
    code = run(sys.argv[1:])
    gc.freeze()  # what is alive now needs not be looked through on the way out
    # Python would first wait for threads that wait for servers, and show a traceback to who interrupts that; and where
    # it does not wait, as for daemons, it ends under them, which some libraries answer with a crash.
    if (code == INTERRUPTED or _daemons_are_at_work()) and _flush():
        os._exit(code)
    sys.exit(code)


def run(args: list[str]) -> int:
    """Run one command line and return its exit code; never raises, never shows a traceback unless asked to."""
    from envc.cli.output import report_bug, report_error
    from envc.errors import EnvcError, Inaccessible

    as_json = "--json" in (args[: args.index("--")] if "--" in args else args)
    try:
        call = load_verb(args[0]).read(args[1:]) if args and args[0] in VERBS else None
        if call is not None:
            return call()
        from envc.cli.group import run_by_click

        return run_by_click(args, as_json)
    except EnvcError as error:
        report_error(error, as_json)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: nothing is half-written; run the same command again and it goes on", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output stopped; Python would complain again while it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK and error.filename is not None:
            report_error(Inaccessible(error.filename, error), as_json)
            return Inaccessible.exit_code
        report_bug(error, as_json)
        return 2


def _daemons_are_at_work() -> bool:
    threading = sys.modules.get("threading")
    return threading is not None and any(thread.daemon for thread in threading.enumerate())


def _flush() -> bool:
    """Whether all that was said could be said. Python tells of what could not."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return False
    return True


def _import_msgspec() -> None:
    """Import msgspec as where `typing_extensions` is not installed: that one takes as long as all the rest of it.

    What msgspec asks of it stands in `typing` since Python 3.11.
    """
    if "typing_extensions" not in sys.modules:
        sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # "there is no such module"
        try:
            import msgspec  # noqa: F401
        finally:
            del sys.modules["typing_extensions"]
