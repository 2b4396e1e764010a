"""Byte-code for the files that are named on standard input, one relative path a line.

Run as ``python -s -S -B -W ignore pyc.py ROOT`` by the Python that shall load the result. Files are unchecked-hash ones
(PEP 552): they stay valid whatever happens to the times of the sources, and the same source gives the same bytes. A
source that is no Python of this version is left out, as its import would have failed anyway. Written for Python 3.7.
"""

from __future__ import annotations

import sys


def main() -> None:
    del sys.path[0]  # this script's own folder, which holds nothing that is wanted
    import os
    import py_compile

    root = sys.argv[1]
    for line in sys.stdin.buffer:
        path = os.fsdecode(line.rstrip(b"\n"))
        try:
            # The name that the code carries is relative to the prefix; Python puts the real one in when it loads it.
            py_compile.compile(
                f"{root}/{path}",
                dfile=path,
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
        except (py_compile.PyCompileError, SyntaxError, UnicodeError, ValueError, RecursionError):
            pass


if __name__ == "__main__":
    main()
