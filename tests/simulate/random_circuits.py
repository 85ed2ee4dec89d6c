"""Random circuits and values for the tests of this folder, and what they come to by Qiskit."""

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from qdllm.circuits import GATES, Circuit, Gate, input_symbol, parameter


def random_values(circuit, batch, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.rand(batch, circuit.n_inputs, dtype=torch.float64, generator=generator) * 10
    parameters = torch.rand(circuit.n_parameters, dtype=torch.float64, generator=generator) * 6 - 3
    return inputs.to(dtype), parameters.to(dtype)


@st.composite
def any_circuit(draw, max_qubits=5, max_gates=25):
    """Any circuit: all gates, angles shared, scaled and summed, inputs used more than once."""
    n_qubits = draw(st.integers(1, max_qubits))
    symbols = [input_symbol("x"), input_symbol("y"), parameter("a"), parameter("b"), parameter("c")]
    numbers = st.sampled_from([-2.0, -1.0, 0.5, 1.0, 3.0])
    names = sorted(name for name, (n, _) in GATES.items() if n <= n_qubits)
    gates = []
    n_gates = draw(st.integers(0, max_gates))  # lists of a free length are short
    for name in draw(st.lists(st.sampled_from(names), min_size=n_gates, max_size=n_gates)):
        arity, n_angles = GATES[name]
        qubits = draw(st.permutations(range(n_qubits)))[:arity]
        angles = []
        for _ in range(n_angles):
            used = draw(st.lists(st.sampled_from(symbols), unique=True, max_size=2))
            angles.append(sum((draw(numbers) * s for s in used), start=parameter("a") * 0 + draw(numbers)))
        gates.append(Gate(name, tuple(qubits), angles))
    return Circuit(n_qubits, gates)


def pauli_sums(n_qubits, max_size=4):
    """Observables: Pauli strings and sums of them."""
    label = st.text("IXYZ", min_size=n_qubits, max_size=n_qubits)
    sums = st.dictionaries(label, st.sampled_from([-1.5, 0.5, 2.0]), min_size=1, max_size=max_size)
    return st.lists(label | sums, min_size=1, max_size=max_size)


def largest(observables):
    """The largest value that any of some observables can take."""
    return max(sum(map(abs, o.values())) if isinstance(o, dict) else 1.0 for o in observables or [""])


def qiskit_expectations(circuit, inputs, parameters, observables=None):
    qiskit = pytest.importorskip("qiskit")
    from qiskit.circuit import library
    from qiskit.quantum_info import SparsePauliOp, Statevector

    renamed = {"CNOT": "CX", "SDG": "Sdg", "TDG": "Tdg", "U3": "U", "SWAP": "Swap"}
    n = circuit.n_qubits
    if observables is None:
        observables = ["".join("Z" if q == i else "I" for q in reversed(range(n))) for i in range(n)]
    sums = [o if isinstance(o, dict) else {o: 1.0} for o in observables]
    rows = []
    for sample in np.asarray(inputs, dtype=np.float64):
        bound = circuit.bind(sample, np.asarray(parameters, dtype=np.float64))
        theirs = qiskit.QuantumCircuit(n)
        for gate in bound.gates:
            factory = getattr(library, renamed.get(gate.name, gate.name) + "Gate")
            theirs.append(factory(*[angle.evaluate({}) for angle in gate.angles]), gate.qubits)
        state = Statevector(theirs)
        rows.append([state.expectation_value(SparsePauliOp.from_list(list(s.items()))).real for s in sums])
    return torch.tensor(rows, dtype=torch.float64)
