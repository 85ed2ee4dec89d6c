"""Small circuits and chips."""

import numpy as np

from qdllm.circuits import make_ansatz
from qdllm.devices import Calibration, Coupler, Qubit


def bound_student(n_qubits=4, n_layers=1, ansatz="qd_llm", seed=0):
    circuit = make_ansatz(ansatz, n_qubits, n_layers)
    return circuit.bind(parameters=0.5 * np.random.default_rng(seed).normal(size=circuit.n_parameters))


def line(n_qubits, fidelity=0.98, misread=0.03):
    """A chip whose qubits are joined in a line."""
    fidelities = np.broadcast_to(fidelity, n_qubits - 1)
    return Calibration(
        chip="Line",
        date="2026-01-01",
        source="a test",
        measured=False,
        one_qubit_ns=50.0,
        two_qubit_ns=200.0,
        qubits={q: Qubit(60.0, 30.0, 1e-3, misread + 0.04, misread) for q in range(n_qubits)},
        couplers=tuple(Coupler((q, q + 1), float(fidelities[q])) for q in range(n_qubits - 1)),
    )
