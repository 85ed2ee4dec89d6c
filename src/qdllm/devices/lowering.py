"""From a circuit to what is worth sending to a chip: the fewest two-qubit gates, on a line of wires.

Four things are left to the classical side or made cheaper:

- trailing CNOTs and dead rotations: outcomes are read as parities;
- a qubit that nothing rotates after its first rotation is a coin: it is thrown classically, and the circuit
  run once for each side with the signs that go with it (*branches*);
- phases on pairs of qubits right after the encoding: two qubits in any known state need one CZ, not two;
- phases too small to matter.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qdllm.circuits import Circuit, CompiledCircuit, Diagonal, Gate, Local, compile_circuit, gf2, input_symbol
from qdllm.circuits.observables import Observable, each_z
from qdllm.devices.pairs import prepare_pair
from qdllm.devices.routing import route
from qdllm.errors import CircuitError

__all__ = ["Lowered", "Parity", "lower", "two_qubit_depth"]

_MOST_COINS = 2

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Parity:
    """A term of an observable: coefficient times the product of Zs on some wires, and of coins."""

    wires: int
    coins: int
    coefficient: float


@dataclass(frozen=True)
class _Sum:
    """An angle: a sum of compiled angles, of which each changes sign with the parity of some coins."""

    terms: tuple[tuple[int, int], ...] = ()

    def __add__(self, other: "_Sum") -> "_Sum":
        return _Sum(self.terms + other.terms)

    def evaluate(self, angles: Floats, coins: int) -> Floats:
        total = np.zeros(len(angles))
        for index, mask in self.terms:
            total += angles[:, index] * (-1 if (mask & coins).bit_count() & 1 else 1)
        return total


@dataclass(frozen=True)
class _Pair:
    """Two encoded qubits and the phases on them: the rotations, and the phases of each and of both."""

    rotations: tuple[_Sum, _Sum]
    phases: tuple[_Sum, _Sum, _Sum]

    def evaluate(self, angles: Floats, coins: int) -> Floats:
        sums = (*self.rotations, *self.phases)
        return prepare_pair(*(part.evaluate(angles, coins) for part in sums))


@dataclass(frozen=True)
class Lowered:
    """A circuit as it is sent to a chip.

    Parameters
    ----------
    circuit : Circuit
        RY, RZ and CNOT on neighbouring wires of a line; every rotation has an input of its own.
    parities : tuple of tuple of Parity
        What to read for each observable.
    n_coins : int
        Coins: there are 2^n_coins branches.
    dropped : int
        Phases that were left out because they are small.
    drop_bound : float
        The most by which that changes any product of Zs.
    """

    circuit: Circuit
    parities: tuple[tuple[Parity, ...], ...]
    n_coins: int
    dropped: int
    drop_bound: float
    _compiled: CompiledCircuit = field(repr=False)
    _recipes: tuple[_Sum | _Pair, ...] = field(repr=False)
    _coins: tuple[_Sum, ...] = field(repr=False)

    @property
    def n_wires(self) -> int:
        """Wires that are run and measured."""
        return self.circuit.n_qubits

    @property
    def two_qubit_gates(self) -> int:
        """Number of CZs."""
        return sum(gate.name == "CNOT" for gate in self.circuit.gates)

    @property
    def depth(self) -> int:
        """Layers of CZs."""
        return two_qubit_depth(self.circuit)

    def angles(self, inputs: Floats) -> Floats:
        """Return the angles to send, (batch, 2^n_coins, n_angles), for inputs (batch, n_inputs)."""
        compiled = self._compiled.constants + inputs @ self._compiled.input_matrix.T
        branches = []
        for coins in range(1 << self.n_coins):
            columns = [recipe.evaluate(compiled, coins) for recipe in self._recipes]
            branches.append(np.column_stack(columns) if columns else np.zeros((len(inputs), 0)))
        return np.stack(branches, axis=1)

    def weights(self, inputs: Floats) -> Floats:
        """Return each branch's probability, (batch, 2^n_coins)."""
        compiled = self._compiled.constants + inputs @ self._compiled.input_matrix.T
        weights = np.ones((len(inputs), 1))
        for coin in self._coins:
            one = np.sin(coin.evaluate(compiled, 0) / 2)[:, None] ** 2
            weights = np.hstack([weights * (1 - one), weights * one])
        return weights


def lower(
    circuit: Circuit, observables: Sequence[Observable] | None = None, *, tolerance: float = 0.0
) -> Lowered:
    """Lower a circuit whose parameters are bound.

    Parameters
    ----------
    circuit : Circuit
        Without trained parameters; inputs stay free.
    observables : sequence of Observable, optional
        Sums of products of Zs; default: Z of every qubit.
    tolerance : float
        Leave out phases on several qubits, smallest first, as long as no product of Zs can change by more
        than this: exp(-i t P / 2) is at most abs(t) / 2 from the identity, and an expectation value of norm 1
        changes by at most twice that.

    Raises
    ------
    CircuitError
        If a parameter is not bound, or an observable is not made of Zs.
    TooLargeError
        If there are too many qubits to route.
    """
    if circuit.parameter_names:
        raise CircuitError(f"bind the trained parameters first: {circuit.parameter_names[0]!r} has no value")
    observables = each_z(circuit.n_qubits) if observables is None else observables
    if any(string.x for observable in observables for string, _ in observable):
        raise CircuitError("a chip reads products of Zs: an observable has an X or a Y")
    compiled = compile_circuit(circuit, observables)
    coins = _find_coins(compiled)
    qubits = [q for q in range(compiled.n_qubits) if q not in coins]
    attempts = [_Builder(compiled, coins, order, tolerance) for order in _orders(compiled, qubits)]
    return min((attempt.build() for attempt in attempts), key=lambda low: (low.two_qubit_gates, low.depth))


def two_qubit_depth(circuit: Circuit) -> int:
    """Return how many layers of two-qubit gates a circuit has."""
    depth = [0] * circuit.n_qubits
    for gate in circuit.gates:
        if len(gate.qubits) == 2:
            a, b = gate.qubits
            depth[a] = depth[b] = max(depth[a], depth[b]) + 1
    return max(depth)


def _find_coins(compiled: CompiledCircuit) -> list[int]:
    """Return qubits that only the first layer rotates, and that others depend on."""
    first, *later = [stage for stage in compiled.stages if isinstance(stage, Local)] or [Local(())]
    flipped = 0
    for x, _, _ in (rotation for stage in later for rotation in stage.rotations):
        flipped |= x
    linked = 0
    for mask in _parities(compiled):
        linked |= mask if mask.bit_count() > 1 else 0
    alone = [x for x, z, _ in first.rotations if x == z and x.bit_count() == 1]
    others = [x | z for x, z, _ in first.rotations]
    coins = [x for x in alone if not x & flipped and x & linked and sum(bool(x & o) for o in others) == 1]
    return [x.bit_length() - 1 for x in coins[:_MOST_COINS]]


def _parities(compiled: CompiledCircuit) -> Iterable[int]:
    for stage in compiled.stages:
        yield from (
            (z for _, z, _ in stage.rotations) if isinstance(stage, Local) else (m for m, _ in stage.terms)
        )


def _orders(compiled: CompiledCircuit, qubits: list[int]) -> list[list[int]]:
    """Return orders of the qubits on the line to try: their own, and one that keeps partners close."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    together = np.zeros((len(qubits), len(qubits)))
    for mask in _parities(compiled):
        inside = [i for i, q in enumerate(qubits) if mask >> q & 1]
        if len(inside) == 2:
            together[inside[0], inside[1]] = together[inside[1], inside[0]] = 1
    close = [qubits[i] for i in reverse_cuthill_mckee(csr_array(together), symmetric_mode=True)]
    return [qubits] if close in (qubits, qubits[::-1]) else [qubits, close]


class _Builder:
    """Write the gates of one order of wires."""

    def __init__(
        self, compiled: CompiledCircuit, coins: list[int], order: list[int], tolerance: float
    ) -> None:
        self.compiled = compiled
        self.coins = coins
        self.order = order
        self.gates: list[tuple[str, tuple[int, ...]]] = []
        self.recipes: list[_Sum | _Pair] = []
        # What X and Z of each wire are, in the fixed numbering with its bits in the wires' order.
        self.values = [1 << w for w in range(len(order))]
        self.flips = [1 << w for w in range(len(order))]
        self.dropped: list[float] = []
        self.tolerance = tolerance

    def build(self) -> Lowered:
        pending: dict[int, _Sum] = {}
        sections: list[tuple[dict[int, _Sum], Local]] = []
        for stage in self.compiled.stages:
            if isinstance(stage, Diagonal):
                for mask, angle in stage.terms:
                    wires, coins = self._split(mask)
                    if wires:
                        pending[wires] = pending.get(wires, _Sum()) + _Sum(((angle, coins),))
            else:
                sections.append((pending, stage))
                pending = {}
        self._drop_small([phases for phases, _ in sections])
        for position, (phases, stage) in enumerate(sections):
            following = sections[position + 1][0] if position + 1 < len(sections) else {}
            self._section(phases, stage, following if position == 0 and not phases else None)
        return self._finish()

    def _split(self, mask: int) -> tuple[int, int]:
        """Part a parity of qubits into one of wires and one of coins."""
        wires = sum(1 << w for w, q in enumerate(self.order) if mask >> q & 1)
        return wires, sum(1 << c for c, q in enumerate(self.coins) if mask >> q & 1)

    def _drop_small(self, sections: Sequence[dict[int, _Sum]]) -> None:
        constants = self.compiled.constants[None]
        varies = [bool(row.any()) for row in self.compiled.input_matrix]
        small = []
        for position, phases in enumerate(sections):
            for mask, angle in phases.items():
                if mask.bit_count() > 1 and not any(varies[index] for index, _ in angle.terms):
                    sides = (angle.evaluate(constants, coins)[0] for coins in range(1 << len(self.coins)))
                    size = max(abs(math.remainder(side, 2 * math.pi)) for side in sides)
                    small.append((size, position, mask))
        for size, position, mask in sorted(small):
            if sum(self.dropped) + size > self.tolerance:
                break
            self.dropped.append(size)
            del sections[position][mask]

    def _section(self, phases: dict[int, _Sum], stage: Local, following: dict[int, _Sum] | None) -> None:
        """Apply phases, then a layer of rotations; `following` phases may be joined to an encoding's."""
        rotations = []
        for x, z, angle in stage.rotations:
            if self._split(x)[0]:
                wires, coins = self._split(z)
                rotations.append((self._split(x)[0], wires, _Sum(((angle, coins),))))
        at_values = {self._where(self.values, mask): angle for mask, angle in phases.items()}
        targets = [(self._where(self.flips, x), self._where(self.values, z)) for x, z, _ in rotations]
        path = route(len(self.order), list(at_values), targets)
        left = dict(phases)
        self._apply_phases(left)
        for control, target in path:
            self._cnot(control, target)
            self._apply_phases(left)
        own = {self._where(self.values, z).bit_length() - 1: turn for _, z, turn in rotations}
        if following is not None and not path:
            self._prepare_pairs(own, following)
        for wire, turn in own.items():
            self._rotate("RY", wire, turn)

    def _prepare_pairs(self, own: dict[int, _Sum], phases: dict[int, _Sum]) -> None:
        for first in range(len(self.order) - 1):
            pair = (first, first + 1)
            mask = 1 << first | 1 << first + 1
            if mask not in phases or not set(pair) <= set(own):
                continue
            rotations = (own.pop(pair[0]), own.pop(pair[1]))
            alone = (phases.pop(1 << pair[0], _Sum()), phases.pop(1 << pair[1], _Sum()))
            self.gates += [("RY", pair[:1]), ("CNOT", pair)]
            self.gates += [(name, pair[:1]) for name in ("RZ", "RY", "RZ")]
            self.gates += [(name, pair[1:]) for name in ("RY", "RZ")]
            self.recipes.append(_Pair(rotations, (*alone, phases.pop(mask))))

    def _where(self, basis: list[int], mask: int) -> int:
        return gf2.coordinates(basis, mask) or 0  # of a basis: None never comes back

    def _apply_phases(self, phases: dict[int, _Sum]) -> None:
        for wire, value in enumerate(self.values):
            if value in phases:
                self._rotate("RZ", wire, phases.pop(value))

    def _rotate(self, name: str, wire: int, angle: _Sum) -> None:
        self.gates.append((name, (wire,)))
        self.recipes.append(angle)

    def _cnot(self, control: int, target: int) -> None:
        self.gates.append(("CNOT", (control, target)))
        self.values[target] ^= self.values[control]
        self.flips[control] ^= self.flips[target]

    def _finish(self) -> Lowered:
        gates = []
        n_angles = 0
        for name, wires in self.gates:
            if name == "CNOT":
                gates.append(Gate(name, wires))
            else:
                gates.append(Gate(name, wires, (input_symbol(f"a_{n_angles}"),)))
                n_angles += 1
        parities = []
        for observable in self.compiled.observables:
            terms = []
            for string, coefficient in observable:
                read, coins = self._split(string.z)
                terms.append(Parity(self._where(self.values, read), coins, coefficient))
            parities.append(tuple(terms))
        # Coins are rotated in the first layer, alone.
        first = next((stage for stage in self.compiled.stages if isinstance(stage, Local)), Local(()))
        index = {x.bit_length() - 1: angle for x, _, angle in first.rotations}
        return Lowered(
            circuit=Circuit(max(len(self.order), 1), gates, self.compiled.circuit.name),
            parities=tuple(parities),
            n_coins=len(self.coins),
            dropped=len(self.dropped),
            drop_bound=sum(self.dropped),
            _compiled=self.compiled,
            _recipes=tuple(self.recipes),
            _coins=tuple(_Sum(((index[q], 0),)) for q in self.coins),
        )
