"""Probabilities of all outcomes, by the compiled kernel: from the expectation of every product of Zs."""

import torch
from torch import Tensor

from qdllm.circuits import Circuit, PauliString, compile_circuit
from qdllm.simulate.kernel import instruction_sets
from qdllm.simulate.kernel_engine import KernelEngine
from qdllm.simulate.statevector import StatevectorSimulator

__all__ = ["OutcomeSimulator"]

_MOST_QUBITS = 12  # 4,096 products


class OutcomeSimulator:
    """Simulate the outcomes of measuring every qubit of a circuit whose angles are all inputs.

    The kernel returns what it is asked to read, and all 2^n products of Zs are the Walsh-Hadamard transform
    of the probabilities. For more qubits than 12, and without a compiled kernel, PyTorch does the work.

    Parameters
    ----------
    circuit : Circuit
        Without trained parameters.
    """

    def __init__(self, circuit: Circuit) -> None:
        self._n_qubits = circuit.n_qubits
        self._kernel: KernelEngine | None = None
        if instruction_sets() and circuit.n_qubits <= _MOST_QUBITS:
            strings = [((PauliString(0, mask), 1.0),) for mask in range(1, 1 << circuit.n_qubits)]
            self._kernel = KernelEngine(compile_circuit(circuit, strings))
        else:
            self._torch = StatevectorSimulator(circuit, engine="torch")

    @torch.no_grad()
    def probabilities(self, inputs: Tensor) -> Tensor:
        """Return every outcome's probability (batch, 2^n), bit q of an index being qubit q."""
        none = inputs.new_zeros(0)
        if self._kernel is None:
            return self._torch.probabilities(inputs, none)
        products = self._kernel.expectations(inputs, none)
        spectrum = torch.cat([products.new_ones(len(products), 1), products], dim=1)
        low = self._n_qubits // 2
        spectrum = spectrum.reshape(len(inputs), 1 << (self._n_qubits - low), 1 << low)
        found = _hadamard(self._n_qubits - low) @ spectrum @ _hadamard(low)
        return (found.reshape(len(inputs), -1) / (1 << self._n_qubits)).clamp_min_(0.0)


def _hadamard(n_qubits: int) -> Tensor:
    matrix = torch.ones(1, 1)
    for _ in range(n_qubits):
        matrix = torch.kron(matrix, torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
    return matrix
