"""Where on a chip the wires of a line lie: the connected path that loses least."""

import math
from collections.abc import Sequence
from itertools import pairwise

from qdllm.devices.calibration import Calibration
from qdllm.devices.lowering import Lowered
from qdllm.errors import ConfigError
from qdllm.simulate import fault_sites

__all__ = ["best_path", "check_layout", "check_path", "expected_fidelity"]

_WIDTH = 4000  # partial paths kept: all of them, up to about 10 qubits of a heavy-hexagon chip


def best_path(calibration: Calibration, lowered: Lowered) -> tuple[int, ...]:
    """Return the qubits of the wires: the path whose gates and readouts are right most often.

    Couplers of fidelity 0 are never used. The line may lie either way round, and errors count as often as
    the circuit makes them.

    Raises
    ------
    ConfigError
        If the chip has too few qubits, or no connected path of so many.
    """
    n_wires, usable = lowered.n_wires, calibration.usable()
    if n_wires > len(calibration.qubits):
        raise ConfigError(
            f"{calibration.chip} has {len(calibration.qubits)} qubits, the student needs {n_wires}"
        )
    cz_counts = [0] * max(n_wires - 1, 1)
    for gate in lowered.circuit.gates:
        if gate.name == "CNOT":
            cz_counts[min(gate.qubits)] += 1
    neighbours: dict[int, list[int]] = {number: [] for number in calibration.qubits}
    for a, b in usable:
        neighbours[a].append(b)
        neighbours[b].append(a)
    costs = {number: _qubit_cost(calibration, number) for number in calibration.qubits}
    paths: list[tuple[float, tuple[int, ...]]] = [(costs[q], (q,)) for q in sorted(calibration.qubits)]
    for wire in range(1, n_wires):
        longer = [
            (
                cost + costs[q] - cz_counts[wire - 1] * math.log(usable[min(path[-1], q), max(path[-1], q)]),
                (*path, q),
            )
            for cost, path in paths
            for q in neighbours[path[-1]]
            if q not in path
        ]
        paths = sorted(longer)[:_WIDTH]
        if not paths:
            raise ConfigError(
                f"{calibration.chip} has no connected path of {n_wires} qubits whose couplers can be used"
            )
    return min(paths)[1]


def check_layout(layout: Sequence[int], n_wires: int) -> None:
    """Refuse what is not one qubit for each wire.

    Raises
    ------
    ConfigError
        If there are too few or too many, or one is below 0 or named twice.
    """
    if len(layout) != n_wires:
        raise ConfigError(f"the layout names {len(layout)} qubits, the student needs {n_wires}")
    if min(layout) < 0:
        raise ConfigError(f"the layout names qubit {min(layout)}: qubits count from 0")
    if len(set(layout)) != n_wires:
        raise ConfigError("the layout names a qubit twice")


def check_path(calibration: Calibration, path: Sequence[int], n_wires: int) -> None:
    """Refuse a path that is no connected line of usable couplers.

    Raises
    ------
    ConfigError
        If it has other qubits than the chip, or a wrong number of them, or two that have no coupler.
    """
    check_layout(path, n_wires)
    unknown = [q for q in path if q not in calibration.qubits]
    if unknown:
        raise ConfigError(f"{calibration.chip} has no qubit {unknown[0]}")
    usable = calibration.usable()
    for a, b in pairwise(path):
        if (min(a, b), max(a, b)) not in usable:
            raise ConfigError(
                f"the layout is disconnected: qubits {a} and {b} have no coupler that can be used"
            )


def expected_fidelity(lowered: Lowered, calibration: Calibration, path: Sequence[int]) -> float:
    """Return the chance that no Pauli error strikes and no outcome is misread, about."""
    sites = fault_sites(lowered.circuit, calibration.noise(path))
    gates = math.prod(1 - sum(site.effects.values()) for site in sites)
    return gates * math.prod(_read_fidelity(calibration, q) for q in path)


def _read_fidelity(calibration: Calibration, number: int) -> float:
    qubit = calibration.qubits[number]
    return 1 - (qubit.read_1_as_0 + qubit.read_0_as_1) / 2


def _qubit_cost(calibration: Calibration, number: int) -> float:
    return -math.log(_read_fidelity(calibration, number))
