"""Memory is estimated before it is taken."""

import os
from pathlib import Path

from qdllm.errors import TooLargeError

__all__ = ["available_memory", "fits", "require_memory"]

_ALWAYS_THERE = 2**26


def available_memory() -> int:
    """Return the bytes that could be taken now without swapping."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def require_memory(needed: int, what: str, available: int | None = None) -> None:
    """Refuse a computation that does not fit.

    Parameters
    ----------
    needed : int
        Bytes.
    what : str
        For the message, for example "40 qubits".
    available : int, optional
        Bytes; default `available_memory`.

    Raises
    ------
    TooLargeError
        If more is needed than is available.
    """
    if not fits(needed, available):
        free = available_memory() if available is None else available
        raise TooLargeError(
            f"simulating {what} needs {_size(needed)}, this machine has {_size(free)} free: "
            "use fewer qubits or smaller batches"
        )


def fits(needed: int, available: int | None = None) -> bool:
    """Return whether that many bytes can be taken; a few always can, for asking costs time."""
    return needed < _ALWAYS_THERE or needed <= (available_memory() if available is None else available)


def _size(n_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.3g} EiB"
