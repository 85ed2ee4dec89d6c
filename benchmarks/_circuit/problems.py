"""What is run: the paper's circuit with the peers' numbers, other families, the reference to be met."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qdllm.circuits import Circuit, Gate, input_symbol, parameter, qd_llm
from qdllm.errors import WorkError
from qdllm.simulate import StatevectorSimulator

Array = NDArray[np.float64]

_TOLERANCE = 1e-4  # the peers' own
_STORED = "the peers' reference (values in NumPy, gradients by finite differences)"
_SHAPES = {**dict.fromkeys("abc", (2, 10)), "d": (2, 9), **dict.fromkeys("efg", (2, 11))}
_PUBLISHED = {
    f"l{layer}_{letter}{j}": (letter, layer, j)
    for letter, shape in _SHAPES.items()
    for layer, j in np.ndindex(shape)
}


@dataclass(frozen=True)
class Problem:
    """A circuit with inputs (batch, n_inputs), parameters and the loss's weights (batch, n_qubits)."""

    circuit: Circuit
    inputs: Array
    parameters: Array
    weights: Array


def paper_problem() -> Problem:
    """Return the paper's circuit with 256 samples: the numbers that every peer is given."""
    rng = np.random.default_rng(0)
    inputs = rng.uniform(0, 10, (256, 11))
    drawn = {letter: rng.uniform(-3, 3, shape) for letter, shape in _SHAPES.items()}
    weights = rng.normal(size=(256, 11))
    circuit = qd_llm()
    places = (_PUBLISHED[name] for name in circuit.parameter_names)
    parameters = np.array([drawn[letter][layer, j] for letter, layer, j in places])
    return Problem(circuit, inputs, parameters, weights)


def random_problem(circuit: Circuit, batch: int) -> Problem:
    """Return a circuit with random numbers."""
    rng = np.random.default_rng(0)
    return Problem(
        circuit,
        rng.uniform(0, 10, (batch, circuit.n_inputs)),
        rng.uniform(-3, 3, circuit.n_parameters),
        rng.normal(size=(batch, circuit.n_qubits)),
    )


class Step:
    """A training step's share of the simulator, through its public interface, on `batch` samples."""

    def __init__(
        self, problem: Problem, batch: int, dtype: torch.dtype, engine: str = "auto", device: str = "cpu"
    ) -> None:
        self.simulator = StatevectorSimulator(problem.circuit, engine=engine)
        rows = np.arange(batch) % len(problem.inputs)
        self.inputs = torch.tensor(problem.inputs[rows], dtype=dtype, device=device, requires_grad=True)
        self.parameters = torch.tensor(problem.parameters, dtype=dtype, device=device, requires_grad=True)
        self.weights = torch.tensor(problem.weights[rows], dtype=dtype, device=device)

    def forward(self) -> Tensor:
        """Return the expectation values."""
        with torch.no_grad():
            return self.simulator(self.inputs, self.parameters)

    def step(self) -> Tensor:
        """Return the expectation values and leave the gradients of their weighted sum."""
        self.inputs.grad = self.parameters.grad = None
        values = self.simulator(self.inputs, self.parameters)
        (values * self.weights).sum().backward()  # type: ignore[no-untyped-call]
        return values


@dataclass(frozen=True)
class Reference:
    """Right values and gradients of the first samples of `paper_problem`, and where they are from."""

    source: str
    values: Array
    parameter_gradients: Array  # in the order of Circuit.parameter_names
    input_gradients: Array

    def check(self, dtype: torch.dtype, engine: str) -> dict[str, float]:
        """Return an engine's largest errors.

        Raises
        ------
        WorkError
            If one of them is too large.
        """
        found = _evaluate(len(self.values), dtype, engine)
        expected = (self.values, self.parameter_gradients, self.input_gradients)
        names = ("values", "parameter_gradients", "input_gradients")
        errors = {
            name: float(np.abs(ours - right).max())
            for name, ours, right in zip(names, found, expected, strict=True)
        }
        if not max(errors.values()) < _TOLERANCE:
            raise WorkError(f"the engine {engine} does not meet {self.source}: largest errors {errors}")
        return errors


def reference_of(folder: Path | None) -> Reference:
    """Return the peers' reference from their folder; without one, this package's torch path in float64."""
    if folder is None:
        return Reference("the torch path in float64", *_evaluate(3, torch.float64, "torch"))
    with np.load(folder / "reference.npz") as stored:
        gradients = dict(zip(_PUBLISHED, stored["g"], strict=True))
        ordered = np.array([gradients[name] for name in qd_llm().parameter_names])
        return Reference(_STORED, stored["Z"], ordered, stored["gx"])


def _evaluate(batch: int, dtype: torch.dtype, engine: str) -> tuple[Array, Array, Array]:
    run = Step(paper_problem(), batch, dtype, engine)
    values = run.step().detach()
    assert run.parameters.grad is not None
    assert run.inputs.grad is not None
    return (
        values.double().numpy(),
        run.parameters.grad.double().numpy(),
        run.inputs.grad.double().numpy(),
    )


def families(n_qubits: int) -> dict[str, Circuit]:
    """Return a circuit of each family, deep enough that every observable sees every qubit."""
    return {
        "the paper's": qd_llm(n_qubits, 2),
        "RY, RZ, CNOT ring": hardware_efficient(n_qubits, 4),
        "brick of RZZ, RXX": brick(n_qubits, n_qubits),
        "random Clifford + rotations": random_clifford(n_qubits, 200),
        "re-uploading, CZ ring": re_uploading(n_qubits, 6),
        "U3, CZ ring": u3_cz(n_qubits, 6),
    }


def hardware_efficient(n_qubits: int, n_layers: int) -> Circuit:
    """Return layers of RY and RZ on every qubit and CNOTs round a ring."""
    gates = _encoding(n_qubits)
    for layer in range(n_layers):
        for q in range(n_qubits):
            gates += [_trained("RY", f"y{layer}_{q}", q), _trained("RZ", f"z{layer}_{q}", q)]
        gates += _ring("CNOT", n_qubits)
    return Circuit(n_qubits, gates)


def brick(n_qubits: int, n_layers: int) -> Circuit:
    """Return layers of RZZ and RXX on neighbours, shifted by one from layer to layer."""
    gates = _encoding(n_qubits)
    for layer in range(n_layers):
        for q in range(layer % 2, n_qubits - 1, 2):
            gates += [_trained("RZZ", f"z{layer}_{q}", q, q + 1), _trained("RXX", f"x{layer}_{q}", q, q + 1)]
    return Circuit(n_qubits, gates)


def random_clifford(n_qubits: int, n_gates: int) -> Circuit:
    """Return gates drawn evenly from H, S, CNOT, CZ, SWAP, RX, RY and RZ, on random qubits."""
    rng = np.random.default_rng(0)
    gates = _encoding(n_qubits)
    for position in range(n_gates):
        name = str(rng.choice(["H", "S", "CNOT", "CZ", "SWAP", "RX", "RY", "RZ"]))
        first, second = (int(q) for q in rng.permutation(n_qubits)[:2])
        if name in ("CNOT", "CZ", "SWAP"):
            gates.append(Gate(name, (first, second)))
        elif name in ("H", "S"):
            gates.append(Gate(name, (first,)))
        else:
            gates.append(_trained(name, f"t{position}", first))
    return Circuit(n_qubits, gates)


def re_uploading(n_qubits: int, n_layers: int) -> Circuit:
    """Return layers that each bring the inputs in again, by RX and RZ about a trained RY."""
    gates: list[Gate] = []
    for layer in range(n_layers):
        gates += _encoding(n_qubits)
        for q in range(n_qubits):
            gates += [_trained("RY", f"y{layer}_{q}", q), Gate("RZ", (q,), (input_symbol(f"x_{q}"),))]
        gates += _ring("CZ", n_qubits)
    return Circuit(n_qubits, gates)


def u3_cz(n_qubits: int, n_layers: int) -> Circuit:
    """Return layers of U3 on every qubit and CZs round a ring."""
    gates = _encoding(n_qubits)
    for layer in range(n_layers):
        for q in range(n_qubits):
            angles = [parameter(f"{letter}{layer}_{q}") for letter in ("theta", "phi", "lambda")]
            gates.append(Gate("U3", (q,), angles))
        gates += _ring("CZ", n_qubits)
    return Circuit(n_qubits, gates)


def _encoding(n_qubits: int) -> list[Gate]:
    return [Gate("RX", (q,), (input_symbol(f"x_{q}"),)) for q in range(n_qubits)]


def _ring(name: str, n_qubits: int) -> Iterable[Gate]:
    return [Gate(name, (q, (q + 1) % n_qubits)) for q in range(n_qubits)]


def _trained(gate: str, name: str, *qubits: int) -> Gate:
    return Gate(gate, qubits, (parameter(name),))
