"""Circuits of trained gates, by name."""

from collections.abc import Callable, Mapping

from qdllm.circuits.angles import input_symbol, parameter
from qdllm.circuits.circuit import Circuit, Gate
from qdllm.errors import CircuitError, ConfigError

__all__ = [
    "ANSATZE",
    "brick",
    "hardware_efficient",
    "make_ansatz",
    "qd_llm",
    "reuploading",
    "tree",
]


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
    gates = _encode(n_qubits)
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


def hardware_efficient(n_qubits: int, n_layers: int) -> Circuit:
    """Return a hardware-efficient ansatz (Kandala et al., Nature 549 (2017) 242).

    RX(x_i) on every qubit, then layers of RY and RZ on every qubit and a ring of CNOTs.
    """
    _check(n_layers)
    gates = _encode(n_qubits)
    for layer in range(n_layers):
        gates += _rotate(n_qubits, layer)
        gates += [Gate("CNOT", (q, (q + 1) % n_qubits)) for q in range(n_qubits) if n_qubits > 1]
    return Circuit(n_qubits, gates, name="hardware_efficient")


def brick(n_qubits: int, n_layers: int) -> Circuit:
    """Return bricks of two qubits in alternating rows.

    RX(x_i) on every qubit, then rows of RZZ on neighbours, starting at qubit 0 and 1 in turn, each followed
    by RY on every qubit. A qubit sees `n_layers` neighbours to either side at most (`light_cones`).
    """
    _check(n_layers)
    gates = _encode(n_qubits)
    for layer in range(n_layers):
        for q in range(layer % 2, n_qubits - 1, 2):
            gates.append(Gate("RZZ", (q, q + 1), (parameter(f"l{layer}_zz{q}"),)))
        gates += [Gate("RY", (q,), (parameter(f"l{layer}_y{q}"),)) for q in range(n_qubits)]
    return Circuit(n_qubits, gates, name="brick")


def tree(n_qubits: int, n_layers: int) -> Circuit:
    """Return a tree tensor network (Grant et al., npj Quantum Information 4 (2018) 65), repeated.

    RX(x_i) on every qubit; then, at distances 1, 2, 4, …, RZZ on the qubits that are left, RY on both, and
    the first of each pair goes on to the next distance.
    """
    _check(n_layers)
    gates = _encode(n_qubits)
    for layer in range(n_layers):
        distance = 1
        while distance < n_qubits:
            for q in range(0, n_qubits - distance, 2 * distance):
                gates.append(Gate("RZZ", (q, q + distance), (parameter(f"l{layer}_zz{q}_{q + distance}"),)))
                for k in (q, q + distance):
                    gates.append(Gate("RY", (k,), (parameter(f"l{layer}_d{distance}_y{k}"),)))
            distance *= 2
    return Circuit(n_qubits, gates, name="tree")


def reuploading(n_qubits: int, n_layers: int) -> Circuit:
    """Return a data re-uploading circuit (Pérez-Salinas et al., Quantum 4 (2020) 226).

    Every layer encodes again: RX(x_i), then RY and RZ on every qubit and a ring of CZs. Layer l has inputs
    of its own, ``x_{l n}`` to ``x_{l n + n - 1}``, so that the projection can show it other features.
    """
    _check(n_layers)
    gates: list[Gate] = []
    for layer in range(n_layers):
        gates += _encode(n_qubits, first=layer * n_qubits)
        gates += _rotate(n_qubits, layer)
        ring = range(n_qubits if n_qubits > 2 else n_qubits - 1)
        gates += [Gate("CZ", (q, (q + 1) % n_qubits)) for q in ring]
    # After the last ring, so that it can be seen.
    gates += [Gate("RY", (q,), (parameter(f"l{n_layers}_y{q}"),)) for q in range(n_qubits)]
    return Circuit(n_qubits, gates, name="reuploading")


ANSATZE: Mapping[str, Callable[[int, int], Circuit]] = {
    ansatz.__name__: ansatz for ansatz in (brick, hardware_efficient, qd_llm, reuploading, tree)
}
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


def _encode(n_qubits: int, first: int = 0) -> list[Gate]:
    return [Gate("RX", (q,), (input_symbol(f"x_{first + q}"),)) for q in range(n_qubits)]


def _rotate(n_qubits: int, layer: int) -> list[Gate]:
    axes = ("RY", "RZ")
    return [
        Gate(axis, (q,), (parameter(f"l{layer}_{axis[1].lower()}{q}"),))
        for q in range(n_qubits)
        for axis in axes
    ]
