"""The console command: run one command line, and map every outcome to an exit code.

A verb is imported when it is called, to keep start-up fast (`envc.cli.startup`).
"""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

from envc.cli import startup
from envc.cli.verbs import VERBS, load_verb

if TYPE_CHECKING:
    from envc.errors import EnvcError

INTERRUPTED = 130  # 128 plus the number of SIGINT, as shells report it
# Never a bug of envc, wherever raised: the disk refuses, or a user named such a path.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP)


def main() -> None:
    """The console command. Exit codes: 0 done, 1 expected failure, 2 usage or unexpected error, 130 interrupted."""
    startup.end_at_interrupts()
    startup.open_standard_streams()
    startup.collect_rarely()
    startup.import_basics()
    try:
        startup.raise_interrupts()
        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before the command began, or while an earlier one was reported
        code = INTERRUPTED
    startup.end_at_interrupts()
    startup.skip_last_collection()
    # Python would wait for threads that are waiting for servers, and a second Ctrl-C would show a traceback. It does
    # not wait for daemon threads, and some libraries crash if one is running when the interpreter is finalised.
    if (code == INTERRUPTED or _daemons_are_running()) and _flush():
        os._exit(code)
    sys.exit(code)


def run(args: list[str]) -> int:
    """Run one command line and return its exit code. Never raises; shows a traceback only with ENVC_TRACEBACK set."""
    from envc.cli.global_options import take, takes_any
    from envc.cli.output import OutputFailed, flush_output, report_bug, report_error, tell
    from envc.errors import EnvcError

    as_json = "--json" in (args[: args.index("--")] if "--" in args else args)
    try:
        if takes_any(args):
            args = take(args)
        call = load_verb(args[0]).read(args[1:]) if args and args[0] in VERBS else None
        if call is not None:
            code = call()
        else:
            from envc.cli.group import run_by_click

            code = run_by_click(args, as_json)
        flush_output()
        return code
    except OutputFailed as error:
        if not error.is_unread:
            report_error(error, as_json=False)
        return error.exit_code
    except EnvcError as error:
        report_error(error, as_json)
        return error.exit_code
    except KeyboardInterrupt:
        tell("interrupted: no file is half-written; run the same command again to continue")
        return INTERRUPTED
    except Exception as error:
        expected = _expected(error)
        if expected is not None:
            report_error(expected, as_json)
            return expected.exit_code
        report_bug(error, as_json)
        return 2


def _expected(error: Exception) -> EnvcError | None:
    """The failure of this machine that an exception stands for, wherever it was raised; None for a bug."""
    from envc.errors import Inaccessible, exhausted

    if isinstance(error, OSError) and error.errno in _DISK and error.filename is not None:
        return Inaccessible(error.filename, error)
    return exhausted(error)


def _daemons_are_running() -> bool:
    threading = sys.modules.get("threading")
    return threading is not None and any(thread.daemon for thread in threading.enumerate())


def _flush() -> bool:
    """Flush standard output and error. Returns False on failure, which Python itself reports at exit."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return False
    return True
