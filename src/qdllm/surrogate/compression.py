"""The smallest form of a polynomial that stays within an error at all angles."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qdllm.surrogate.bounds import bound, bound_terms
from qdllm.surrogate.forms import Form, Precision, SparseForm, TrainForm, from_dense, to_dense
from qdllm.surrogate.polynomial import Polynomial, merge_terms, sort_terms

__all__ = ["compress", "form_error", "tensor_train"]

_PRECISIONS: tuple[Precision, ...] = ("float16", "float32")
_STEPS_A_DECADE, _DECADES = 24, 9  # of tolerances that a tensor train is tried with
_SHARP_LOOKS = 4
_DENSE_VARIABLES = 12  # up to so many all 3^n coefficients of a train can be written down, and bounded


def compress(polynomial: Polynomial, max_error: float) -> tuple[Form, NDArray[np.float64]]:
    """Choose the smallest form that differs from the polynomial by at most so much at all angles.

    Sparse forms and, up to 12 variables, tensor trains are tried, each in the coarsest precision that can
    meet the error. A sparse form in double precision, all terms kept, serves where none can.

    Parameters
    ----------
    polynomial : Polynomial
    max_error : float
        Of each output.

    Returns
    -------
    form : SparseForm or TrainForm
    errors : ndarray, shape (n_outputs,)
        The bound that it has.
    """
    found: list[tuple[Form, NDArray[np.float64]]] = []
    searches: list[Callable[[Polynomial, float, Precision], Form | None]] = [_smallest_sparse]
    if polynomial.n_variables <= _DENSE_VARIABLES:
        searches.append(_smallest_train)
    for search in searches:
        for precision in _PRECISIONS:
            form = search(polynomial, max_error, precision)
            if form is not None:
                found.append((form, form_error(form, polynomial)))
                break
    if not found:
        whole = SparseForm(polynomial, "float64")
        return whole, np.zeros(polynomial.n_outputs)
    return min(found, key=lambda pair: _bytes(pair[0]))


def form_error(form: Form, polynomial: Polynomial) -> NDArray[np.float64]:
    """Bound how far a form is from a polynomial at any angles (n_outputs,)."""
    if isinstance(form, TrainForm):
        return bound(from_dense(form.to_dense() - to_dense(polynomial)))
    return bound(_difference(polynomial, form.polynomial))


def tensor_train(
    polynomial: Polynomial, tolerance: float
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Decompose a polynomial by singular values, from the first variable to the last (TT-SVD).

    Only terms that are there are looked at, so that many variables cost no more than terms do.

    Parameters
    ----------
    polynomial : Polynomial
    tolerance : float
        The 2-norm of the singular values that each step may cut off.

    Returns
    -------
    lead : ndarray, shape (n_outputs, rank)
    cores : list of ndarray, shapes (rank, 3, next rank)
    """
    lead, rest = _split(polynomial.coefficients.T, tolerance)
    sines, cosines = polynomial.sines, polynomial.cosines
    one, cores = np.uint64(1), []
    for j in range(polynomial.n_variables):
        digit = ((sines & one) + 2 * (cosines & one)).astype(np.intp)
        order, first = sort_terms((sines >> one, cosines >> one))
        column = np.empty(len(order), dtype=np.intp)
        column[order] = np.cumsum(first) - 1
        rank = len(rest)
        unfolded = np.zeros((rank, 3, int(first.sum())))
        unfolded[:, digit, column] = rest
        sines, cosines = (masks[order[first]] >> one for masks in (sines, cosines))
        if j + 1 == polynomial.n_variables:
            cores.append(unfolded)
            break
        core, rest = _split(unfolded.reshape(3 * rank, -1), tolerance)
        cores.append(core.reshape(rank, 3, -1))
    return lead, cores


def _split(matrix: NDArray[np.float64], tolerance: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    tails = np.sqrt(np.cumsum(values[::-1] ** 2)[::-1])
    rank = max(int((tails > tolerance).sum()), 1)
    return left[:, :rank], values[:rank, None] * right[:rank]


def _smallest_sparse(polynomial: Polynomial, max_error: float, precision: Precision) -> SparseForm | None:
    order = _drop_order(polynomial)
    rounding = polynomial.coefficients - polynomial.coefficients.astype(precision)

    def residual(n_kept: int) -> Polynomial:
        coefficients = polynomial.coefficients.copy()
        kept = order[len(order) - n_kept :]
        coefficients[kept] = rounding[kept]
        return Polynomial(polynomial.n_variables, polynomial.sines, polynomial.cosines, coefficients)

    def rough(n_kept: int) -> float:
        return float(bound_terms(residual(n_kept)).max())

    def sharp(n_kept: int) -> float:
        return float(bound(residual(n_kept)).max())

    n_kept = _smallest(len(order), rough, sharp, max_error)
    if n_kept is None:
        return None
    return SparseForm(polynomial.take(np.sort(order[len(order) - max(n_kept, 1) :])), precision)


def _smallest_train(polynomial: Polynomial, max_error: float, precision: Precision) -> TrainForm | None:
    dense = to_dense(polynomial)
    norm = float(np.linalg.norm(dense))

    @cache
    def train(step: int) -> TrainForm:
        return TrainForm(*tensor_train(polynomial, norm * 10 ** (-step / _STEPS_A_DECADE)), precision)

    def rough(step: int) -> float:
        return float(np.linalg.norm(train(step).to_dense() - dense))

    def sharp(step: int) -> float:
        return float(bound(from_dense(train(step).to_dense() - dense)).max())

    step = _smallest(_STEPS_A_DECADE * _DECADES, rough, sharp, max_error)
    return None if step is None else train(step)


def _smallest(
    largest: int, rough: Callable[[int], float], sharp: Callable[[int], float], limit: float
) -> int | None:
    """Return about the smallest size whose sharp bound is within the limit; None if not even `largest` is.

    Both bounds fall with the size, and their ratio hardly changes: the rough one, which is quick, is bisected
    for the size where the sharp one should just do.
    """
    if sharp(largest) > limit:
        return None
    best, ratio, tried = largest, 1.0, set[int]()
    for _ in range(_SHARP_LOOKS):
        low, high = 0, best
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if ratio * rough(middle) <= limit else (middle + 1, high)
        if high in tried or high == best:
            break
        tried.add(high)
        found = sharp(high)
        if found <= limit:
            best = high
        ratio = 1.005 * found / rough(high)
    return best


def _drop_order(polynomial: Polynomial) -> NDArray[np.intp]:
    """Order terms from the first to drop to the last.

    Dropping the smallest terms of one support costs the 2-norm of what is dropped: a price a term that falls
    at first. The terms go at the lowest prices that can be had (the lower convex hull of cost over number).
    """
    sizes = np.abs(polynomial.coefficients).max(axis=1)
    order = np.lexsort((sizes, polynomial.supports))
    supports = polynomial.supports[order]
    starts = np.flatnonzero(np.append(True, supports[1:] != supports[:-1]))
    prices = np.empty(len(order))
    for part in np.split(order, starts[1:]):
        costs = np.sqrt(np.cumsum(sizes[part] ** 2))
        done, paid = 0, 0.0
        while done < len(part):
            slopes = (costs[done:] - paid) / np.arange(1, len(part) - done + 1)
            best = int(slopes.argmin())
            prices[part[done : done + best + 1]] = slopes[best]
            done, paid = done + best + 1, float(costs[done + best])
    return np.argsort(prices, kind="stable")


def _difference(one: Polynomial, two: Polynomial) -> Polynomial:
    (sines, cosines), coefficients = merge_terms(
        (np.append(one.sines, two.sines), np.append(one.cosines, two.cosines)),
        np.concatenate([one.coefficients, -two.coefficients]),
    )
    return Polynomial(one.n_variables, sines, cosines, coefficients)


def _bytes(form: Form) -> int:
    return sum(array.nbytes for array in form.arrays.values())
