"""A thread pool that writes the objects of a tree, until the first task fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Self

from envc.system.cores import usable_cores


class WritePool:
    """As many threads as given. By default one more than there are cores, since one of them is mostly in the kernel."""

    def __init__(self, threads: int | None = None) -> None:
        self._pool = ThreadPoolExecutor(threads or usable_cores() + 1, thread_name_prefix="envc-write")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the tasks that are running, and start no others."""
        self._pool.shutdown(cancel_futures=True)

    def submit(self, work: Callable[[], None]) -> Future[None]:
        """Run a task as soon as a thread is free."""
        return self._pool.submit(work)


def wait_for(tasks: Iterable[Future[None]]) -> None:
    """Wait for all of these tasks. Raises the first failure immediately."""
    done, _ = wait(tasks, return_when=FIRST_EXCEPTION)
    for task in done:
        task.result()
