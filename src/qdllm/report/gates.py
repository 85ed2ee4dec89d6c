"""The roadmap: stages from simulation to production, and the number that opens the gate of each.

The limits are stated in the report. They are this project's rule of thumb, the same for every run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["ALPHA", "PARTS", "STAGES", "gates"]

ALPHA = 0.05
"""Below this, a difference counts as shown."""

PARTS = ("no-circuit", "no-entanglement")
"""The controls that the circuit has to beat to have earned its place."""

STAGES = {
    "simulation": ("accuracy", "test_rows", "control"),
    "circuit": ("circuit",),
    "noise": ("noise",),
    "chip": ("chip",),
    "production": ("surrogate", "payback"),
}
"""The gates of each stage, in order."""

# A gate: its limit, and whether the value has to stay at or below it.
_LIMITS = {
    "accuracy": (0.95, False),  # share of the teacher's accuracy
    "test_rows": (0.03, True),  # half of the 95 % interval of the student's accuracy
    "control": (0.01, True),  # lead of a simpler model that is shown to be better
    "circuit": (0.0, False),  # lower end of the 95 % interval of what the circuit gains
    "noise": (0.01, True),  # accuracy lost on a simulated noisy chip
    "chip": (0.02, True),  # accuracy lost on a real chip
    "surrogate": (0.99, False),  # share of answers that the classical formula leaves as they are
    "payback": (24.0, True),  # months
}

Found = dict[str, Any]


def gates(figures: Mapping[str, Any]) -> list[Found]:
    """Judge every gate by the figures of a report.

    Returns
    -------
    list of dict
        ``key``, ``stage``, ``limit``, ``at_most``, ``value`` (None where it was not measured) and ``status``:
        "passed", "failed" or "open".
    """
    values = {
        "accuracy": figures["own"]["share_of_teacher"],
        "test_rows": _of(figures["own"]["student"], "half_width"),
        "control": _lead(figures["comparison"]),
        "circuit": _gain(figures["comparison"]),
        "noise": _loss(figures["devices"], "noisy"),
        "chip": _loss(figures["devices"], "chip"),
        "surrogate": _of(figures["surrogate"], "agreement"),
        "payback": None if figures["costs"]["assumed"] else figures["costs"]["months"],
    }
    return [
        {
            "key": key,
            "stage": stage,
            "limit": _LIMITS[key][0],
            "at_most": _LIMITS[key][1],
            "value": values[key],
            "status": _status(values[key], *_LIMITS[key]),
        }
        for stage, keys in STAGES.items()
        for key in keys
    ]


def _status(value: float | None, limit: float, at_most: bool) -> str:
    if value is None:
        return "open"
    # At 0 a gain is none: the circuit has to gain something.
    passed = value <= limit if at_most else value >= limit and value > 0
    return "passed" if passed else "failed"


def _of(found: Mapping[str, Any] | None, name: str) -> float | None:
    value: float | None = None if found is None else found[name]
    return value


def _lead(comparison: Mapping[str, Any] | None) -> float | None:
    """By how much the best of the models that are shown to be better leads; 0 where none is."""
    if comparison is None:
        return None
    differences = [m["difference"] for m in comparison["models"] if m["difference"] is not None]
    if not differences:
        return None
    return max([-d["value"] for d in differences if d["value"] < 0 and d["p"] < ALPHA], default=0.0)


def _gain(comparison: Mapping[str, Any] | None) -> float | None:
    """Return the least that the circuit and its entanglement gain: the lower end of the worse interval."""
    if comparison is None:
        return None
    found = {m["name"]: m["difference"] for m in comparison["models"] if m["difference"] is not None}
    if any(name not in found for name in PARTS):
        return None
    return min(_least(found[name]) for name in PARTS)


def _least(difference: Mapping[str, float]) -> float:
    """Return the lower end of the interval, at most 0 where no difference is left shown."""
    low = difference["low"]
    return low if difference["p"] < ALPHA else min(low, 0.0)


def _loss(devices: list[Mapping[str, Any]], kind: str) -> float | None:
    """Return the accuracy lost on the latest run of this kind."""
    losses = [run["loss"] for run in devices if run["kind"] == kind and run["loss"] is not None]
    return losses[-1] if losses else None
