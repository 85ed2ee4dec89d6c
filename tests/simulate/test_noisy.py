"""Noisy shots against Aer's density matrix, and against exact probabilities where there is no noise."""

import math

import numpy as np
import pytest
import torch

from qdllm.circuits import Circuit, input_symbol
from qdllm.errors import CircuitError
from qdllm.simulate import NoiseModel, NoisySimulator, StatevectorSimulator, fault_sites
from qdllm.simulate.outcomes import OutcomeSimulator

NONE = torch.zeros(0)


def circuit_of(n_qubits, seed, n_gates=30):
    """Random RX, RY, RZ, CNOT and CZ of neighbours."""
    rng = np.random.default_rng(seed)
    circuit = Circuit(n_qubits)
    for i in range(n_gates):
        if rng.random() < 0.6:
            name, qubit = rng.choice(["RX", "RY", "RZ"]), int(rng.integers(n_qubits))
            circuit = circuit.append(str(name), (qubit,), (input_symbol(f"x_{i}"),))
        else:
            a = int(rng.integers(n_qubits - 1))
            pair = (a, a + 1) if rng.random() < 0.5 else (a + 1, a)
            circuit = circuit.append(str(rng.choice(["CNOT", "CZ"])), pair)
    return circuit


def noise_of(n_qubits, *, misread=0.05):
    return NoiseModel(
        one_qubit=(0.01,) * n_qubits,
        two_qubit={(q, q + 1): 0.03 + 0.01 * q for q in range(n_qubits - 1)},
        t1=(9.0,) * n_qubits,
        t2=(6.0,) * n_qubits,
        read_1_as_0=(2 * misread,) * n_qubits,
        read_0_as_1=(misread,) * n_qubits,
        one_qubit_time=0.06,
        two_qubit_time=0.2,
    )


def z_strings(outcomes, n_qubits):
    masks = np.arange(1, 1 << n_qubits)
    return (1.0 - 2.0 * (np.bitwise_count(outcomes[:, None] & masks) & 1)).mean(axis=0)


@pytest.mark.parametrize("n_qubits", [1, 3, 5])
def test_the_kernel_finds_the_probabilities_that_torch_does(n_qubits):
    circuit = circuit_of(n_qubits, 3) if n_qubits > 1 else Circuit(1).ry(input_symbol("x_0"), 0)
    inputs = torch.randn(7, circuit.n_inputs, generator=torch.Generator().manual_seed(0))
    exact = StatevectorSimulator(circuit, engine="torch").probabilities(inputs, NONE)
    torch.testing.assert_close(OutcomeSimulator(circuit).probabilities(inputs), exact, atol=1e-6, rtol=0)


def test_without_errors_outcomes_follow_the_exact_probabilities():
    circuit = circuit_of(4, 1)
    inputs = torch.randn(2, circuit.n_inputs, generator=torch.Generator().manual_seed(1))
    exact = StatevectorSimulator(circuit).probabilities(inputs, NONE).double().numpy()
    for row, outcomes in enumerate(NoisySimulator(circuit, None).sample(inputs, NONE, shots=40_000, seed=2)):
        found = np.bincount(outcomes, minlength=16) / 40_000
        assert np.abs(found - exact[row]).max() < 5 * math.sqrt(0.25 / 40_000)


@pytest.mark.parametrize("seed", [0, 1])
def test_noisy_shots_agree_with_aers_density_matrix(seed):
    pytest.importorskip("qiskit_aer")
    from qdllm.devices import CircuitBatch
    from qdllm.devices.backends.aer_backend import AerBackend

    n_qubits, shots = 4, 40_000
    circuit, noise = circuit_of(n_qubits, seed), noise_of(n_qubits)
    angles = np.random.default_rng(seed).normal(size=(2, circuit.n_inputs))

    class Chip:
        def noise(self, layout):
            return noise

    aer = AerBackend("aer", Chip(), method="density_matrix")
    theirs = aer.run(CircuitBatch(circuit, angles, (0, 1, 2, 3)), [shots] * 2, seed=seed)
    ours = NoisySimulator(circuit, noise).sample(torch.as_tensor(angles), NONE, shots=shots, seed=seed)
    scores = []
    for counts, outcomes in zip(theirs, ours, strict=True):
        a = z_strings(np.repeat(counts.states, counts.numbers), n_qubits)
        b = z_strings(outcomes, n_qubits)
        scores += ((a - b) / np.sqrt((2 - a**2 - b**2) / shots)).tolist()
    clean = NoisySimulator(circuit, None).sample(torch.as_tensor(angles), NONE, shots=shots, seed=seed)
    assert np.abs(z_strings(clean[0], n_qubits) - z_strings(ours[0], n_qubits)).max() > 0.1  # noise shows
    assert abs(np.mean(scores)) < 5 / math.sqrt(len(scores))
    assert 0.6 < np.std(scores) < 1.5
    assert np.abs(scores).max() < 4.5


def test_misreading_is_asymmetric():
    circuit = Circuit(1).rx(input_symbol("x_0"), 0)
    noise = NoiseModel((0.0,), {}, (1e9,), (1e9,), (0.2,), (0.05,), 0.1, 0.1)
    zero, one = NoisySimulator(circuit, noise).sample(
        torch.tensor([[0.0], [math.pi]]), NONE, shots=20_000, seed=0
    )
    assert zero.mean() == pytest.approx(0.05, abs=0.01)
    assert one.mean() == pytest.approx(0.8, abs=0.015)


def circuit_with_waiting():
    """CZs of 0 and 1 before and after one of 1 and 2, then a rotation of 1."""
    rotated = Circuit(3).ry(input_symbol("a"), 0).ry(input_symbol("b"), 1).ry(input_symbol("c"), 2)
    return rotated.cz(0, 1).cz(1, 2).cz(0, 1).ry(input_symbol("d"), 1).ry(input_symbol("e"), 0)


def test_decay_is_not_counted_twice():
    """T1 and T2 act on waiting wires alone: in a circuit without waiting they change nothing."""
    circuit = Circuit(2).ry(input_symbol("a"), 0).ry(input_symbol("b"), 1).cz(0, 1)
    kinds = {site.kind for site in fault_sites(circuit, noise_of(2))}
    assert kinds == {"rotation", "cz"}
    waiting = circuit_with_waiting()
    idle = [site for site in fault_sites(waiting, noise_of(3)) if site.kind == "idle"]
    # Wire 0 waits while 1 and 2 are at work, and for nothing else; wire 2 waits for the measurement.
    assert sorted((site.wires, round(site.time, 6)) for site in idle) == [((0,), 0.2), ((2,), 0.26)]


def test_one_seed_draws_the_same_shots_and_each_sample_may_have_its_own_number():
    circuit = circuit_of(3, 5)
    simulator = NoisySimulator(circuit, noise_of(3))
    inputs = torch.zeros(2, circuit.n_inputs)
    first = simulator.sample(inputs, NONE, shots=[5, 9], seed=3)
    again = simulator.sample(inputs, NONE, shots=[5, 9], seed=3)
    assert [len(found) for found in first] == [5, 9]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_wrong_requests_are_refused():
    circuit = Circuit(2).ry(input_symbol("x_0"), 0).cnot(0, 1)
    with pytest.raises(CircuitError, match="shots must be at least 1"):
        NoisySimulator(circuit, None).sample(torch.zeros(1, 1), NONE, shots=0, seed=0)
    with pytest.raises(CircuitError, match="do not fit a circuit of 1 inputs"):
        NoisySimulator(circuit, None).sample(torch.zeros(1, 2), NONE, shots=1, seed=0)
    with pytest.raises(CircuitError, match="2 qubits, the noise model 3"):
        NoisySimulator(circuit, noise_of(3))
    with pytest.raises(CircuitError, match="lower the circuit first"):
        NoisySimulator(circuit.h(0), noise_of(2))
    with pytest.raises(CircuitError, match="have no coupler"):
        NoisySimulator(Circuit(3).cz(0, 2), noise_of(3))
