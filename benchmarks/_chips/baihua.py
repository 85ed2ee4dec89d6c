"""Make src/qdllm/devices/data/baihua.json: Baihua's published medians and ranges, drawn out over its qubits.

    python benchmarks/_chips/baihua.py src/qdllm/devices/data/baihua.json

Published (July to August 2026): 156 qubits in 12 rows of 13; vertical links at columns 2, 6, 10 of even
rows and 0, 4, 8, 12 of odd ones; median error of one-qubit gates 1e-3 and of CZ 1.7e-2, fidelity of CZ from
0.877 to 0.999 and 0 where a coupler cannot be used; median T1 71.5 us, T2 23.7 us; gates of 64 and 224 ns;
P(1|0) from 1 to 3.5 %, P(0|1) from 3 to 11 %, bad qubits 20 %. Figures of single qubits are not known; these
are drawn with a fixed seed. Spreads (log-normal) and shares of bad qubits and couplers are assumptions.
"""

from __future__ import annotations

import sys

import numpy as np

from qdllm.devices import Calibration, Coupler, Qubit

_ROWS, _COLUMNS = 12, 13
_SEED = 2026
_BAD_QUBITS, _BAD_COUPLERS = 0.04, 0.04  # assumed shares
_SPREAD = {"error": 0.4, "cz": 0.6, "t1": 0.3, "t2": 0.4}  # assumed standard deviations of logarithms


def reconstruct() -> Calibration:
    """Draw the figures of every qubit and coupler."""
    rng = np.random.default_rng(_SEED)

    def around(median: float, name: str) -> float:
        return float(median * np.exp(_SPREAD[name] * rng.standard_normal()))

    qubits = {}
    for number in range(_ROWS * _COLUMNS):
        t1 = around(71.5, "t1")
        bad = rng.random() < _BAD_QUBITS
        low, high = rng.uniform(0.01, 0.035), rng.uniform(0.03, 0.11)
        qubits[number] = Qubit(
            t1_us=round(t1, 2),
            t2_us=round(min(around(23.7, "t2"), 2 * t1), 2),
            error=round(around(1e-3, "error"), 6),
            read_1_as_0=0.2 if bad else round(high, 4),
            read_0_as_1=0.2 if bad else round(low, 4),
        )
    couplers = []
    for pair in _couplers():
        error = float(np.clip(around(1.7e-2, "cz"), 1e-3, 0.123))
        usable = rng.random() >= _BAD_COUPLERS
        couplers.append(Coupler(pair, round(1 - error, 5) if usable else 0.0))
    return Calibration(
        chip="Baihua",
        date="2026-08",
        source="reconstructed, not measured: published medians and ranges (July to August 2026) drawn out "
        f"over the qubits with seed {_SEED} by benchmarks/_chips/baihua.py",
        measured=False,
        one_qubit_ns=64.0,
        two_qubit_ns=224.0,
        qubits=qubits,
        couplers=tuple(couplers),
    )


def _couplers() -> list[tuple[int, int]]:
    across = [(r * _COLUMNS + c, r * _COLUMNS + c + 1) for r in range(_ROWS) for c in range(_COLUMNS - 1)]
    down = [
        (r * _COLUMNS + c, (r + 1) * _COLUMNS + c)
        for r in range(_ROWS - 1)
        for c in ((2, 6, 10) if r % 2 == 0 else (0, 4, 8, 12))
    ]
    return sorted(across + down)


if __name__ == "__main__":
    reconstruct().save(sys.argv[1])
