"""Files at paths that the user names, in folders that others may write to: read only if they are regular files.

A FIFO or device in place of a file would block envc for ever, or never end. Links are followed: indexes, channels and
packages on disk may consist of them. In folders of envc's own, use `beneath`.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path

_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def open_regular(path: Path) -> io.FileIO:
    """Open a regular file for reading, unbuffered. Raises OSError, with EINVAL for anything else than a file."""
    fd = os.open(path, _FLAGS)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return io.FileIO(fd)
    except BaseException:
        os.close(fd)
        raise
