"""What a model costs: memory to train it, bytes to keep it, time to ask it. All with one thread."""

import ctypes
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from qdllm.files import folder_bytes

__all__ = ["BATCHES", "best_time", "one_thread", "peak_memory", "saved_bytes"]

BATCHES = (1, 256)
"""Texts asked about at once, where inference is timed."""

_ROUNDS, _SECONDS = 5, 0.2  # so many rounds are timed, fewer once so much time has passed


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread: times can be compared, and sums are taken in one order on every machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def peak_memory() -> Iterator[dict[str, float | None]]:
    """Measure by how many MB the resident memory of this process rises at most while the block runs.

    Yields
    ------
    dict
        ``megabytes``, set when the block ends; None where the system keeps no high-water mark that can be
        reset (Linux does).
    """
    found: dict[str, float | None] = {"megabytes": None}
    with suppress(OSError, AttributeError):  # give back what earlier work has freed; glibc alone can
        ctypes.CDLL(None).malloc_trim(0)
    before = _reset_mark()
    yield found
    if before is not None:
        found["megabytes"] = round((_resident("VmHWM") - before) / 1024, 1)


def saved_bytes(save: Callable[[Path], object]) -> int:
    """Save into a temporary folder, and count the bytes of all files there."""
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        return folder_bytes(folder)


def best_time(ask: Callable[[Any], object], pieces: list[Any]) -> float:
    """Time asking about all pieces, one after the other.

    Parameters
    ----------
    ask : callable
        Takes a piece.
    pieces : list
        At least one.

    Returns
    -------
    float
        Seconds of the fastest of up to five rounds. Ask once before, where the first time takes longer.
    """
    best, begin = float("inf"), time.perf_counter()
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        for piece in pieces:
            ask(piece)
        ended = time.perf_counter()
        best = min(best, ended - started)
        if ended - begin > _SECONDS:
            break
    return best


def _reset_mark() -> int | None:
    """Set the high-water mark back to what is resident now, and return that in KB."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _resident("VmRSS")
    except OSError:
        return None


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
