"""Figures of the circuit."""

from __future__ import annotations

from typing import Any

from qdllm.circuits import analyse, parse_observables
from qdllm.student import Student

__all__ = ["describe"]


def describe(student: Student) -> dict[str, Any]:
    """Return what the circuit of a student comes to."""
    model = student.model_
    found = analyse(model.circuit, parse_observables(model.observables, model.circuit.n_qubits))
    return {
        "name": model.circuit.name,
        "qubits": found.n_qubits,
        "layers": student.n_layers,
        "encoding": student.encoding,
        "readout": student.readout,
        "gates": len(model.circuit.gates),
        "parameters": found.n_parameters,
        "effective": found.n_effective,
        "dead": len(found.dead),
        "two_qubit_gates": found.two_qubit_gates,
        "two_qubit_gates_needed": found.two_qubit_gates_needed,
        "amplitudes": 2**found.n_qubits,
        "stages": " → ".join(found.stages),
    }
