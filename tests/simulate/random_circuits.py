"""Random circuits and values for the tests of this folder."""

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
    for name in draw(st.lists(st.sampled_from(names), max_size=max_gates)):
        arity, n_angles = GATES[name]
        qubits = draw(st.permutations(range(n_qubits)))[:arity]
        angles = []
        for _ in range(n_angles):
            used = draw(st.lists(st.sampled_from(symbols), unique=True, max_size=2))
            angles.append(sum((draw(numbers) * s for s in used), start=parameter("a") * 0 + draw(numbers)))
        gates.append(Gate(name, tuple(qubits), angles))
    return Circuit(n_qubits, gates)
