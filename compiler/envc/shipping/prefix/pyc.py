"""Compiles the files that standard input names, one relative path per line, to bytecode.

Run as ``python -s -S -B -W ignore pyc.py ROOT`` by the Python that will load the result. The files are unchecked
hash-based pycs (PEP 552): they stay valid when the times of the sources change, and equal sources give equal bytes. A
source that is not valid for this version of Python is skipped, since importing it would fail anyway. Written for
Python 3.7.
"""

from __future__ import annotations

import sys


def main() -> None:
    del sys.path[0]  # the folder of this script, from which nothing must be imported
    import os
    import py_compile

    root = sys.argv[1]
    for line in sys.stdin.buffer:
        path = os.fsdecode(line.rstrip(b"\n"))
        try:
            # The path in the code object is relative to the prefix. Python replaces it when it loads the code.
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
