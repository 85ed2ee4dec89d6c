"""Trigonometric polynomials: sums of products of sines and cosines of different angles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Masks", "Polynomial", "merge_terms", "sort_terms", "support_norms"]

Masks = NDArray[np.uint64]

_CHUNK = 1 << 20  # products held at once at evaluation


@dataclass(frozen=True, eq=False)
class Polynomial:
    """A polynomial of several outputs in the basis {1, sin, cos} of each variable.

    Parameters
    ----------
    n_variables : int
        At most 64.
    sines, cosines : ndarray of uint64, shape (n_terms,)
        Bit j is set where the term holds the sine, or the cosine, of variable j; never both.
    coefficients : ndarray of float64, shape (n_terms, n_outputs)

    Examples
    --------
    >>> one, two = np.array([0b01], np.uint64), np.array([0b10], np.uint64)
    >>> polynomial = Polynomial(2, one, two, np.array([[3.0]]))  # 3 sin(x_0) cos(x_1)
    >>> polynomial(np.array([[np.pi / 2, 0.0]]))
    array([[3.]])
    """

    n_variables: int
    sines: Masks
    cosines: Masks
    coefficients: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.sines)

    @property
    def n_outputs(self) -> int:
        """Number of columns of the values."""
        return int(self.coefficients.shape[1])

    @property
    def supports(self) -> Masks:
        """The variables of each term, as masks (n_terms,)."""
        return self.sines | self.cosines

    @property
    def orders(self) -> NDArray[np.uint8]:
        """How many variables meet in each term (n_terms,)."""
        return np.bitwise_count(self.supports)

    def __call__(self, angles: NDArray[np.float64]) -> NDArray[np.float64]:
        """Evaluate at angles (n, n_variables): (n, n_outputs)."""
        sine, cosine = np.sin(angles), np.cos(angles)
        values = np.empty((len(angles), self.n_outputs))
        rows = max(1, _CHUNK // max(len(self), 1))
        for start in range(0, len(angles), rows):
            part = slice(start, start + rows)
            products = np.ones((len(sine[part]), len(self)))
            for j in range(self.n_variables):
                bit = np.uint64(1 << j)
                for masks, factor in ((self.sines, sine), (self.cosines, cosine)):
                    held = np.flatnonzero(masks & bit)
                    products[:, held] *= factor[part, j, None]
            values[part] = products @ self.coefficients
        return values

    def take(self, terms: NDArray[np.intp] | NDArray[np.bool_]) -> Polynomial:
        """Return the polynomial of some of the terms."""
        return Polynomial(self.n_variables, self.sines[terms], self.cosines[terms], self.coefficients[terms])


def merge_terms(
    keys: tuple[Masks, ...], coefficients: NDArray[np.float64]
) -> tuple[tuple[Masks, ...], NDArray[np.float64]]:
    """Add up the coefficients (n, n_outputs) of equal keys; the result is sorted by key."""
    if not len(coefficients):
        return keys, coefficients
    order, first = sort_terms(keys)
    starts = np.flatnonzero(first)
    kept = order[starts]
    return tuple(key[kept] for key in keys), np.add.reduceat(coefficients[order], starts, axis=0)


def sort_terms(keys: tuple[Masks, ...]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the order that sorts by the keys, and where in it another key begins."""
    lengths = [int(key.max()).bit_length() for key in keys]
    if sum(lengths) <= 64:  # one number a term, which sorts several times as fast
        packed = np.zeros_like(keys[0])
        for key, length in zip(keys, lengths, strict=True):
            if length:
                packed = packed << np.uint64(length) | key
        keys = (packed,)
        order = np.argsort(packed)
    else:
        order = np.lexsort(keys)
    first = np.zeros(len(order), dtype=bool)
    first[0] = True
    for key in keys:
        placed = key[order]
        first[1:] |= placed[1:] != placed[:-1]
    return order, first


def support_norms(polynomial: Polynomial) -> tuple[Masks, NDArray[np.float64]]:
    """Return every set of variables, as a mask, and the 2-norm of its coefficients (n_sets, n_outputs).

    The sum over the sets bounds the polynomial at all angles. Terms of one set of m variables are entries of
    a tensor of 2^m numbers, contracted with m unit vectors (sin, cos): at most its 2-norm. It is never above
    the sum of magnitudes, nor, by Cauchy and Schwarz, above 2^(n/2) times the 2-norm of all coefficients.
    """
    (supports,), squares = merge_terms((polynomial.supports,), polynomial.coefficients**2)
    return supports, np.sqrt(squares)
