"""The reader of devices/ID.json: what noise, shots and chips did to the student."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qdllm.errors import DataError
from qdllm.files import read_json

__all__ = ["read_devices"]

_WAYS = ("exact", "raw", "mitigated")
_CHIPS = ("ibm:", "quafu:")  # the rest of the backends are simulations of a chip, or of an ideal one


def read_devices(folder: Path) -> list[dict[str, Any]]:
    """Return the runs on simulated and real chips, by name of file.

    Parameters
    ----------
    folder : Path
        ``RUN/devices``; it need not be there.

    Raises
    ------
    DataError
        If a file there is not what `qdllm run` writes.
    """
    return [_read(path) for path in sorted(folder.glob("*.json"))]


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path)
    try:
        ways = {way: _accuracy(content[way]) if content.get(way) else None for way in _WAYS}
        backend = str(content["backend"])
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not the result of a run on a backend ({error}); run it again") from error
    exact, last = ways["exact"], ways["mitigated"] or ways["raw"]
    return {
        "backend": backend,
        "chip": backend.startswith(_CHIPS) and not backend.lower().endswith("sim"),
        "shots": content.get("shots"),
        "rows": content.get("rows"),
        "date": content.get("date"),
        "job": content.get("job"),
        "calibration": content.get("calibration"),
        "accuracy": ways,
        "loss": None if last is None or exact is None else exact["value"] - last["value"],
    }


def _accuracy(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "value": float(found["accuracy"]),
        "low": found.get("accuracy_low"),
        "high": found.get("accuracy_high"),
    }
