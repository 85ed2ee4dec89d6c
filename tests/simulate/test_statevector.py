import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qdllm.circuits import Angle, Circuit, Gate, Symbol, input_symbol, qd_llm
from qdllm.errors import CircuitError, TooLargeError
from qdllm.simulate import StatevectorSimulator

from .random_circuits import any_circuit, largest, pauli_sums, qiskit_expectations, random_values

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_papers_circuit_equals_qiskit(dtype):
    circuit = qd_llm()
    inputs, parameters = random_values(circuit, 3, dtype)
    z = StatevectorSimulator(circuit)(inputs, parameters)
    assert z.dtype == dtype
    expected = qiskit_expectations(circuit, inputs, parameters)
    torch.testing.assert_close(z.double(), expected, atol=TOLERANCE[dtype], rtol=0)


@settings(max_examples=60, deadline=None)
@given(circuit=any_circuit(), data=st.data())
def test_any_circuit_equals_qiskit(circuit, data):
    observables = data.draw(st.none() | pauli_sums(circuit.n_qubits))
    for dtype, tolerance in TOLERANCE.items():
        inputs, parameters = random_values(circuit, 2, dtype)
        z = StatevectorSimulator(circuit, observables)(inputs, parameters)
        expected = qiskit_expectations(circuit, inputs, parameters, observables)
        torch.testing.assert_close(z.double(), expected, atol=tolerance * largest(observables), rtol=0)


@settings(max_examples=25, deadline=None)
@given(circuit=any_circuit(max_qubits=4, max_gates=12), data=st.data())
def test_gradients_equal_finite_differences(circuit, data):
    observables = data.draw(st.none() | pauli_sums(circuit.n_qubits))
    arguments = tuple(t.requires_grad_() for t in random_values(circuit, 2, torch.float64))
    assert torch.autograd.gradcheck(StatevectorSimulator(circuit, observables), arguments, atol=1e-6)


def test_values_and_gradients_equal_the_reference_of_the_peers():
    folder = os.environ.get("QDLLM_PEERS")
    if not folder:
        pytest.skip("QDLLM_PEERS is not set")
    reference = np.load(Path(folder) / "reference.npz")
    rng = np.random.default_rng(0)
    inputs = torch.tensor(rng.uniform(0, 10, (256, 11))[:3], requires_grad=True)
    shapes = {**dict.fromkeys("abc", (2, 10)), "d": (2, 9), **dict.fromkeys("efg", (2, 11))}
    drawn = {letter: rng.uniform(-3, 3, shape) for letter, shape in shapes.items()}
    weights = torch.tensor(rng.normal(size=(256, 11))[:3])
    circuit = qd_llm()
    where = {f"l{i}_{k}{j}": (k, i, j) for k, shape in shapes.items() for i, j in np.ndindex(shape)}
    values = [drawn[k][i, j] for k, i, j in (where[name] for name in circuit.parameter_names)]
    parameters = torch.tensor(values, requires_grad=True)
    z = StatevectorSimulator(circuit)(inputs, parameters)
    (z * weights).sum().backward()
    gradients = dict(zip(circuit.parameter_names, parameters.grad.tolist(), strict=True))
    np.testing.assert_allclose(z.detach(), reference["Z"], atol=1e-10)
    np.testing.assert_allclose(inputs.grad, reference["gx"], atol=1e-6)
    np.testing.assert_allclose([gradients[name] for name in where], reference["g"], atol=1e-6)


def test_probabilities_sum_to_one_and_number_qubit_0_lowest():
    circuit = Circuit(3).x(0).h(2)
    probabilities = StatevectorSimulator(circuit).probabilities(torch.zeros(1, 0), torch.zeros(0))
    torch.testing.assert_close(probabilities, torch.tensor([[0, 0.5, 0, 0, 0, 0.5, 0, 0]]))


@settings(max_examples=10, deadline=None)
@given(circuit=any_circuit(max_qubits=3, max_gates=12))
def test_gradients_of_probabilities_equal_finite_differences(circuit):
    arguments = tuple(t.requires_grad_() for t in random_values(circuit, 2, torch.float64))
    assert torch.autograd.gradcheck(StatevectorSimulator(circuit).probabilities, arguments, atol=1e-6)


def test_samples_follow_the_probabilities():
    circuit = Circuit(2).ry(input_symbol("x"), 0).cnot(0, 1)
    simulator = StatevectorSimulator(circuit)
    arguments = torch.tensor([[0.0], [1.0]]), torch.zeros(0)
    draws = simulator.sample(*arguments, shots=4000, seed=3)
    assert draws.shape == (2, 4000)
    assert set(draws[0].tolist()) == {0}
    assert set(draws[1].tolist()) == {0, 3}
    share = (draws[1] == 3).double().mean().item()
    assert abs(share - np.sin(0.5) ** 2) < 5 * np.sqrt(0.18 / 4000)
    assert torch.equal(draws, simulator.sample(*arguments, shots=4000, seed=3))
    with pytest.raises(CircuitError, match="shots"):
        simulator.sample(*arguments, shots=0, seed=3)


GOOD = torch.zeros(2, 3), torch.zeros(16)


@pytest.mark.parametrize(
    ("inputs", "parameters", "message"),
    [
        (GOOD[0][:, :2], GOOD[1], r"inputs must have the shape \(batch, 3\), got \(2, 2\)"),
        (GOOD[0][0], GOOD[1], "shape"),
        (GOOD[0], GOOD[1][:5], r"parameters must have the shape \(16,\)"),
        (GOOD[0][:0], GOOD[1], "no sample"),
        (GOOD[0].double(), GOOD[1], "one type"),
        (GOOD[0].half(), GOOD[1].half(), "float32 or float64"),
        (GOOD[0].numpy(), GOOD[1], "torch tensor"),
        (GOOD[0] * float("nan"), GOOD[1], "inputs hold a value that is not finite"),
        (GOOD[0], GOOD[1] + float("inf"), "parameters hold a value that is not finite"),
        (GOOD[0].to("meta"), GOOD[1], "device"),
    ],
)
def test_bad_arguments_are_refused(inputs, parameters, message):
    circuit = qd_llm(3, 1)
    with pytest.raises(CircuitError, match=message):
        StatevectorSimulator(circuit)(inputs, torch.as_tensor(parameters))


@pytest.mark.parametrize(
    ("observables", "message"),
    [
        ([], "at least one"),
        ("ZZ", "list"),
        (["ZZ"], "2 characters"),
        (["ZZA"], "not one of"),
        ([{"ZZZ": float("nan")}], "not finite"),
        ([3], "mapping"),
    ],
)
def test_bad_observables_are_refused(observables, message):
    with pytest.raises(CircuitError, match=message):
        StatevectorSimulator(Circuit(3), observables)


def test_too_many_qubits_are_refused_before_memory_is_taken():
    with pytest.raises(TooLargeError, match="40 qubits"):
        StatevectorSimulator(qd_llm(40, 2))
    simulator = StatevectorSimulator(qd_llm(20, 1))
    inputs = torch.zeros(100_000, 20)
    with pytest.raises(TooLargeError, match="100000 sample"):
        simulator(inputs, torch.zeros(simulator.circuit.n_parameters))


def test_non_contiguous_inputs_are_taken():
    circuit = qd_llm(3, 1)
    inputs, parameters = random_values(circuit, 4, torch.float64)
    simulator = StatevectorSimulator(circuit)
    strided = inputs.T.contiguous().T
    assert torch.equal(simulator(strided, parameters), simulator(inputs, parameters))


def test_the_papers_jacobian_has_rank_47_and_36_zero_columns():
    circuit = qd_llm()
    gates = [Gate(g.name, g.qubits, [_as_inputs(angle) for angle in g.angles]) for g in circuit.gates]
    simulator = StatevectorSimulator(Circuit(11, gates))  # parameters as inputs: one gradient a sample
    inputs, parameters = random_values(circuit, 16, torch.float64)
    column = dict(zip(circuit.input_names, inputs.unbind(1), strict=True))
    column |= dict(zip(circuit.parameter_names, parameters.expand(16, -1).unbind(1), strict=True))
    x = torch.stack([column[name] for name in simulator.circuit.input_names], dim=1).requires_grad_()
    z = simulator(x, torch.zeros(0, dtype=torch.float64)).sum(0)
    trained = [name in circuit.parameter_names for name in simulator.circuit.input_names]
    jacobian = torch.cat([torch.autograd.grad(z_i, x, retain_graph=True)[0] for z_i in z])[:, trained]
    assert torch.linalg.matrix_rank(jacobian, rtol=1e-9).item() == 47
    assert (jacobian.abs().amax(0) < 1e-12).sum().item() == 36


def _as_inputs(angle):
    return Angle(angle.constant, tuple((Symbol(s.name, is_input=True), c) for s, c in angle.terms))
