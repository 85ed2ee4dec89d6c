"""What is sent to a chip and what comes back: circuits that differ in their angles, and counts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from qdllm.circuits import Circuit, Gate, input_symbol, to_native
from qdllm.devices.pairs import zyz
from qdllm.errors import BackendError

__all__ = ["CircuitBatch", "Counts", "fold", "repeats", "state_preparations"]

_HALF_TURNS = {"RX": np.array([[0, -1j], [-1j, 0]]), "RY": np.array([[0, -1], [1, 0]])}
_TINY = 1e-9  # radians: a rotation that need not be sent


@dataclass(frozen=True)
class Counts:
    """How often each outcome was seen; bit w of a state is wire w, and a key's last character is wire 0.

    Parameters
    ----------
    states, numbers : ndarray of int64
        Distinct outcomes, and how often each was seen.
    """

    states: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]

    @property
    def shots(self) -> int:
        """Number of shots."""
        return int(self.numbers.sum())

    @classmethod
    def of(cls, outcomes: npt.NDArray[np.int64]) -> Self:
        """Count single outcomes."""
        return cls(*np.unique(outcomes, return_counts=True))

    @classmethod
    def from_keys(cls, counts: Mapping[str, int], n_wires: int, where: str = "counts") -> Self:
        """Read counts by bit string.

        Raises
        ------
        BackendError
            If a key is no bit string of `n_wires` characters, a number is not a whole one of at least 0, or
            all are 0.
        """
        if not isinstance(counts, Mapping) or not counts:
            raise BackendError(f"{where}: no counts came back, but {counts!r:.80}")
        for key, number in counts.items():
            if not isinstance(key, str) or len(key) != n_wires or set(key) - {"0", "1"}:
                raise BackendError(
                    f"{where}: malformed counts: {key!r:.80} is no outcome of {n_wires} qubits"
                )
            if isinstance(number, bool) or not isinstance(number, int) or number < 0:
                raise BackendError(f"{where}: malformed counts: {key} was seen {number!r:.80} times")
        if not any(counts.values()):
            raise BackendError(f"{where}: malformed counts: no outcome was seen at all")
        states = np.array([int(key, 2) for key in counts], dtype=np.int64)
        return cls(states, np.array(list(counts.values()), dtype=np.int64))

    def to_keys(self, n_wires: int) -> dict[str, int]:
        """Return the counts by bit string."""
        pairs = zip(self.states.tolist(), self.numbers.tolist(), strict=True)
        return {format(state, f"0{n_wires}b"): number for state, number in pairs}

    @classmethod
    def join(cls, parts: Iterable[Self]) -> Self:
        """Add up counts of one circuit."""
        parts = list(parts)
        return cls(
            np.concatenate([part.states for part in parts]), np.concatenate([part.numbers for part in parts])
        )


@dataclass(frozen=True)
class CircuitBatch:
    """Circuits of the same gates with other angles, and where on the chip they lie.

    Parameters
    ----------
    circuit : Circuit
        On wires; each rotation has an input of its own.
    angles : ndarray (n, n_angles)
        One row a circuit.
    layout : tuple of int
        The qubit of each wire.
    """

    circuit: Circuit
    angles: npt.NDArray[np.float64]
    layout: tuple[int, ...]

    def __len__(self) -> int:
        """Count the circuits."""
        return len(self.angles)

    def take(self, rows: npt.NDArray[np.int64] | slice) -> CircuitBatch:
        """Return some of the circuits."""
        return replace(self, angles=self.angles[rows])

    def physical(self, row: int) -> Circuit:
        """Return a circuit of RY, RZ and CZ on wires, rotations between two CZs merged into three."""
        bound = to_native(self.circuit.bind(self.angles[row].tolist()))
        return Circuit(bound.n_qubits, _merge(bound), bound.name)

    def qasm2(self, row: int) -> str:
        """Return OpenQASM 2 on the chip's own numbers, wire w measured into ``c[w]``."""
        circuit = self.physical(row)
        lines = ["OPENQASM 2.0;", 'include "qelib1.inc";', f"qreg q[{max(self.layout) + 1}];"]
        lines.append(f"creg c[{circuit.n_qubits}];")
        for gate, again in repeats(circuit):
            angles = f"({gate.angles[0].constant!r})" if gate.angles else ""
            qubits = ",".join(f"q[{self.layout[w]}]" for w in gate.qubits)
            lines += [f"barrier {qubits};"] * again
            lines.append(f"{gate.name.lower()}{angles} {qubits};")
        lines += [f"measure q[{q}] -> c[{w}];" for w, q in enumerate(self.layout)]
        return "\n".join(lines) + "\n"


def fold(circuit: Circuit) -> Circuit:
    """Put three CNOTs in the place of each: the same circuit with three times the two-qubit errors."""
    gates = [copy for gate in circuit.gates for copy in ([gate] * 3 if len(gate.qubits) == 2 else [gate])]
    return Circuit(circuit.n_qubits, gates, circuit.name)


def repeats(circuit: Circuit) -> Iterator[tuple[Gate, bool]]:
    """Yield each gate, and whether it repeats a two-qubit gate that is the last on both its qubits.

    A compiler that sees two such gates cancels them, and with them the errors that a folded circuit is made
    for, unless a barrier stands between.
    """
    last: dict[int, Gate] = {}
    for gate in circuit.gates:
        yield gate, len(gate.qubits) == 2 and all(last.get(qubit) == gate for qubit in gate.qubits)
        last |= dict.fromkeys(gate.qubits, gate)


def state_preparations(layout: tuple[int, ...]) -> CircuitBatch:
    """Return two circuits: every wire in 0, and every wire in 1."""
    gates = [Gate("RX", (w,), (input_symbol(f"a_{w}"),)) for w in range(len(layout))]
    angles = np.repeat([[0.0], [math.pi]], len(layout), axis=1)
    return CircuitBatch(Circuit(len(layout), gates, "readout"), angles, layout)


def _merge(circuit: Circuit) -> list[Gate]:
    merged: list[Gate] = []
    waiting = {q: np.eye(2, dtype=complex) for q in range(circuit.n_qubits)}

    def flush(qubit: int) -> None:
        first, turn, last = zyz(waiting[qubit][None])[0]
        names = (("RZ", first), ("RY", turn), ("RZ", last)) if abs(turn) > _TINY else (("RZ", first + last),)
        merged.extend(
            Gate(n, (qubit,), (float(a),)) for n, a in names if abs(math.remainder(a, 4 * math.pi)) > _TINY
        )
        waiting[qubit] = np.eye(2, dtype=complex)

    for gate in circuit.gates:
        if len(gate.qubits) == 1:
            waiting[gate.qubits[0]] = _unitary(gate) @ waiting[gate.qubits[0]]
            continue
        for qubit in gate.qubits:
            flush(qubit)
        merged.append(gate)
    for qubit in range(circuit.n_qubits):
        flush(qubit)
    return merged


def _unitary(gate: Gate) -> npt.NDArray[np.complex128]:
    half = gate.angles[0].constant / 2
    if gate.name == "RZ":
        return np.diag([np.exp(-1j * half), np.exp(1j * half)])
    return np.asarray(np.cos(half) * np.eye(2) + np.sin(half) * _HALF_TURNS[gate.name], dtype=complex)
