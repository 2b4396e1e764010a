"""The console command: run one command line, and map every outcome to an exit code.

A verb is imported when it is called, to keep start-up fast (`envc.cli.startup`).
"""

from __future__ import annotations

import errno
import os
import sys

from envc.cli import startup
from envc.cli.verbs import VERBS, load_verb

INTERRUPTED = 130  # 128 plus the number of SIGINT, as shells report it
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)  # never a bug of envc, wherever raised


def main() -> None:
    """The console command. Exit codes: 0 done, 1 expected failure, 2 usage or unexpected error, 130 interrupted."""
    startup.collect_rarely()
    startup.import_basics()
    code = run(sys.argv[1:])
    startup.skip_last_collection()
    # Python would wait for threads that are waiting for servers, and a second Ctrl-C would show a traceback. It does
    # not wait for daemon threads, and some libraries crash if one is running when the interpreter is finalised.
    if (code == INTERRUPTED or _daemons_are_running()) and _flush():
        os._exit(code)
    sys.exit(code)


def run(args: list[str]) -> int:
    """Run one command line and return its exit code. Never raises; shows a traceback only with ENVC_TRACEBACK set."""
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
        print("interrupted: no file is half-written; run the same command again to continue", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has closed the pipe. Python would report it again when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK and error.filename is not None:
            report_error(Inaccessible(error.filename, error), as_json)
            return Inaccessible.exit_code
        report_bug(error, as_json)
        return 2


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
