"""Memory is estimated before it is taken."""

import os
from pathlib import Path

import torch

from qdllm.errors import TooLargeError

__all__ = ["available_memory", "fits", "require_memory"]

_ALWAYS_THERE = 2**26
_HERE = torch.device("cpu")


def available_memory(device: torch.device = _HERE) -> int:
    """Return the bytes that could be taken now: of a CUDA device, or of this machine without swapping."""
    if device.type == "cuda":
        # What torch holds and does not use is free to it.
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def require_memory(needed: int, what: str, device: torch.device = _HERE) -> None:
    """Refuse a computation that does not fit.

    Parameters
    ----------
    needed : int
        Bytes.
    what : str
        For the message, for example "40 qubits".
    device : torch.device, optional
        Where; default: this machine.

    Raises
    ------
    TooLargeError
        If more is needed than is available.
    """
    if not fits(needed, device):
        where = f"the device {device}" if device.type == "cuda" else "this machine"
        raise TooLargeError(
            f"simulating {what} needs {_size(needed)}, {where} has {_size(available_memory(device))} free: "
            "use fewer qubits or smaller batches"
        )


def fits(needed: int, device: torch.device = _HERE) -> bool:
    """Return whether that many bytes can be taken; a few always can, for asking costs time."""
    return needed < _ALWAYS_THERE or needed <= available_memory(device)


def _size(n_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.3g} EiB"
