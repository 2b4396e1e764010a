"""Threads that do pieces of work on the objects of a tree, until the first of them fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Self

from envc.system.cores import usable_cores


class WritePool:
    """One thread more than there are cores, for one of them is mostly in the kernel; or as many as it is told."""

    def __init__(self, threads: int | None = None) -> None:
        self._pool = ThreadPoolExecutor(threads or usable_cores() + 1, thread_name_prefix="envc-write")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """What has begun is waited for, and nothing else begins."""
        self._pool.shutdown(cancel_futures=True)

    def do(self, work: Callable[[], None]) -> Future[None]:
        """Begin a piece of work, soon."""
        return self._pool.submit(work)


def finish(pieces: Iterable[Future[None]]) -> None:
    """Wait until all of these have been done. Raises the first failure, at once."""
    done, _ = wait(pieces, return_when=FIRST_EXCEPTION)
    for piece in done:
        piece.result()
