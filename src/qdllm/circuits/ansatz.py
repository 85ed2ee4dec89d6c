"""Circuits of trained gates, by name."""

from collections.abc import Callable, Mapping

from qdllm.circuits.angles import input_symbol, parameter
from qdllm.circuits.circuit import Circuit, Gate
from qdllm.errors import CircuitError, ConfigError

__all__ = ["ANSATZE", "make_ansatz", "qd_llm"]


def qd_llm(n_qubits: int = 11, n_layers: int = 2) -> Circuit:
    """Return the student circuit of QD-LLM (arXiv 2505.13205), gate by gate as published.

    RX(x_i) on every qubit, then layers of RY, RZZ, RZ and CNOT. Parameters are named
    ``l{layer}_{letter}{index}`` with letters a to g; d counts by its loop index. 11 qubits and 2 layers have
    144 parameters. One qubit, where the published loops are empty, keeps its rotations.

    Parameters
    ----------
    n_qubits : int
        At least 1.
    n_layers : int
        At least 0.
    """
    _check(n_layers)
    gates = [Gate("RX", (q,), (input_symbol(f"x_{q}"),)) for q in range(n_qubits)]
    for layer in range(n_layers):
        for j in range(max(n_qubits - 1, 1)):
            gates += [Gate("RY", (j,), (parameter(f"l{layer}_{letter}{j}"),)) for letter in "abc"]
            if j + 2 < n_qubits:
                gates.append(Gate("RZZ", (j + 1, j + 2), (parameter(f"l{layer}_d{j}"),)))
        for q in range(n_qubits):
            gates += [Gate("RZ", (q,), (parameter(f"l{layer}_{letter}{q}"),)) for letter in "efg"]
        if n_qubits > 1:
            gates.append(Gate("CNOT", (n_qubits - 1, 0)))
        for k in range(1, n_qubits - 2):
            gates += [Gate("CNOT", (k, k + 1)), Gate("CNOT", (k, k - 1))]
    return Circuit(n_qubits, gates, name="qd_llm")


ANSATZE: Mapping[str, Callable[[int, int], Circuit]] = {"qd_llm": qd_llm}
"""Every ansatz by name: a function of the numbers of qubits and layers."""


def make_ansatz(name: str, n_qubits: int, n_layers: int) -> Circuit:
    """Return the ansatz of that name.

    Raises
    ------
    ConfigError
        If the name is unknown.
    CircuitError
        If a number is out of range.
    """
    if name not in ANSATZE:
        raise ConfigError(f"unknown ansatz {name!r}: use one of {', '.join(sorted(ANSATZE))}")
    return ANSATZE[name](n_qubits, n_layers)


def _check(n_layers: int) -> None:
    if isinstance(n_layers, bool) or not isinstance(n_layers, int) or n_layers < 0:
        raise CircuitError(f"an ansatz needs a whole number of layers, at least 0, got {n_layers!r}")
