"""One timing rule for ours and the peers: CPU time of this process, the median after a warm-up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from qdllm.errors import ConfigError

_WARM_UPS = 2
_SHORTEST = 0.002  # seconds: what is shorter is called several times a reading
_MOST = 200


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, in CPU time of the process and in wall time, once a reading."""

    cpu: tuple[float, ...] = ()
    wall: tuple[float, ...] = ()

    def __add__(self, other: Timing) -> Timing:
        """Pool the readings of two rounds."""
        return Timing(self.cpu + other.cpu, self.wall + other.wall)

    def as_dict(self) -> dict[str, float]:
        """Return medians and minima in milliseconds, and the number of readings."""
        return {
            "cpu_ms": 1e3 * float(np.median(self.cpu)),
            "cpu_min_ms": 1e3 * min(self.cpu),
            "wall_ms": 1e3 * float(np.median(self.wall)),
            "wall_min_ms": 1e3 * min(self.wall),
            "readings": len(self.cpu),
        }


def time_call(run: Callable[[], object], seconds: float, readings: int) -> Timing:
    """Call `run` for that many seconds and at least that many readings, but no more than 200."""
    for _ in range(_WARM_UPS):
        run()
    started = time.perf_counter()
    run()
    once = time.perf_counter() - started
    calls = max(1, int(_SHORTEST / once))
    cpu: list[float] = []
    wall: list[float] = []
    started = time.perf_counter()
    while len(cpu) < readings or (time.perf_counter() - started < seconds and len(cpu) < _MOST):
        wall_start, cpu_start = time.perf_counter(), time.process_time()
        for _ in range(calls):
            run()
        cpu.append((time.process_time() - cpu_start) / calls)
        wall.append((time.perf_counter() - wall_start) / calls)
    return Timing(tuple(cpu), tuple(wall))


def usable_cores() -> list[int]:
    """Return the cores that this process may run on.

    Raises
    ------
    ConfigError
        If the system cannot tie a process to a core.
    """
    if not hasattr(os, "sched_getaffinity"):
        raise ConfigError("qdllm bench circuit ties itself to one core, which only Linux allows")
    return sorted(os.sched_getaffinity(0))


@contextmanager
def running_on(cores: list[int]) -> Iterator[None]:
    """Tie this process, and those it starts, to some cores while the block runs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
