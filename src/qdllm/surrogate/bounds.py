"""A bound of a polynomial over all angles: what a certificate rests on."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from qdllm.surrogate.polynomial import Polynomial, sort_terms, support_norms

__all__ = ["bound", "bound_terms"]

_POINTS = 8  # of the grid, for each variable that lies on it
_WORK = 1 << 26  # coefficients on all points of the grid, for one output
_SLICE = 1 << 18  # of them at once: what stays in the cache


def bound_terms(polynomial: Polynomial) -> NDArray[np.float64]:
    """Bound each output's magnitude over all angles by the norms of its terms (n_outputs,).

    See `support_norms`; never above the sum of magnitudes.
    """
    _, norms = support_norms(polynomial)
    return np.asarray(norms.sum(axis=0))


def bound(polynomial: Polynomial) -> NDArray[np.float64]:
    """Bound each output's magnitude over all angles, more sharply (n_outputs,).

    The variables that weigh most are put on a grid, and for every point of it the rest is bounded by norms as
    in `support_norms`. Between the points: a + r cos(x - phase) at the nearest of M equal steps is at least
    cos(pi/M) times its largest magnitude (Ehlich and Zeller, Math. Z. 86 (1964) 41, for degree 1). The bound
    of the rest is a maximum of functions linear in the terms, so this holds for it too, one variable after
    another. The result is never above that of `bound_terms`.
    """
    norms = bound_terms(polynomial)
    gridded = _choose_grid(polynomial)
    if not gridded:
        return norms
    tensor, starts = _tensor(polynomial, gridded)
    factor = math.cos(math.pi / _POINTS) ** -len(gridded)
    return np.minimum(norms, [factor * _largest(part, len(gridded), starts) for part in tensor])


def _choose_grid(polynomial: Polynomial) -> list[int]:
    """Return as many variables as there is work for, those first that weigh most."""
    sizes = np.abs(polynomial.coefficients).sum(axis=1)
    bits = (polynomial.supports[:, None] >> np.arange(polynomial.n_variables, dtype=np.uint64)) & np.uint64(1)
    order = np.argsort(-(sizes @ bits), kind="stable").tolist()
    count = 0
    while count < len(order):
        rest = _count_rest(polynomial, order[: count + 1])
        if _POINTS ** (count + 1) * rest > _WORK:
            break
        count += 1
    return [int(j) for j in order[:count]]


def _count_rest(polynomial: Polynomial, gridded: list[int]) -> int:
    left = ~np.uint64(sum(1 << j for j in gridded))
    if not len(polynomial):
        return 0
    return int(sort_terms((polynomial.sines & left, polynomial.cosines & left))[1].sum())


def _tensor(polynomial: Polynomial, gridded: list[int]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Write coefficients down as (n_outputs, 3, …, 3, rest): 1, sin, cos of each variable on the grid.

    The rest of a term is what it holds of the other variables, sorted by which these are; the second array
    says where in it another set of them begins.
    """
    left = ~np.uint64(sum(1 << j for j in gridded))
    sines, cosines = polynomial.sines & left, polynomial.cosines & left
    order, first = sort_terms((sines | cosines, sines))
    column = np.empty(len(order), dtype=np.int64)
    column[order] = np.cumsum(first) - 1
    index = np.zeros(len(polynomial), dtype=np.int64)
    for j in gridded:
        held = [
            (masks >> np.uint64(j)).astype(np.int64) & 1 for masks in (polynomial.sines, polynomial.cosines)
        ]
        index = 3 * index + held[0] + 2 * held[1]
    n_rest = int(first.sum())
    tensor = np.zeros((polynomial.n_outputs, 3 ** len(gridded) * n_rest))
    tensor[:, index * n_rest + column] = polynomial.coefficients.T
    sets = (sines | cosines)[order[first]]
    starts = np.flatnonzero(np.append(True, sets[1:] != sets[:-1]))
    return tensor.reshape(-1, *(3,) * len(gridded), n_rest), starts


def _largest(tensor: NDArray[np.float64], gridded: int, starts: NDArray[np.intp]) -> float:
    """Return the largest bound by norms over the grid of the first `gridded` axes."""
    if gridded > 1 and _POINTS**gridded * tensor.shape[-1] > _SLICE:  # a slice at a time
        return max(_largest(np.tensordot(row, tensor, axes=1), gridded - 1, starts) for row in _GRID)
    for axis in range(gridded):
        tensor = np.moveaxis(np.tensordot(_GRID, tensor, axes=(1, axis)), 0, axis)
    squares = np.add.reduceat(tensor.reshape(-1, tensor.shape[-1]) ** 2, starts, axis=1)
    return float(np.sqrt(squares).sum(axis=1).max())


_STEPS = np.arange(_POINTS) * (2 * math.pi / _POINTS)
_GRID = np.stack([np.ones(_POINTS), np.sin(_STEPS), np.cos(_STEPS)], axis=1)
