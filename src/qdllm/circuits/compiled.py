"""A circuit compiled into a short list of stages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from qdllm.circuits import gf2
from qdllm.circuits.angles import Angle
from qdllm.circuits.circuit import Circuit
from qdllm.circuits.observables import Observable, each_z
from qdllm.circuits.rotations import Rotation, is_trivial, mark_live, odd, to_rotations

__all__ = ["CompiledCircuit", "Diagonal", "Local", "assemble", "compile_circuit", "stage_basis"]


@dataclass(frozen=True)
class Diagonal:
    """A phase polynomial: exp(-i/2 sum_j angle_j (-1)^(k & mask_j)) on every basis state k.

    Parameters
    ----------
    terms : tuple of (int, int)
        Mask and index of the angle.
    """

    terms: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Local:
    """One real rotation exp(angle/2 X^x Z^z) for each of some independent qubits.

    The qubits are those of the numbering of basis states that the linear maps so far lead to: seen from the
    one fixed numbering, flipping qubit i is ``k ^ x_i`` and its value the parity of ``k & z_i``; x_i & z_j
    is odd for i = j and even otherwise.

    Parameters
    ----------
    rotations : tuple of (int, int, int)
        x, z and the index of the angle.
    """

    rotations: tuple[tuple[int, int, int], ...]


Stage = Diagonal | Local


@dataclass(frozen=True)
class CompiledCircuit:
    """What a circuit comes to for given observables.

    Parameters
    ----------
    circuit : Circuit
        What was compiled; it names inputs and parameters.
    n_qubits : int
        Qubits that the stages act on: those of the circuit, or fewer in a light cone.
    angles : tuple of Angle
        The merged angles that the stages name by index.
    stages : tuple of Local and Diagonal
        In order. A first `Local` writes down a product state.
    observables : tuple of Observable
        With the final linear map and Paulis absorbed.
    """

    circuit: Circuit
    n_qubits: int
    angles: tuple[Angle, ...]
    stages: tuple[Stage, ...]
    observables: tuple[Observable, ...]

    @cached_property
    def constants(self) -> npt.NDArray[np.float64]:
        """The angles' constants (n_angles,)."""
        return np.array([angle.constant for angle in self.angles], dtype=np.float64)

    @cached_property
    def input_matrix(self) -> npt.NDArray[np.float64]:
        """How angles depend on inputs (n_angles, n_inputs)."""
        return self._matrix(self.circuit.input_names)

    @cached_property
    def parameter_matrix(self) -> npt.NDArray[np.float64]:
        """How angles depend on parameters (n_angles, n_parameters)."""
        return self._matrix(self.circuit.parameter_names)

    def _matrix(self, names: tuple[str, ...]) -> npt.NDArray[np.float64]:
        column = {name: j for j, name in enumerate(names)}
        matrix = np.zeros((len(self.angles), len(names)))
        for row, angle in enumerate(self.angles):
            for symbol, coefficient in angle.terms:
                if symbol.name in column:
                    matrix[row, column[symbol.name]] = coefficient
        return matrix

    @property
    def rotations(self) -> tuple[tuple[int, int, int], ...]:
        """All rotations in order as (x, z, index of the angle)."""
        flat: list[tuple[int, int, int]] = []
        for stage in self.stages:
            if isinstance(stage, Local):
                flat += stage.rotations
            else:
                flat += [(0, mask, angle) for mask, angle in stage.terms]
        return tuple(flat)


def compile_circuit(circuit: Circuit, observables: Sequence[Observable] | None = None) -> CompiledCircuit:
    """Compile a circuit for some observables.

    Parameters
    ----------
    circuit : Circuit
        Any circuit.
    observables : sequence of Observable, optional
        Default: Z of every qubit.
    """
    observables = each_z(circuit.n_qubits) if observables is None else observables
    rotations, observables = to_rotations(circuit, observables)
    return assemble(circuit, circuit.n_qubits, rotations, observables)


def assemble(
    circuit: Circuit, n_qubits: int, rotations: Sequence[Rotation], observables: tuple[Observable, ...]
) -> CompiledCircuit:
    """Schedule rotations of `n_qubits` qubits into stages; dead ones are left out, equal ones added up."""
    while True:
        live = mark_live(rotations, observables)
        levels = _schedule(r for r, alive in zip(rotations, live, strict=True) if alive)
        merged = [r for level in levels for r in level.in_order()]
        if len(merged) == len(rotations):
            break
        rotations = merged
    angles: list[Angle] = []
    stages: list[Stage] = []
    for level in levels:
        if level.real:
            start = len(angles)
            angles += level.real.values()
            stages.append(Local(tuple((x, z, start + i) for i, (x, z) in enumerate(level.real))))
        if level.diagonal:
            start = len(angles)
            angles += level.diagonal.values()
            stages.append(Diagonal(tuple((z, start + i) for i, (_, z) in enumerate(level.diagonal))))
    return CompiledCircuit(circuit, n_qubits, tuple(angles), tuple(stages), observables)


def stage_basis(
    rotations: Sequence[tuple[int, int, int]], n_qubits: int, current: Sequence[int] | None = None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return a numbering of basis states in which a `Local`'s rotations act on single bits.

    Parameters
    ----------
    rotations : sequence of (int, int, int)
        `Local.rotations`.
    n_qubits : int
        Number of qubits.
    current : sequence of int, optional
        A numbering, returned again if it serves; default: the fixed one.

    Returns
    -------
    columns : tuple of int, length n_qubits
        State y of that numbering is, in the fixed one, the XOR of ``columns[j]`` over the bits j of y.
    bits : tuple of int
        The bit of each rotation.
    """
    current = tuple(1 << q for q in range(n_qubits)) if current is None else tuple(current)
    back = gf2.invert(current)
    flips = [gf2.apply(back, x) for x, _, _ in rotations]
    values = [gf2.transpose_apply(current, z) for _, z, _ in rotations]
    if flips == values and all(flip.bit_count() == 1 for flip in flips):
        return current, tuple(flip.bit_length() - 1 for flip in flips)
    columns = [0] * n_qubits
    bits = {}
    for x, z, _ in sorted(rotations, key=lambda rotation: rotation[0].bit_count()):
        free = [b for b in range(n_qubits) if not columns[b]]
        bits[x, z] = bit = next((b for b in free if x >> b & 1), free[0])
        columns[bit] = x
    # The rest: single bits, moved to where every rotation's qubit is 0.
    free = [b for b in range(n_qubits) if not columns[b]]
    echelon: list[int] = []
    for q in (*free, *bits.values()):
        vector = 1 << q
        for x, z, _ in rotations:
            vector ^= x if z >> q & 1 else 0
        if free and gf2.extend(echelon, vector):
            columns[free.pop(0)] = vector
    return tuple(columns), tuple(bits[x, z] for x, z, _ in rotations)


class _Level:
    """Real rotations of independent qubits, then diagonal ones, each (x, z) with its summed angle."""

    def __init__(self) -> None:
        self.real: dict[tuple[int, int], Angle] = {}
        self.diagonal: dict[tuple[int, int], Angle] = {}

    def in_order(self) -> list[Rotation]:
        return [Rotation(x, z, a) for group in (self.real, self.diagonal) for (x, z), a in group.items()]

    def blocks(self, rotation: Rotation, group: dict[tuple[int, int], Angle]) -> bool:
        return any(odd(x & rotation.z) != odd(z & rotation.x) for x, z in group)

    def has_room(self, rotation: Rotation) -> bool:
        """Return whether a real rotation acts on a qubit independent of the level's others."""
        return not any(odd(x & rotation.z) or odd(z & rotation.x) for x, z in self.real)


def _schedule(rotations: Iterable[Rotation]) -> list[_Level]:
    """Put each rotation into the earliest level that it commutes back to, adding up equal ones."""
    levels: list[_Level] = []
    for rotation in rotations:
        if rotation.x:
            _place_real(levels, rotation)
        else:
            _place_diagonal(levels, rotation)
    return [level for level in levels if level.real or level.diagonal]


def _place_diagonal(levels: list[_Level], rotation: Rotation) -> None:
    for level in reversed(levels):
        if level.blocks(rotation, level.real):
            _add(level.diagonal, rotation)
            return
    # Nothing before it moves any amplitude across its parity: a global phase.


def _place_real(levels: list[_Level], rotation: Rotation) -> None:
    earliest = 0
    for position in reversed(range(len(levels))):
        level = levels[position]
        if level.blocks(rotation, level.diagonal):
            earliest = position + 1
            break
        if (rotation.x, rotation.z) in level.real:
            _add(level.real, rotation)
            return
        if level.blocks(rotation, level.real):
            earliest = position + 1
            break
    for level in levels[earliest:]:
        if level.has_room(rotation):
            _add(level.real, rotation)
            return
    levels.append(_Level())
    _add(levels[-1].real, rotation)


def _add(group: dict[tuple[int, int], Angle], rotation: Rotation) -> None:
    key = rotation.x, rotation.z
    angle = group.pop(key, Angle()) + rotation.angle
    if not is_trivial(angle):
        group[key] = angle
