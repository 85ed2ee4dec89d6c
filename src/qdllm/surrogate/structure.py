"""What a polynomial says about its circuit: which terms weigh, how many qubits meet, which ranks it has."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdllm.surrogate.compression import tensor_train
from qdllm.surrogate.polynomial import Polynomial

__all__ = ["describe_polynomial", "term_name"]

_TOLERANCE = 1e-3  # of ranks, relative to the 2-norm of all coefficients
_STRONGEST = 20
_RANKED_TERMS = 20_000  # more are more than singular values are quickly found of


def describe_polynomial(polynomial: Polynomial) -> dict[str, Any]:
    """Describe a polynomial as JSON values.

    Parameters
    ----------
    polynomial : Polynomial
        Outputs are logits; terms without a variable are left out of all that follows.

    Returns
    -------
    dict
        ``terms``, how many there are; ``strongest``, the 20 of largest coefficients with their names, largest
        first; ``orders``, the share of the variance over uniform angles by how many variables meet, from 1;
        ``spectrum``, all magnitudes, largest first (of each term the largest over the outputs);
        ``ranks``, those of a tensor train to 0.1 % of the 2-norm, for the largest 20,000 terms.
    """
    varying = polynomial.take(polynomial.supports != 0)
    sizes = np.abs(varying.coefficients).max(axis=1, initial=0.0)
    order = np.argsort(-sizes, kind="stable")
    # sin and cos have the mean square 1/2 each.
    variance = (varying.coefficients**2).sum(axis=1) * 0.5**varying.orders
    by_order = np.bincount(varying.orders, weights=variance, minlength=2)[1:]
    return {
        "terms": len(varying),
        "strongest": [
            {"term": term_name(varying, i), "coefficients": varying.coefficients[i].tolist()}
            for i in order[:_STRONGEST]
        ],
        "orders": (by_order / max(by_order.sum(), 1e-300)).tolist(),
        "spectrum": sizes[order].tolist(),
        "ranks": _ranks(varying.take(order[:_RANKED_TERMS])),
    }


def term_name(polynomial: Polynomial, term: int | np.intp) -> str:
    """Write a term as ``sin(x_0) cos(x_2)``."""
    sines, cosines = int(polynomial.sines[term]), int(polynomial.cosines[term])
    names = [
        f"{'sin' if sines >> j & 1 else 'cos'}(x_{j})"
        for j in range(polynomial.n_variables)
        if (sines | cosines) >> j & 1
    ]
    return " ".join(names) or "1"


def _ranks(polynomial: Polynomial) -> list[int]:
    if not len(polynomial):
        return [1] * polynomial.n_variables
    norm = float(np.linalg.norm(polynomial.coefficients))
    _, cores = tensor_train(polynomial, _TOLERANCE * norm)
    return [core.shape[0] for core in cores]
