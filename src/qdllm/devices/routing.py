"""CNOTs on a line of wires that bring parities of bits onto single wires: what diagonal stages need.

Between two layers of rotations a circuit is phases on parities and a linear map. Both are reached by CNOTs of
neighbours: a parity's phase is applied whenever it stands on one wire, and at the end each rotation that
follows must have its own wire.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdllm.errors import TooLargeError

__all__ = ["route"]

_WIDTH = 300  # partial solutions kept
_MOST_WIRES = 16
# A rotation's own parity and flip are built up together, so each counts for less than a phase's.
_ROTATION_WEIGHT = 0.3
_DEPTH_WEIGHT = 0.01

Masks = npt.NDArray[np.uint16]


@dataclass
class _Beam:
    """Partial solutions, one a row; masks are sums over wires, which a CNOT changes."""

    phases: Masks  # parities that want a phase
    done: npt.NDArray[np.bool_]  # those that have stood on a single wire
    values: Masks  # the parities that the rotations read
    flips: Masks  # what the rotations flip
    times: npt.NDArray[np.int16]  # depth of each wire
    paths: list[tuple[tuple[int, int], ...]]

    def after(self, control: int, target: int) -> "_Beam":
        values, flips = _moved(self.values, target, control), _moved(self.flips, control, target)
        phases = _moved(self.phases, target, control)
        times = self.times.copy()
        times[:, [control, target]] = self.times[:, [control, target]].max(axis=1, keepdims=True) + 1
        paths = [(*path, (control, target)) for path in self.paths]
        return _Beam(phases, self.done | _single(phases), values, flips, times, paths)

    def take(self, rows: Sequence[int]) -> "_Beam":
        return _Beam(
            self.phases[rows],
            self.done[rows],
            self.values[rows],
            self.flips[rows],
            self.times[rows],
            [self.paths[row] for row in rows],
        )

    def solved(self) -> npt.NDArray[np.bool_]:
        rotations = _single(self.values).all(axis=1) & _single(self.flips).all(axis=1)
        return np.asarray(self.done.all(axis=1) & rotations)

    def ranks(self, spans: npt.NDArray[np.int16]) -> npt.NDArray[np.float64]:
        """Return how far each is from the end, about: lower is better."""
        ahead = np.where(self.done, 0, spans[self.phases]).sum(axis=1)
        rotations = (spans[self.values] + spans[self.flips]).sum(axis=1)
        depth = self.times.max(axis=1) + self.times.mean(axis=1)
        return np.asarray(ahead + _ROTATION_WEIGHT * rotations + _DEPTH_WEIGHT * depth)


def route(
    n_wires: int, phases: Sequence[int], rotations: Sequence[tuple[int, int]]
) -> tuple[tuple[int, int], ...]:
    """Find few CNOTs of neighbouring wires, and of those few a shallow sequence, by beam search.

    Parameters
    ----------
    n_wires : int
        Wires in a line; at most 16.
    phases : sequence of int
        Parities, as masks of wires, each of which must stand on a single wire at some time.
    rotations : sequence of (int, int)
        Flip and parity (x, z), as masks of wires, of rotations that must act on a single wire at the end.

    Returns
    -------
    tuple of (control, target)

    Raises
    ------
    TooLargeError
        If there are too many wires.
    """
    if n_wires > _MOST_WIRES:
        raise TooLargeError(f"{n_wires} qubits are too many to route: at most {_MOST_WIRES}")
    moves = [move for w in range(n_wires - 1) for move in ((w, w + 1), (w + 1, w))]
    spans = _spans(n_wires)
    wanted = np.array([phases], dtype=np.uint16)
    beam = _Beam(
        wanted,
        _single(wanted),
        np.array([[z for _, z in rotations]], dtype=np.uint16),
        np.array([[x for x, _ in rotations]], dtype=np.uint16),
        np.zeros((1, n_wires), dtype=np.int16),
        [()],
    )
    while not (solved := beam.solved()).any():
        beam = _join([beam.after(*move) for move in moves])
        beam = beam.take(_best(beam, spans))
    depths = beam.times.max(axis=1)
    return beam.paths[min(np.flatnonzero(solved), key=lambda row: int(depths[row]))]


def _best(beam: _Beam, spans: npt.NDArray[np.int16]) -> list[int]:
    """Return the best rows, each state once."""
    states = np.column_stack([np.where(beam.done, 0, beam.phases), beam.values, beam.flips])
    kept: dict[bytes, int] = {}
    for row in np.argsort(beam.ranks(spans), kind="stable"):
        kept.setdefault(states[row].tobytes(), int(row))
        if len(kept) == _WIDTH:
            break
    return list(kept.values())


def _join(beams: Sequence[_Beam]) -> _Beam:
    return _Beam(
        np.concatenate([beam.phases for beam in beams]),
        np.concatenate([beam.done for beam in beams]),
        np.concatenate([beam.values for beam in beams]),
        np.concatenate([beam.flips for beam in beams]),
        np.concatenate([beam.times for beam in beams]),
        [path for beam in beams for path in beam.paths],
    )


def _moved(masks: Masks, given: int, toggled: int) -> Masks:
    """Toggle one bit of the masks that hold another."""
    return masks ^ ((masks >> given & 1) << toggled).astype(np.uint16)


def _single(masks: Masks) -> npt.NDArray[np.bool_]:
    return np.asarray((masks & (masks - 1)) == 0)


def _spans(n_wires: int) -> npt.NDArray[np.int16]:
    """Return for every mask how far apart its first and last wire are."""
    masks = range(1, 1 << n_wires)
    return np.array([0, *(m.bit_length() - (m & -m).bit_length() for m in masks)], dtype=np.int16)
