"""Work in processes of their own: one thread each, gone when this process is, however it ends."""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import connection
from types import TracebackType
from typing import Self, TypeVar

from qdllm.compare.costs import one_thread
from qdllm.errors import WorkError
from qdllm.progress import silence

__all__ = ["Workers", "available_cores"]

_T = TypeVar("_T")
_R = TypeVar("_R")


def available_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """Processes that a function is run in, item by item; with one worker, this process itself.

    Every item is computed with one thread, so that results are the same for any number of workers.

    Parameters
    ----------
    count : int
        At least 1.
    """

    def __init__(self, count: int) -> None:
        self._executor: ProcessPoolExecutor | None = None
        if count > 1:
            # spawned, not forked: a forked torch may hang in a lock that a thread of the parent held
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(count, context, initializer=_begin)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._executor is None:
            return
        if kind is not None:  # what is being computed is of no use to anybody
            for child in multiprocessing.active_children():
                child.terminate()
        self._executor.shutdown(cancel_futures=True)

    def map(self, function: Callable[[_T], _R], items: Sequence[_T]) -> Iterator[tuple[_T, _R]]:
        """Yield each item with its result, as they are finished.

        Raises
        ------
        WorkError
            If a process was killed from outside, for memory as a rule.
        """
        if self._executor is None:
            for item in items:
                with one_thread():
                    result = function(item)
                yield item, result
            return
        with _deaf():
            futures = {self._executor.submit(partial(_call, function), item): item for item in items}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise WorkError(
                "a worker process was killed, as happens where memory runs out: try fewer --workers; "
                "the same command goes on from what is done"
            ) from error


def _call(function: Callable[[_T], _R], item: _T) -> _R:
    with one_thread():
        return function(item)


def _begin() -> None:
    """Be quiet, leave Ctrl-C to the parent, and end when it ends, even if it was killed."""
    silence()
    logging.captureWarnings(True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


@contextmanager
def _deaf() -> Iterator[None]:
    """Start processes with no ear for Ctrl-C: until `_begin` runs they would die of it loudly."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
