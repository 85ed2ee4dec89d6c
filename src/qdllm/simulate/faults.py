"""Where a circuit can go wrong on a chip, and what each Pauli error comes to at its end.

A Pauli error, carried to the end of a circuit of rotations and CNOTs, turns round the sense of every rotation
that it anticommutes with and flips some of the outcomes. So a noisy run is the same circuit with other signs,
and needs no gate of its own.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from qdllm.circuits import Circuit, Gate
from qdllm.errors import CircuitError
from qdllm.simulate.noise import NoiseModel

__all__ = ["Site", "fault_sites"]

_ROTATIONS = ("RX", "RY", "RZ")


@dataclass(frozen=True)
class Site:
    """A place where an error may strike.

    Parameters
    ----------
    kind : str
        ``"rotation"``, ``"cz"`` or ``"idle"``.
    wires : tuple of int
    gate : int
        Position in the circuit of the gate that the error follows; -1 before the first.
    paulis : dict of str to float
        Probability of each Pauli, one letter a wire, in the chip's own frame, where CNOT is CZ between
        two half turns of its target.
    effects : dict of int to float
        Probability of each combined effect: bit j is set where the j-th rotation changes sign, bit
        n_rotations + q where outcome q flips.
    time : float
        Microseconds of waiting.
    """

    kind: str
    wires: tuple[int, ...]
    gate: int
    paulis: dict[str, float]
    effects: dict[int, float]
    time: float = 0.0


@dataclass
class _Wire:
    """One wire, seen from the end of the circuit: what X and Z here come to, and the time from here on."""

    x: int
    z: int = 0
    time: float = 0.0
    pulses: list[str] = field(default_factory=list)  # since the CZ that follows

    def needs_pulse(self) -> bool:
        """Return whether the gates between two CZs are more than a change of frame."""
        return bool(self.pulses) and set(self.pulses) != {"RZ"} and self.pulses != ["H", "H"]


def fault_sites(circuit: Circuit, noise: NoiseModel) -> list[Site]:
    """List the errors of a circuit that is run as late as it can be and then measured.

    Rotations between two CZs are one pulse.

    Parameters
    ----------
    circuit : Circuit
        Of RX, RY, RZ, CNOT and CZ.
    noise : NoiseModel
        Of as many wires.

    Raises
    ------
    CircuitError
        If the circuit has another gate, other wires than `noise`, or a CZ where there is no coupler.
    """
    if circuit.n_qubits != noise.n_qubits:
        raise CircuitError(f"the circuit has {circuit.n_qubits} qubits, the noise model {noise.n_qubits}")
    n_rotations = sum(gate.name in _ROTATIONS for gate in circuit.gates)
    wires = [_Wire(1 << (n_rotations + q)) for q in range(circuit.n_qubits)]
    sites: list[Site] = []
    rotation = n_rotations
    for position in reversed(range(len(circuit.gates))):
        gate = circuit.gates[position]
        if gate.name in _ROTATIONS:
            rotation -= 1
            _turn(wires[gate.qubits[0]], gate.name, 1 << rotation)
        elif gate.name in ("CNOT", "CZ"):
            sites += _entangle(wires, gate, position, noise)
        else:
            raise CircuitError(f"{gate}: noise is known for RX, RY, RZ, CNOT and CZ; lower the circuit first")
    for q, wire in enumerate(wires):
        sites += _close(wire, q, -1, noise)
    return [site for site in sites if site.effects]


def _turn(wire: _Wire, name: str, bit: int) -> None:
    wire.pulses.append(name)
    wire.x ^= bit if name != "RX" else 0
    wire.z ^= bit if name != "RZ" else 0


def _entangle(wires: list[_Wire], gate: Gate, position: int, noise: NoiseModel) -> Iterator[Site]:
    first, second = gate.qubits
    a, b = wires[first], wires[second]
    is_cnot = gate.name == "CNOT"
    if is_cnot:
        b.pulses.append("H")
    for q in gate.qubits:
        yield from _close(wires[q], q, position, noise)
    start = max(a.time, b.time)
    for q in gate.qubits:
        yield from _wait(wires[q], q, position, start, noise, in_x_basis=is_cnot and q == second)
    frame = (a.x, a.z, b.z, b.x) if is_cnot else (a.x, a.z, b.x, b.z)
    pairs = [s + t for s in "IXYZ" for t in "IXYZ" if s + t != "II"]
    error = noise.cz_error(first, second) / len(pairs)
    yield Site("cz", gate.qubits, position, dict.fromkeys(pairs, error), _effects(pairs, frame, [error] * 15))
    for q in gate.qubits:
        wires[q].time = start + noise.two_qubit_time
    if is_cnot:
        a.x, b.z = a.x ^ b.x, b.z ^ a.z
        b.pulses = ["H"]
    else:
        a.x, b.x = a.x ^ b.z, b.x ^ a.z


def _close(wire: _Wire, q: int, position: int, noise: NoiseModel) -> Iterator[Site]:
    """End a run of rotations; its error depolarises, so that its place in the run does not matter."""
    if wire.needs_pulse():
        error = noise.rotation_error(q) / 3
        effects = _effects("XYZ", (wire.x, wire.z), [error] * 3)
        yield Site("rotation", (q,), position, dict.fromkeys("XYZ", error), effects)
        wire.time += noise.one_qubit_time
    wire.pulses = []


def _wait(
    wire: _Wire, q: int, position: int, until: float, noise: NoiseModel, *, in_x_basis: bool
) -> Iterator[Site]:
    if until > wire.time:
        errors = noise.idle_errors(q, until - wire.time)
        frame = (wire.z, wire.x) if in_x_basis else (wire.x, wire.z)
        paulis = dict(zip("XYZ", errors, strict=True))
        effects = _effects("XYZ", frame, errors)
        yield Site("idle", (q,), position, paulis, effects, until - wire.time)


def _effects(paulis: Iterable[str], frame: tuple[int, ...], errors: Iterable[float]) -> dict[int, float]:
    """Add up the probabilities of Paulis that come to the same; those that come to nothing are left out."""
    found: dict[int, float] = {}
    for pauli, error in zip(paulis, errors, strict=True):
        effect = 0
        for position, letter in enumerate(pauli):
            effect ^= frame[2 * position] if letter in "XY" else 0
            effect ^= frame[2 * position + 1] if letter in "YZ" else 0
        if effect and error > 0.0:
            found[effect] = found.get(effect, 0.0) + error
    return found
