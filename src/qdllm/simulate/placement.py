"""Numberings of basis states in which each stage's rotations act on single bits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdllm.circuits import gf2
from qdllm.circuits.compiled import CompiledCircuit, Local, Stage, stage_basis

__all__ = ["PlacedStage", "Reading", "final_numbering", "place_readout", "place_stages"]


@dataclass(frozen=True)
class PlacedStage:
    """A stage and the numbering that it runs in.

    Parameters
    ----------
    stage : Local or Diagonal
        The stage, in the fixed numbering.
    numbering : tuple of int
        State y is, in the fixed numbering, the XOR of ``numbering[j]`` over the bits j of y.
    move : array (2^n_qubits,) or None
        Each state's number in the numbering before; None where that stays.
    bits : tuple of int
        The bit of each rotation of a `Local`.
    """

    stage: Stage
    numbering: tuple[int, ...]
    move: npt.NDArray[np.int64] | None
    bits: tuple[int, ...]


@dataclass(frozen=True)
class Reading:
    """A Pauli string of an observable, in the last stage's numbering.

    Its value is ``coefficient`` times the sum over states k of (-1)^|k & z| and the real part of
    conj(psi[k ^ x]) psi[k], or the imaginary part.
    """

    column: int
    x: int
    z: int
    imaginary: bool
    coefficient: float


def place_stages(compiled: CompiledCircuit) -> tuple[PlacedStage, ...]:
    """Choose a numbering for each stage: that of the stage before wherever it serves."""
    numbering = tuple(1 << q for q in range(compiled.n_qubits))
    placed = []
    for position, stage in enumerate(compiled.stages):
        move = None
        bits: tuple[int, ...] = ()
        if isinstance(stage, Local):
            wanted, bits = stage_basis(stage.rotations, compiled.n_qubits, numbering)
            if wanted != numbering and position:  # |0...0> is state 0 in every numbering
                back = gf2.invert(numbering)
                move = gf2.table([gf2.apply(back, column) for column in wanted])
            numbering = wanted
        placed.append(PlacedStage(stage, numbering, move, bits))
    return tuple(placed)


def final_numbering(placed: Sequence[PlacedStage], n_qubits: int) -> tuple[int, ...]:
    """Return the numbering that the readout finds."""
    return placed[-1].numbering if placed else tuple(1 << q for q in range(n_qubits))


def place_readout(compiled: CompiledCircuit, numbering: Sequence[int]) -> Iterator[Reading]:
    """Yield what is read of the state in a numbering."""
    back = gf2.invert(numbering)
    for column, observable in enumerate(compiled.observables):
        for string, coefficient in observable:
            x, z = gf2.apply(back, string.x), gf2.transpose_apply(numbering, string.z)
            n_ys = (string.x & string.z).bit_count()
            sign = -1 if (n_ys + 1) & 2 else 1
            yield Reading(column, x, z, bool(n_ys & 1), sign * coefficient)
