"""Light cones give what the whole circuit gives."""

from unittest.mock import patch

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qdllm.circuits import Circuit, Gate, compile_circuit, input_symbol, parameter, parse_observables
from qdllm.simulate import StatevectorSimulator
from qdllm.simulate.torch_engine import TorchEngine

from .random_circuits import any_circuit, random_values


@settings(max_examples=40, deadline=None)
@given(circuit=any_circuit(max_qubits=5), data=st.data())
def test_cones_apart_equal_the_whole(circuit, data):
    label = st.text("IXYZ", min_size=circuit.n_qubits, max_size=circuit.n_qubits)
    observables = data.draw(
        st.lists(st.dictionaries(label, st.just(0.5), min_size=1, max_size=3), min_size=1)
    )
    inputs, parameters = random_values(circuit, 2, torch.float64)
    with patch("qdllm.circuits.cones._RUN", -(1 << 20)):  # a run of its own is a gain: one cone a string
        apart = StatevectorSimulator(circuit, observables, engine="torch")
    whole = TorchEngine(compile_circuit(circuit, parse_observables(observables, circuit.n_qubits)))
    expected = whole.expectations(inputs, parameters)
    torch.testing.assert_close(apart(inputs, parameters), expected, atol=1e-12, rtol=0)


def test_forty_qubits_in_bricks_run_exactly():
    circuit = Circuit(40)
    for q in range(40):
        circuit = circuit.ry(input_symbol(f"x_{q}"), q)
    for layer in range(2):
        for first in range(layer, 39, 2):
            circuit = circuit.rzz(parameter(f"a{layer}_{first}"), first, first + 1)
        for q in range(40):
            circuit = circuit.rx(parameter(f"b{layer}_{q}"), q)
    simulator = StatevectorSimulator(circuit)
    assert "light cones" in simulator.engine
    inputs, parameters = random_values(circuit, 2, torch.float64)
    inputs.requires_grad_()
    z = simulator(inputs, parameters)
    # Qubit 20 sees two bricks to either side: the same circuit on qubits 17 to 23 alone.
    near = range(17, 24)
    gates = [
        Gate(gate.name, [q - 17 for q in gate.qubits], gate.angles)
        for gate in circuit.gates
        if all(q in near for q in gate.qubits)
    ]
    small = Circuit(7, gates)
    value = dict(zip(circuit.input_names + circuit.parameter_names, [*inputs.T, *parameters], strict=True))
    some = torch.stack([value[name] for name in small.input_names], dim=1)
    rest = torch.stack([value[name] for name in small.parameter_names])
    torch.testing.assert_close(z[:, 20], StatevectorSimulator(small)(some, rest)[:, 3], atol=1e-12, rtol=0)
    (gradient,) = torch.autograd.grad(z[:, 20].sum(), inputs)
    seen = (gradient.abs().sum(0) > 1e-12).nonzero().flatten().tolist()
    assert set(seen) <= set(near)
    assert len(seen) > 2
