"""The parts that need no trained student: gates, the noisy simulator beside Aer, and jobs."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdllm.circuits import Circuit, qd_llm
from qdllm.devices import (
    CircuitBatch,
    Counts,
    SimulatorBackend,
    best_path,
    expected_fidelity,
    load_calibration,
    lower,
)
from qdllm.devices.backends.aer_backend import AerBackend
from qdllm.devices.reading import prepare

_ANGLE = 0.3  # standard deviation of the random parameters
_ROUNDS = 3
_UNTWIRLED = 4  # circuits on which relaxation is also simulated as it is

Floats = NDArray[np.float64]


def count_gates(seeds: int = 10) -> dict[str, Any]:
    """CZs of the paper's circuit: as written and routed by Qiskit at level 3, and as lowered."""
    import qiskit
    from qiskit.transpiler import CouplingMap

    circuit, lowered = _papers_circuit()
    calibration = load_calibration("baihua")
    couplers = [pair for a, b in calibration.usable() for pair in ((a, b), (b, a))]
    written = circuit.bind(np.random.default_rng(1).uniform(0, np.pi, circuit.n_inputs).tolist())
    found = [
        qiskit.transpile(
            as_qiskit(written),
            coupling_map=CouplingMap(couplers),
            basis_gates=["rx", "ry", "rz", "cz"],
            optimization_level=3,
            seed_transpiler=seed,
        ).count_ops()["cz"]
        for seed in range(seeds)
    ]
    path = best_path(calibration, lowered)
    return {
        "routed_by_qiskit": found,
        "median_routed": float(np.median(found)),
        "lowered": lowered.two_qubit_gates,
        "lowered_depth": lowered.depth,
        "circuits_a_text": 1 << lowered.n_coins,
        "expected_fidelity": expected_fidelity(lowered, calibration, path),
    }


def compare_with_aer(values: int = 200, shots: int = 20_000) -> dict[str, Any]:
    """z-scores of ⟨Z⟩ by our simulator and by Aer's density matrix; and what the Pauli twirl costs."""
    lowered, layout, batch = _batch(-(-values // 10))
    calibration = load_calibration("baihua")
    some = batch.take(slice(0, _UNTWIRLED))

    def values_of(backend: Any, circuits: CircuitBatch, seed: int) -> Floats:
        return _z(backend.run(circuits, [shots] * len(circuits), seed=seed), lowered.n_wires)

    ours = values_of(SimulatorBackend("ours", calibration), batch, 1)
    theirs = values_of(AerBackend("aer", calibration, method="density_matrix"), batch, 2)
    as_it_is = AerBackend("aer", calibration, method="density_matrix", twirled=False)
    apart = ((ours[:_UNTWIRLED] - values_of(as_it_is, some, 3)) ** 2).mean()
    scores = ((ours - theirs) / np.sqrt((2 - ours**2 - theirs**2) / shots)).ravel()[:values]
    return {
        "values": len(scores),
        "shots": shots,
        "layout": list(layout),
        "mean": float(scores.mean()),
        "standard_deviation": float(scores.std(ddof=1)),
        "largest": float(np.abs(scores).max()),
        "twirl_rmse": float(np.sqrt(max(apart - 2 * (1 - (ours**2).mean()) / shots, 0.0))),
    }


def time_simulators(circuits: int = 4, shots: int = 1024) -> dict[str, Any]:
    """CPU seconds of one circuit of so many independent shots: the statistical error is the same."""
    _, _, batch = _batch(circuits)
    calibration = load_calibration("baihua")
    each = [shots] * len(batch)
    seconds = {
        name: _cpu_seconds(partial(backend.run, batch, each, seed=3)) / len(batch)
        for name, backend in (
            ("ours", SimulatorBackend("ours", calibration)),
            ("aer_density_matrix", AerBackend("aer", calibration, method="density_matrix")),
            ("aer_trajectories", AerBackend("aer", calibration, method="statevector")),
        )
    }
    fastest = min(seconds["aer_density_matrix"], seconds["aer_trajectories"])
    return {"shots": shots, "cpu_seconds": seconds, "times_as_fast": fastest / seconds["ours"]}


def time_batch(inputs: int = 64, shots: int = 1024) -> float:
    """CPU seconds of 64 inputs of 1,024 shots on the noisy model, from angles to counts."""
    circuit, lowered = _papers_circuit()
    calibration = load_calibration("baihua")
    x = np.random.default_rng(5).uniform(0, np.pi, (inputs, circuit.n_inputs))

    def run() -> None:
        runs = prepare(lowered, x, best_path(calibration, lowered))
        each = np.maximum(np.rint(runs.weights * shots), 1).astype(int).tolist()
        SimulatorBackend("ours", calibration).run(runs.batch, each, seed=1)

    return _cpu_seconds(run)


def _papers_circuit() -> tuple[Circuit, Any]:
    circuit = qd_llm()
    theta = np.random.default_rng(0).normal(0, _ANGLE, circuit.n_parameters)
    bound = circuit.bind(parameters=theta.tolist())
    return bound, lower(bound)


def _batch(n_circuits: int) -> tuple[Any, tuple[int, ...], CircuitBatch]:
    circuit, lowered = _papers_circuit()
    layout = best_path(load_calibration("baihua"), lowered)
    x = np.random.default_rng(4).uniform(0, np.pi, (n_circuits, circuit.n_inputs))
    return lowered, layout, CircuitBatch(lowered.circuit, lowered.angles(x)[:, 0], layout)


def _z(counts: list[Counts], n_wires: int) -> Floats:
    """⟨Z⟩ of each circuit and wire."""
    wires = np.arange(n_wires)
    return np.stack([(c.numbers @ (1.0 - 2.0 * (c.states[:, None] >> wires & 1))) / c.shots for c in counts])


def as_qiskit(circuit: Circuit) -> Any:
    """Return a bound circuit in Qiskit's form, gate by gate."""
    import qiskit

    made = qiskit.QuantumCircuit(circuit.n_qubits)
    for gate in circuit.gates:
        name = "cx" if gate.name == "CNOT" else gate.name.lower()
        getattr(made, name)(*(angle.constant for angle in gate.angles), *gate.qubits)
    return made


def _cpu_seconds(call: Callable[[], object]) -> float:
    call()
    found = []
    for _ in range(_ROUNDS):
        started = time.process_time()
        call()
        found.append(time.process_time() - started)
    return min(found)
