"""Bounds of a polynomial over all angles: what a certificate rests on."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from qdllm.surrogate.polynomial import Polynomial, support_norms

__all__ = ["DENSE_VARIABLES", "bound_dense", "bound_terms"]

DENSE_VARIABLES = 12
"""Up to so many variables all 3^n coefficients are written down, and bounded more sharply."""

_POINTS = 8  # of the grid, for each variable that lies on it
_WORK = 1 << 27  # coefficients after contraction, for one output


def bound_terms(polynomial: Polynomial) -> NDArray[np.float64]:
    """Bound each output's magnitude over all angles by the norms of its terms (n_outputs,).

    See `support_norms`; never above the sum of magnitudes.
    """
    _, norms = support_norms(polynomial)
    return np.asarray(norms.sum(axis=0))


def bound_dense(tensor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bound each output's magnitude over all angles, variable by variable (n_outputs,).

    Some variables are put on a grid, and for every point of it the rest is bounded by norms as in
    `support_norms`. Between the points: a + r cos(x - phase) at the nearest of M equal steps is at least
    cos(pi/M) of its largest magnitude (Ehlich and Zeller, Math. Z. 86 (1964) 41, for degree 1). The bound of
    the rest is a maximum of functions linear in the terms, so this holds for it too, one variable after
    another. The result is never above that of `bound_terms`.

    Parameters
    ----------
    tensor : ndarray, shape (n_outputs, 3, …, 3)
        Coefficients over 1, sin, cos of each variable.
    """
    n = tensor.ndim - 1
    gridded = max(a for a in range(n + 1) if _POINTS**a * 3 ** (n - a) <= max(_WORK, 3**n))
    factor = math.cos(math.pi / _POINTS) ** -gridded
    return np.array([min(_norms(part), factor * _largest(part, gridded)) for part in tensor])


def _largest(tensor: NDArray[np.float64], gridded: int) -> float:
    """Return the largest bound by norms over the grid of the first `gridded` variables."""
    if not gridded:
        return _norms(tensor)
    if gridded > 3:  # a slice at a time, which stays in the cache
        return max(_largest(np.tensordot(row, tensor, axes=1), gridded - 1) for row in _GRID)
    for axis in range(gridded):
        tensor = np.moveaxis(np.tensordot(_GRID, tensor, axes=(1, axis)), 0, axis)
    return _norms(tensor, first=gridded)


def _norms(tensor: NDArray[np.float64], first: int = 0) -> float:
    """Return the largest sum of norms over the axes from `first` on."""
    squares = tensor**2
    for _ in range(first, tensor.ndim):  # each last axis goes to the front of the summed ones
        folded = np.stack([squares[..., 0], squares[..., 1] + squares[..., 2]], axis=first)
        squares = folded
    return float(np.sqrt(squares).sum(axis=tuple(range(first, squares.ndim))).max())


_STEPS = np.arange(_POINTS) * (2 * math.pi / _POINTS)
_GRID = np.stack([np.ones(_POINTS), np.sin(_STEPS), np.cos(_STEPS)], axis=1)
