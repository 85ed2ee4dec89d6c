import numpy as np
import pytest
import torch

from qdllm.circuits import Circuit, Gate, input_symbol, make_ansatz, parameter
from qdllm.errors import CircuitError, TooLargeError
from qdllm.simulate import StatevectorSimulator
from qdllm.surrogate import expand, propagation
from qdllm.surrogate.forms import to_dense


def _exact(circuit, theta, weights, x, observables=None):
    z = StatevectorSimulator(circuit, observables)(torch.tensor(x), torch.tensor(theta))
    return z.numpy() @ weights.T


def _case(circuit, n_observables, seed=0, scale=0.8):
    rng = np.random.default_rng(seed)
    theta = scale * rng.normal(size=circuit.n_parameters)
    return theta, rng.normal(size=(3, n_observables)), rng.uniform(-4, 4, size=(50, circuit.n_inputs))


@pytest.mark.parametrize("ansatz", ["qd_llm", "brick", "tree", "hardware_efficient", "reuploading"])
@pytest.mark.parametrize(("n_qubits", "n_layers"), [(1, 1), (3, 2), (5, 1)])
def test_the_polynomial_is_the_circuit(ansatz, n_qubits, n_layers):
    circuit = make_ansatz(ansatz, n_qubits, n_layers)
    theta, weights, x = _case(circuit, n_qubits)
    found = expand(circuit, theta, weights)
    assert np.array_equal(found.matrix, np.eye(circuit.n_inputs))
    values = found.polynomial(x @ found.matrix.T + found.offset)
    np.testing.assert_allclose(values, _exact(circuit, theta, weights, x), atol=1e-12)


def test_its_coefficients_are_those_of_the_grid():
    """Exact evaluation on three angles a qubit determines every coefficient."""
    circuit = make_ansatz("qd_llm", 4, 2)
    theta, weights, _ = _case(circuit, 4)
    angles = np.array([0.0, 2 * np.pi / 3, 4 * np.pi / 3])
    grid = np.stack(np.meshgrid(*[angles] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    values = _exact(circuit, theta, weights, grid).T.reshape(3, 3, 3, 3, 3)
    inverse = np.linalg.inv(np.stack([np.ones(3), np.sin(angles), np.cos(angles)], axis=1))
    for axis in range(1, 5):
        values = np.moveaxis(np.tensordot(inverse, values, axes=(1, axis)), 0, axis)
    np.testing.assert_allclose(to_dense(expand(circuit, theta, weights).polynomial), values, atol=1e-12)


def test_observables_may_be_any_strings():
    circuit = make_ansatz("brick", 3, 2)
    observables = ["XIY", "IZZ", "YYI"]
    theta, weights, x = _case(circuit, 3)
    found = expand(circuit, theta, weights, observables)
    np.testing.assert_allclose(
        found.polynomial(x), _exact(circuit, theta, weights, x, observables), atol=1e-12
    )


def test_an_input_that_turns_several_rotations_gives_higher_frequencies():
    """Each rotation is a variable; the map from inputs to variables knows that they are one input."""
    x, a = input_symbol("x_0"), parameter("a")
    gates = [Gate("RY", (0,), (x,)), Gate("RZ", (0,), (a,)), Gate("RX", (0,), (2 * x - 0.5,))]
    gates += [Gate("CNOT", (0, 1)), Gate("RY", (1,), (-x + a,))]
    circuit = Circuit(2, gates, name="twice")
    theta, weights, inputs = _case(circuit, 2)
    found = expand(circuit, theta, weights)
    assert sorted(np.abs(found.matrix[:, 0])) == [1, 1, 2]
    values = found.polynomial(inputs @ found.matrix.T + found.offset)
    np.testing.assert_allclose(values, _exact(circuit, theta, weights, inputs), atol=1e-12)


@pytest.mark.parametrize("max_error", [1e-1, 1e-3])
def test_what_is_cut_off_stays_within_its_bound(max_error):
    circuit = make_ansatz("qd_llm", 6, 2)
    theta, weights, x = _case(circuit, 6, scale=0.3)
    found, exact = expand(circuit, theta, weights, max_error=max_error), expand(circuit, theta, weights)
    assert found.n_strings < exact.n_strings
    assert (found.dropped <= max_error).all()
    error = np.abs(found.polynomial(x) - _exact(circuit, theta, weights, x)).max(axis=0)
    assert (error > 1e-9).any()
    assert (error <= found.dropped).all()


def test_wide_circuits_go_through_their_light_cones():
    circuit = make_ansatz("brick", 40, 2)
    theta, weights, x = _case(circuit, 40, scale=0.2)
    found = expand(circuit, theta, weights)
    np.testing.assert_allclose(found.polynomial(x), _exact(circuit, theta, weights, x), atol=1e-11)


def test_what_does_not_fit_is_refused(monkeypatch):
    circuit = make_ansatz("brick", 65, 1)
    theta, weights, _ = _case(circuit, 65)
    with pytest.raises(CircuitError, match="65 qubits and 65 rotations by inputs"):
        expand(circuit, theta, weights)
    circuit = make_ansatz("qd_llm", 5, 2)
    theta, weights, _ = _case(circuit, 5)
    with pytest.raises(CircuitError, match="not finite"):
        expand(circuit, np.full_like(theta, np.nan), weights)
    monkeypatch.setattr(propagation, "_MOST_STRINGS", 100)
    with pytest.raises(TooLargeError, match="allow a larger error"):
        expand(circuit, theta, weights)
