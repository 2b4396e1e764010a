"""Exchanges two paths in one step, so that there is no moment at which one of them does not exist.

Linux has renameat2(2) with RENAME_EXCHANGE, macOS renamex_np(2) with RENAME_SWAP. Python offers neither. Not every
file system supports the exchange, so callers need another way as well.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

_CURRENT_FOLDER = -100  # AT_FDCWD of linux/fcntl.h
_RENAME_EXCHANGE = 2  # of linux/fs.h
_RENAME_SWAP = 2  # of sys/stdio.h on macOS
_UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EXDEV})


def exchange(one: Path, other: Path) -> bool:
    """Exchange two existing files or folders on one disk. Returns False, and changes nothing, where the system or the
    file system cannot do that. Raises other OSErrors.
    """
    if sys.platform not in ("linux", "darwin"):
        return False
    try:
        import ctypes  # only prefixes that are replaced need it
    except ImportError:  # a Python that was built without libffi
        return False
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    try:
        if sys.platform == "darwin":
            failed = library.renamex_np(*names, ctypes.c_uint(_RENAME_SWAP))
        else:
            failed = library.renameat2(
                _CURRENT_FOLDER, names[0], _CURRENT_FOLDER, names[1], ctypes.c_uint(_RENAME_EXCHANGE)
            )
    except AttributeError:  # an older C library: glibc has renameat2 since 2.28
        return False
    if failed:
        number = ctypes.get_errno()
        if number in _UNSUPPORTED:
            return False
        raise OSError(number, os.strerror(number), os.fspath(one), None, os.fspath(other))
    return True
