"""The bars that the circuit engine is held to, and where a run stands."""

from __future__ import annotations

from typing import Any

from _circuit.peers import FASTEST_PEER, PAPERS_ENGINE

ALU_FLOOR_MS = 0.75
"""Least time for 256 samples' arithmetic on one AVX-512 core of 3.6 GHz, counted by hand: 0.75 to 1 ms."""


def judge(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every bar with its limit, what was measured (None: nothing), and whether it is met."""
    ours = results["paper"][0]
    families = {row["family"]: row["relative_to_papers"] for row in results["families"]}
    slowest = max(families, key=families.__getitem__)
    bars = [
        _bar("times as fast as TensorCircuit-NG + JAX, batch 64", _ratio(results, FASTEST_PEER, "64"), 10),
        _bar("times as fast as TensorCircuit-NG + JAX, batch 256", _ratio(results, FASTEST_PEER, "256"), 20),
        _bar("times as fast as the paper's engine, batch 64", _ratio(results, PAPERS_ENGINE, "64"), 800),
        _bar("times as fast as the paper's engine, batch 256", _ratio(results, PAPERS_ENGINE, "256"), 800),
        _bar("times the ALU floor, batch 256", ours["step"]["256"]["cpu_ms"] / ALU_FLOOR_MS, 4, at_most=True),
        _bar("µs wall, forward, batch 1", 1e3 * ours["forward"]["1"]["wall_ms"], 100, at_most=True),
        *(
            _bar(f"times as fast on two threads as on one, wall, batch {row['batch']}", row["speedup"], 1.7)
            for row in results["threads"]
        ),
        _bar(
            "MB above `import torch`, batch 256", results["memory"]["peak_above_torch_mb"], 100, at_most=True
        ),
        _bar(
            f"times the paper's time a stage, slowest family ({slowest})", families[slowest], 3, at_most=True
        ),
    ]
    if not results["threads"]:
        bars.append(_bar("times as fast on two threads as on one, wall", None, 1.7))
    return bars


def _bar(name: str, measured: float | None, limit: float, *, at_most: bool = False) -> dict[str, Any]:
    met = None if measured is None else measured <= limit if at_most else measured >= limit
    return {"bar": name, "at_most" if at_most else "at_least": limit, "measured": measured, "met": met}


def _ratio(results: dict[str, Any], peer: tuple[str, str], batch: str) -> float | None:
    for row in results["peers"]:
        if (row["peer"], row["arguments"]) == peer and "failed" not in row:
            return float(row["times_ours"]["step"][batch])
    return None
