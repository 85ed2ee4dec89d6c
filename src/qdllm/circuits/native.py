"""Rewriting into the gates of today's superconducting chips: RX, RY, RZ and CZ."""

import math

from qdllm.circuits.angles import Angle
from qdllm.circuits.circuit import Circuit, Gate

__all__ = ["to_native"]

_FIXED_ROTATIONS = {
    "X": ("RX", math.pi),
    "Y": ("RY", math.pi),
    "Z": ("RZ", math.pi),
    "S": ("RZ", math.pi / 2),
    "SDG": ("RZ", -math.pi / 2),
    "T": ("RZ", math.pi / 4),
    "TDG": ("RZ", -math.pi / 4),
}


def to_native(circuit: Circuit) -> Circuit:
    """Return a circuit of RX, RY, RZ and CZ that is equal up to a global phase."""
    return Circuit(circuit.n_qubits, [n for gate in circuit.gates for n in _native(gate)], circuit.name)


def _native(gate: Gate) -> list[Gate]:  # noqa: PLR0911 - a table of rewriting rules
    match gate.name:
        case "RX" | "RY" | "RZ" | "CZ":
            return [gate]
        case "H":
            return [Gate("RZ", gate.qubits, (math.pi,)), Gate("RY", gate.qubits, (math.pi / 2,))]
        case "U3":
            theta, phi, lam = gate.angles
            return [Gate(n, gate.qubits, (a,)) for n, a in (("RZ", lam), ("RY", theta), ("RZ", phi))]
        case "CNOT":
            return _conjugate([Gate("CZ", gate.qubits)], "RY", gate.qubits[1:])
        case "SWAP":
            first, second = gate.qubits
            return [
                n
                for pair in ((first, second), (second, first), (first, second))
                for n in _native(Gate("CNOT", pair))
            ]
        case "RZZ":
            return _rzz(gate.qubits, gate.angles[0])
        case "RXX":
            return _conjugate(_rzz(gate.qubits, gate.angles[0]), "RY", gate.qubits)
        case "RYY":
            return _conjugate(_rzz(gate.qubits, gate.angles[0]), "RX", gate.qubits)
        case _:
            name, angle = _FIXED_ROTATIONS[gate.name]
            return [Gate(name, gate.qubits, (angle,))]


def _rzz(qubits: tuple[int, ...], angle: Angle) -> list[Gate]:
    # CNOT, RZ(angle) and CNOT with the inner quarter turns multiplied out.
    cz = Gate("CZ", qubits)
    return _conjugate([cz, Gate("RX", qubits[1:], (-angle,)), cz], "RY", qubits[1:])


def _conjugate(gates: list[Gate], name: str, qubits: tuple[int, ...]) -> list[Gate]:
    """Put quarter turns around: they turn Z into X (RY) or into -Y (RX) on those qubits."""
    before = [Gate(name, (q,), (-math.pi / 2,)) for q in qubits]
    after = [Gate(name, (q,), (math.pi / 2,)) for q in qubits]
    return [*before, *gates, *after]
