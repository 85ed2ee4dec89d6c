"""Light cones: each observable on the qubits that it sees, so that wide shallow circuits run exactly.

After the linear gates are absorbed, a circuit is a list of rotations of |0...0> (`rotations`). An observable
depends on some of them alone, and these move amplitudes only within the span of their flips x. A state of as
many qubits as that span has dimensions is all that the observable needs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qdllm.circuits import gf2
from qdllm.circuits.circuit import Circuit
from qdllm.circuits.compiled import CompiledCircuit, assemble
from qdllm.circuits.observables import Observable, PauliString, each_z
from qdllm.circuits.rotations import Rotation, mark_live, to_rotations

__all__ = ["LightCone", "light_cones"]

# A run of its own costs as much as this many amplitudes times rotations: about 1 us a sample of a batch.
_RUN = 1 << 14


@dataclass(frozen=True)
class LightCone:
    """A part of a circuit that some observables, or some of their terms, see.

    Parameters
    ----------
    columns : tuple of int
        The observables that the compiled ones add to.
    compiled : CompiledCircuit
        On the cone's own qubits.
    """

    columns: tuple[int, ...]
    compiled: CompiledCircuit


def light_cones(circuit: Circuit, observables: Sequence[Observable] | None = None) -> tuple[LightCone, ...]:
    """Divide a circuit into cones that are cheaper to simulate than the whole.

    Terms of the observables share a cone where simulating them together costs no more amplitudes times
    rotations than apart. Most small circuits come back as one cone of all their qubits.

    Parameters
    ----------
    circuit : Circuit
        Any circuit.
    observables : sequence of Observable, optional
        Default: Z of every qubit.

    Returns
    -------
    tuple of LightCone
        An observable's value is the sum over the cones that name its column.
    """
    observables = each_z(circuit.n_qubits) if observables is None else observables
    rotations, pulled = to_rotations(circuit, observables)
    strings = list(dict.fromkeys(string for observable in pulled for string, _ in observable))
    cones = []
    for group in _groups(rotations, strings):
        chosen = set(group)
        terms = [tuple(term for term in observable if term[0] in chosen) for observable in pulled]
        columns = tuple(column for column, part in enumerate(terms) if part)
        cones.append(
            LightCone(columns, _confine(circuit, _live(rotations, group), [terms[c] for c in columns]))
        )
    return tuple(cones)


def _groups(rotations: Sequence[Rotation], strings: Sequence[PauliString]) -> list[list[PauliString]]:
    """Join each string to the group before it where that is no dearer; all of them if that is cheaper yet."""
    groups: list[list[PauliString]] = []
    costs: list[int] = []
    for string in strings:
        alone = _cost(rotations, [string])
        together = _cost(rotations, [*groups[-1], string]) if groups else alone + 1
        if groups and together <= costs[-1] + alone:
            groups[-1].append(string)
            costs[-1] = together
        else:
            groups.append([string])
            costs.append(alone)
    if len(groups) > 1 and _cost(rotations, strings) <= sum(costs):
        return [list(strings)]
    return groups


def _cost(rotations: Sequence[Rotation], strings: Sequence[PauliString]) -> int:
    live = _live(rotations, strings)
    return _RUN + (len(live) << len(_basis(live)))


def _live(rotations: Sequence[Rotation], strings: Sequence[PauliString]) -> list[Rotation]:
    observables = [((string, 1.0),) for string in strings]
    return [r for r, alive in zip(rotations, mark_live(rotations, observables), strict=True) if alive]


def _basis(rotations: Iterable[Rotation]) -> list[int]:
    """Return independent flips that span all of them, those of few qubits first."""
    echelon: list[int] = []
    flips = sorted({r.x for r in rotations if r.x}, key=lambda x: (x.bit_count(), x))
    return [x for x in flips if gf2.extend(echelon, x)]


def _confine(
    circuit: Circuit, rotations: Sequence[Rotation], observables: Sequence[Observable]
) -> CompiledCircuit:
    """Give the states that the rotations reach new numbers, one bit for each independent flip."""
    basis = _basis(rotations)
    if len(basis) == circuit.n_qubits:
        return assemble(circuit, circuit.n_qubits, rotations, tuple(observables))
    inside = [
        Rotation(gf2.coordinates(basis, r.x) or 0, gf2.transpose_apply(basis, r.z), r.angle, r.gate)
        for r in rotations
    ]
    read = tuple(
        tuple(term for string, c in observable for term in _inside(basis, string, c))
        for observable in observables
    )
    return assemble(circuit, max(len(basis), 1), [r for r in inside if r.x or r.z], read)


def _inside(basis: Sequence[int], string: PauliString, coefficient: float) -> list[tuple[PauliString, float]]:
    x = gf2.coordinates(basis, string.x)
    if x is None:
        return []  # it leads out of the span, where there is no amplitude
    z = gf2.transpose_apply(basis, string.z)
    # The factors i of the two conventions differ by a sign where their numbers of Ys differ by two.
    negative = ((string.x & string.z).bit_count() - (x & z).bit_count()) & 2
    return [(PauliString(x, z), -coefficient if negative else coefficient)]
