"""Measured outcomes of a circuit on a noisy chip: Pauli trajectories, many samples at once."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from qdllm.circuits import Angle, Circuit, Gate, input_symbol
from qdllm.errors import CircuitError
from qdllm.simulate.faults import Site, fault_sites
from qdllm.simulate.noise import NoiseModel
from qdllm.simulate.outcomes import OutcomeSimulator

__all__ = ["NoisySimulator"]

_SHOTS = 1 << 18  # drawn at once
_STATES = 512  # simulated at once


class NoisySimulator:
    """Measure a circuit on wires that make errors; each shot has errors of its own.

    A shot's Pauli errors are carried to the end of the circuit, where they are flipped outcomes and rotations
    of the other sense (`qdllm.simulate.faults`). Shots with the same signs share one state, so that all shots
    without an error cost as much as one.

    Parameters
    ----------
    circuit : Circuit
        Of RX, RY, RZ, CNOT and CZ; every qubit is measured.
    noise : NoiseModel or None
        Of as many wires; None for a chip without errors.

    Raises
    ------
    CircuitError
        If the circuit has another gate, or a CZ where there is no coupler.

    Examples
    --------
    >>> from qdllm.circuits import Circuit, input_symbol
    >>> simulator = NoisySimulator(Circuit(2).ry(input_symbol("x_0"), 0).cnot(0, 1), None)
    >>> simulator.sample(torch.tensor([[0.0], [torch.pi]]), torch.zeros(0), shots=4, seed=0)
    [array([0, 0, 0, 0]), array([3, 3, 3, 3])]
    """

    def __init__(self, circuit: Circuit, noise: NoiseModel | None) -> None:
        self.circuit = circuit
        self.noise = noise
        self.sites: tuple[Site, ...] = () if noise is None else tuple(fault_sites(circuit, noise))
        angles = [angle for gate in circuit.gates for angle in gate.angles]
        self._n_angles = len(angles)
        self._constants = np.array([angle.constant for angle in angles])
        self._inputs = _matrix(angles, circuit.input_names)
        self._parameters = _matrix(angles, circuit.parameter_names)
        self._simulator = OutcomeSimulator(_with_free_angles(circuit))
        self._words = -(-(self._n_angles + circuit.n_qubits) // 64)

    def sample(
        self, inputs: Tensor, parameters: Tensor, *, shots: int | Sequence[int], seed: int
    ) -> list[npt.NDArray[np.int64]]:
        """Measure every qubit.

        Parameters
        ----------
        inputs : Tensor (batch, n_inputs)
            Angles in the order of `Circuit.input_names`.
        parameters : Tensor (n_parameters,)
            In the order of `Circuit.parameter_names`.
        shots : int or sequence of int, length batch
            How often to measure each sample, at least 1.
        seed : int

        Returns
        -------
        list of ndarray of int64, one a sample
            Basis states, bit q of each being the outcome of qubit q.

        Raises
        ------
        CircuitError
            If a shape or a number of shots is wrong.
        """
        numbers = np.broadcast_to(np.asarray(shots, dtype=np.int64), (len(inputs),))
        if numbers.size and numbers.min() < 1:
            raise CircuitError(f"shots must be at least 1, got {numbers.min()}")
        if inputs.shape[1:] != (self.circuit.n_inputs,) or parameters.shape != (self.circuit.n_parameters,):
            raise CircuitError(
                f"inputs {tuple(inputs.shape)} and parameters {tuple(parameters.shape)} do not fit a circuit "
                f"of {self.circuit.n_inputs} inputs and {self.circuit.n_parameters} parameters"
            )
        angles = self._constants + inputs.double().numpy() @ self._inputs.T
        angles = angles + self._parameters @ parameters.double().numpy()
        rng = np.random.default_rng(seed)
        outcomes: list[npt.NDArray[np.int64]] = []
        ends = numbers.cumsum()
        start = 0
        while start < len(angles):
            limit = ends[start] - numbers[start] + _SHOTS
            stop = max(int(np.searchsorted(ends, limit, side="right")), start + 1)
            part = self._sample(angles[start:stop], numbers[start:stop], rng)
            outcomes += np.split(part, numbers[start:stop].cumsum()[:-1])
            start = stop
        return outcomes

    def _sample(
        self, angles: npt.NDArray[np.float64], shots: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        of_sample = np.repeat(np.arange(len(shots)), shots)
        effects = self._draw_effects(len(of_sample), rng)
        signs, flips = self._split(effects)
        # Shots of one sample with the same signs stand together, and share a state.
        order = np.lexsort((*signs.T, of_sample))
        keys = np.column_stack([of_sample, signs])[order]
        new = np.r_[True, (keys[1:] != keys[:-1]).any(axis=1)]
        which = new.cumsum() - 1
        firsts = order[new]
        draws = rng.random(len(order))
        outcomes = np.empty(len(order), dtype=np.int64)
        for start in range(0, len(firsts), _STATES):
            rows = firsts[start : start + _STATES]
            shot = slice(*np.searchsorted(which, [start, start + len(rows)]))
            signed = angles[of_sample[rows]] * self._as_factors(signs[rows])
            outcomes[order[shot]] = self._measure(signed, which[shot] - start, draws[shot])
        return self._misread(outcomes ^ flips, rng)

    def _draw_effects(self, n_shots: int, rng: np.random.Generator) -> npt.NDArray[np.uint64]:
        total = np.zeros((n_shots, self._words), dtype=np.uint64)
        for site in self.sites:
            probabilities = np.array(list(site.effects.values()))
            hit = np.flatnonzero(rng.random(n_shots) < probabilities.sum())
            if len(hit):
                words = np.array([_words(effect, self._words) for effect in site.effects], dtype=np.uint64)
                total[hit] ^= words[rng.choice(len(words), len(hit), p=probabilities / probabilities.sum())]
        return total

    def _split(self, effects: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        """Part the bits of signs from those of outcomes."""
        bits = [
            (effects[:, j // 64] >> np.uint64(j % 64) & np.uint64(1)).astype(np.int64) << q
            for q in range(self.circuit.n_qubits)
            for j in [self._n_angles + q]
        ]
        mask = np.array(_words((1 << self._n_angles) - 1, self._words), dtype=np.uint64)
        return effects & mask, np.asarray(sum(bits, np.zeros(len(effects), dtype=np.int64)))

    def _as_factors(self, signs: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
        bits = np.unpackbits(signs.view(np.uint8), axis=1, bitorder="little", count=self._n_angles)
        return np.asarray(1.0 - 2.0 * bits)

    def _measure(
        self, angles: npt.NDArray[np.float64], row: npt.NDArray[np.int64], draws: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.int64]:
        """Draw an outcome of state `row` for each draw; the rows are sorted."""
        states = self._simulator.probabilities(torch.as_tensor(angles, dtype=torch.float32))
        cumulative = states.double().cumsum(dim=1).numpy()
        cumulative /= cumulative[:, -1:]
        # One sorted list of all rows: row r lies in (r, r + 1].
        places = np.searchsorted(
            (cumulative + np.arange(len(angles))[:, None]).ravel(), row + draws, side="right"
        )
        size = cumulative.shape[1]
        return np.asarray(np.minimum(places - row * size, size - 1))

    def _misread(self, outcomes: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
        if self.noise is None:
            return outcomes
        for q in range(self.circuit.n_qubits):
            is_one = outcomes >> q & 1 == 1
            chance = np.where(is_one, self.noise.read_1_as_0[q], self.noise.read_0_as_1[q])
            outcomes = outcomes ^ ((rng.random(len(outcomes)) < chance).astype(np.int64) << q)
        return outcomes


def _with_free_angles(circuit: Circuit) -> Circuit:
    """Give every rotation an input of its own."""
    gates = []
    n_angles = 0
    for gate in circuit.gates:
        symbols = [input_symbol(f"a_{n_angles + j}") for j in range(len(gate.angles))]
        n_angles += len(symbols)
        gates.append(Gate(gate.name, gate.qubits, symbols))
    return Circuit(circuit.n_qubits, gates, circuit.name)


def _matrix(angles: Sequence[Angle], names: tuple[str, ...]) -> npt.NDArray[np.float64]:
    column = {name: j for j, name in enumerate(names)}
    matrix = np.zeros((len(angles), len(names)))
    for row, angle in enumerate(angles):
        for symbol, coefficient in angle.terms:
            if symbol.name in column:
                matrix[row, column[symbol.name]] = coefficient
    return matrix


def _words(bits: int, count: int) -> list[int]:
    return [bits >> (64 * i) & ((1 << 64) - 1) for i in range(count)]
