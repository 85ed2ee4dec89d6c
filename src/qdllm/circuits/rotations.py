"""A circuit as Pauli rotations of |0...0> and the Pauli strings read out.

Every gate here is a rotation, a linear map of basis states, or a Pauli. The linear maps and Paulis are
pushed to the end and there absorbed into the observables; what passes them on the way becomes a rotation
about a string. Two kinds remain, both described by bit masks of one fixed numbering of basis states k:

- diagonal (x = 0): exp(-i angle/2 Z^z), the phase exp(-+ i angle/2) by the parity of k & z;
- real (x & z of odd weight): exp(angle/2 X^x Z^z), which turns amplitudes k and k ^ x into each other
  without an i.
  RY on one qubit is x = z = its bit.

RX = RZ(-pi/2) RY RZ(pi/2) and H = RY(pi/2) Z need no third kind.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qdllm.circuits.angles import Angle
from qdllm.circuits.circuit import Circuit, Gate
from qdllm.circuits.observables import Observable, PauliString

__all__ = ["Rotation", "anticommute", "is_trivial", "mark_live", "odd", "to_rotations"]


@dataclass(frozen=True)
class Rotation:
    """A diagonal (x = 0) or real (x & z odd) rotation; `gate` is the position of the gate it comes from."""

    x: int
    z: int
    angle: Angle
    gate: int = -1


def odd(mask: int) -> bool:
    """Return whether an odd number of bits is set."""
    return bool(mask.bit_count() & 1)


def anticommute(first: Rotation | PauliString, second: Rotation | PauliString) -> bool:
    """Return whether two Pauli strings anticommute."""
    return odd(first.x & second.z) != odd(first.z & second.x)


def is_trivial(angle: Angle) -> bool:
    """Return whether a rotation by this angle changes at most the global sign."""
    return not angle.terms and abs(math.remainder(angle.constant, 2 * math.pi)) < 1e-12


def to_rotations(
    circuit: Circuit, observables: Sequence[Observable]
) -> tuple[list[Rotation], tuple[Observable, ...]]:
    """Return the circuit's rotations in order, and the observables with the final map absorbed."""
    frame = _Frame(circuit.n_qubits)
    for position, gate in enumerate(circuit.gates):
        frame.apply(gate, position)
    pulled = (tuple(frame.pull_back(string, c) for string, c in observable) for observable in observables)
    return frame.rotations, tuple(pulled)


def mark_live(rotations: Sequence[Rotation], observables: Iterable[Observable]) -> list[bool]:
    """Say of each rotation whether any observable can depend on it.

    One that commutes with the observables and with every later live rotation passes through to the end and
    cancels.
    """
    later: list[Rotation | PauliString] = list(dict.fromkeys(s for o in observables for s, _ in o))
    live = [False] * len(rotations)
    for position in reversed(range(len(rotations))):
        rotation = rotations[position]
        live[position] = any(anticommute(rotation, other) for other in later)
        if live[position]:
            later.append(rotation)
    return live


_PHASES = {"S": math.pi / 2, "SDG": -math.pi / 2, "T": math.pi / 4, "TDG": -math.pi / 4}


class _Frame:
    """The linear map and Paulis met so far: X and Z of each qubit, seen from before them, as signed masks."""

    def __init__(self, n_qubits: int) -> None:
        self.x = [1 << q for q in range(n_qubits)]
        self.z = [1 << q for q in range(n_qubits)]
        self.x_negative = [False] * n_qubits
        self.z_negative = [False] * n_qubits
        self.rotations: list[Rotation] = []
        self._gate = -1

    def apply(self, gate: Gate, position: int) -> None:  # noqa: PLR0912 - one branch a kind of gate
        self._gate = position
        first, last = gate.qubits[0], gate.qubits[-1]
        match gate.name:
            case "X" | "Y" | "Z":
                self.z_negative[first] ^= gate.name != "Z"
                self.x_negative[first] ^= gate.name != "X"
            case "CNOT":
                self._cnot(first, last)
            case "SWAP":
                for control, target in ((first, last), (last, first), (first, last)):
                    self._cnot(control, target)
            case "H":
                self._h(first)
            case "RX":
                self._rx(gate.angles[0], first)
            case "RY":
                self._ry(gate.angles[0], first)
            case "U3":
                theta, phi, lam = gate.angles
                self._rz(lam, first)
                self._ry(theta, first)
                self._rz(phi, first)
            case "RXX" | "RYY":
                self._rpp(gate)
            case "CZ":
                for qubits in ((first,), (last,)):
                    self._rz(Angle(math.pi / 2), *qubits)
                self._rz(Angle(-math.pi / 2), first, last)
            case "RZ" | "RZZ":
                self._rz(gate.angles[0], *gate.qubits)
            case _:
                self._rz(Angle(_PHASES[gate.name]), first)

    def pull_back(self, string: PauliString, coefficient: float) -> tuple[PauliString, float]:
        """Return the signed string that, read before the map, has the value of `string` read after it."""
        x = z = 0
        negative = False
        for q in range(len(self.x)):
            if string.x >> q & 1:
                x ^= self.x[q]
                negative ^= self.x_negative[q]
            if string.z >> q & 1:
                z ^= self.z[q]
                negative ^= self.z_negative[q]
        # The factors i of the two conventions differ by a sign where their numbers of Ys differ by two.
        negative ^= bool(((string.x & string.z).bit_count() - (x & z).bit_count()) & 2)
        return PauliString(x, z), -coefficient if negative else coefficient

    def _cnot(self, control: int, target: int) -> None:
        self.x[control] ^= self.x[target]
        self.x_negative[control] ^= self.x_negative[target]
        self.z[target] ^= self.z[control]
        self.z_negative[target] ^= self.z_negative[control]

    def _rz(self, angle: Angle, *qubits: int) -> None:
        z, negative = 0, False
        for q in qubits:
            z ^= self.z[q]
            negative ^= self.z_negative[q]
        self.rotations.append(Rotation(0, z, -angle if negative else angle, self._gate))

    def _ry(self, angle: Angle, q: int) -> None:
        negative = self.x_negative[q] ^ self.z_negative[q]
        self.rotations.append(Rotation(self.x[q], self.z[q], -angle if negative else angle, self._gate))

    def _rx(self, angle: Angle, q: int) -> None:
        self._rz(Angle(math.pi / 2), q)
        self._ry(angle, q)
        self._rz(Angle(-math.pi / 2), q)

    def _h(self, q: int) -> None:
        self.x_negative[q] ^= True
        self._ry(Angle(math.pi / 2), q)

    def _rpp(self, gate: Gate) -> None:
        """RXX is RZZ between Hadamards; RYY is RXX between S-daggers and Ss."""
        turn = math.pi / 2 if gate.name == "RYY" else 0.0
        for q in gate.qubits:
            self._rz(Angle(-turn), q)
            self._h(q)
        self._rz(gate.angles[0], *gate.qubits)
        for q in gate.qubits:
            self._h(q)
            self._rz(Angle(turn), q)
