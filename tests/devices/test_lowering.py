import numpy as np
import pytest
import torch

from qdllm.circuits import (
    Circuit,
    analyse,
    input_symbol,
    make_ansatz,
    parse_observables,
    qd_llm,
    readout_labels,
)
from qdllm.devices import lower
from qdllm.errors import CircuitError, TooLargeError
from qdllm.simulate import StatevectorSimulator

NONE = torch.zeros(0, dtype=torch.float64)


def bound(ansatz, n_qubits, n_layers, *, scale=1.0, seed=0):
    circuit = make_ansatz(ansatz, n_qubits, n_layers)
    theta = scale * np.random.default_rng(seed).normal(size=circuit.n_parameters)
    return circuit.bind(parameters=theta)


def read_exactly(lowered, inputs):
    """Observables from the lowered circuit's exact probabilities, its branches and its parities."""
    angles, weights = lowered.angles(inputs), lowered.weights(inputs)
    simulator = StatevectorSimulator(lowered.circuit)
    values = np.zeros((len(inputs), len(lowered.parities)))
    for branch in range(weights.shape[1]):
        chances = simulator.probabilities(torch.as_tensor(angles[:, branch]), NONE).numpy()
        states = np.arange(chances.shape[1])
        for column, observable in enumerate(lowered.parities):
            for term in observable:
                signs = (-1.0) ** (np.bitwise_count(states & term.wires) + (term.coins & branch).bit_count())
                values[:, column] += weights[:, branch] * term.coefficient * (chances @ signs)
    return values


@pytest.mark.parametrize(
    ("ansatz", "n_qubits", "n_layers"),
    [
        ("qd_llm", 11, 2),
        ("qd_llm", 6, 3),
        ("qd_llm", 2, 1),
        ("qd_llm", 1, 2),
        ("brick", 6, 3),
        ("tree", 4, 1),
        ("hardware_efficient", 5, 2),
        ("reuploading", 4, 2),
    ],
)
@pytest.mark.parametrize("readout", ["z", "zz"])
def test_a_lowered_circuit_has_the_same_observables(ansatz, n_qubits, n_layers, readout):
    circuit = bound(ansatz, n_qubits, n_layers)
    labels = readout_labels(readout, n_qubits)
    lowered = lower(circuit, parse_observables(labels, n_qubits))
    inputs = np.random.default_rng(1).normal(size=(4, circuit.n_inputs))
    exact = StatevectorSimulator(circuit, labels)(torch.as_tensor(inputs), NONE).numpy()
    np.testing.assert_allclose(read_exactly(lowered, inputs), exact, atol=1e-12)


def test_the_papers_circuit_needs_forty_czs_on_a_line_of_ten():
    lowered = lower(bound("qd_llm", 11, 2))
    assert (lowered.two_qubit_gates, lowered.n_wires, lowered.n_coins) == (40, 10, 1)
    assert lowered.two_qubit_gates < analyse(qd_llm()).two_qubit_gates
    assert all(abs(g.qubits[0] - g.qubits[1]) == 1 for g in lowered.circuit.gates if len(g.qubits) == 2)


def test_phases_are_dropped_within_the_bound_that_is_stated():
    circuit = bound("qd_llm", 7, 2, scale=0.01)
    lowered, whole = lower(circuit, tolerance=0.05), lower(circuit)
    assert 0 < lowered.drop_bound <= 0.05
    assert lowered.dropped > 0
    assert lowered.two_qubit_gates < whole.two_qubit_gates
    inputs = np.random.default_rng(2).normal(size=(20, 7))
    difference = np.abs(read_exactly(lowered, inputs) - read_exactly(whole, inputs)).max()
    assert 1e-9 < difference <= lowered.drop_bound


def test_what_cannot_be_lowered_is_refused():
    with pytest.raises(CircuitError, match="bind the trained parameters first: 'l0_a0'"):
        lower(qd_llm())
    with pytest.raises(CircuitError, match="an X or a Y"):
        lower(Circuit(2).rx(input_symbol("x_0"), 0), parse_observables(["IX"], 2))
    with pytest.raises(TooLargeError, match="at most 16"):
        lower(bound("brick", 18, 1))
