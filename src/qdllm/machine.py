"""What a measurement was made on: results without machine, versions and date are worth little."""

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import qdllm

__all__ = ["describe_machine"]


def describe_machine(*packages: str) -> dict[str, Any]:
    """Describe this machine for a results file.

    Parameters
    ----------
    *packages : str
        Installed distributions whose versions matter.

    Returns
    -------
    dict
        ``date`` (UTC), ``cpu``, ``cores``, ``python``, ``qdllm`` and the version of each package.
    """
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        "qdllm": qdllm.__version__,
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
