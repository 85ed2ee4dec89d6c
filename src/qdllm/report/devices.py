"""The reader of devices/ID.json: what shots, noise and chips did to the student."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qdllm.files import read_versioned

__all__ = ["read_devices"]

# Infinitely many shots; shots alone; shots and noise; corrected as far as it goes.
_WAYS = ("exact", "sampled", "raw", "mitigated")


def read_devices(folder: Path) -> list[dict[str, Any]]:
    """Return the runs on backends, the oldest first.

    Parameters
    ----------
    folder : Path
        ``RUN/devices``; it need not be there.

    Raises
    ------
    DataError
        If a file there is not what `qdllm run` writes.
    """
    found = [read_versioned(path, "qdllm.devices") for path in sorted(folder.glob("*.json"))]
    return [_told(content) for content in sorted(found, key=lambda content: str(content["date"]))]


def _told(content: Mapping[str, Any]) -> dict[str, Any]:
    accuracy = {way: _accuracy(content.get(way)) for way in _WAYS}
    exact, last = accuracy["exact"], accuracy["mitigated"] or accuracy["raw"]
    calibration = content["calibration"]
    return {
        "backend": content["backend"],
        "kind": "chip" if content["is_real"] else "ideal" if calibration is None else "noisy",
        "shots": content["shots"],
        "rows": content["n_rows"],
        "date": content["date"],
        "calibration": None if calibration is None else calibration["id"],
        "jobs": ", ".join(map(str, content["jobs"])),
        "accuracy": accuracy,
        "loss": None if exact is None or last is None else exact["value"] - last["value"],
    }


def _accuracy(found: Mapping[str, Any] | None) -> dict[str, float] | None:
    if found is None:
        return None
    return {"value": found["accuracy"], "low": found["accuracy_low"], "high": found["accuracy_high"]}
