"""The two compressed forms of a polynomial: its largest terms, and a tensor train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qdllm.surrogate.polynomial import Polynomial

__all__ = ["Form", "Precision", "SparseForm", "TrainForm", "form_from_arrays", "from_dense", "to_dense"]

Precision = Literal["float16", "float32", "float64"]


class SparseForm:
    """A polynomial whose coefficients are kept in some precision.

    Parameters
    ----------
    polynomial : Polynomial
    precision : {"float16", "float32", "float64"}
        Coefficients are rounded to it.
    """

    kind = "sparse"

    def __init__(self, polynomial: Polynomial, precision: Precision) -> None:
        kept = polynomial.coefficients.astype(precision)
        self.precision = precision
        self.polynomial = Polynomial(
            polynomial.n_variables, polynomial.sines, polynomial.cosines, kept.astype(np.float64)
        )

    @property
    def n_variables(self) -> int:
        """Number of angles."""
        return self.polynomial.n_variables

    @property
    def n_outputs(self) -> int:
        """Number of logits."""
        return self.polynomial.n_outputs

    @property
    def size(self) -> dict[str, int]:
        """How large it is, in terms; each has a coefficient an output."""
        return {"terms": len(self.polynomial)}

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """What is saved."""
        width = next(w for w in (8, 16, 32, 64) if self.n_variables <= w)
        return {
            "sines": self.polynomial.sines.astype(f"uint{width}"),
            "cosines": self.polynomial.cosines.astype(f"uint{width}"),
            "coefficients": self.polynomial.coefficients.astype(self.precision),
        }

    def __call__(self, angles: NDArray[np.float64]) -> NDArray[np.float64]:
        """Angles (n, n_variables) to logits (n, n_outputs)."""
        return self.polynomial(angles)


class TrainForm:
    """A tensor train (Oseledets, SIAM J. Sci. Comput. 33 (2011) 2295) over {1, sin, cos} of each variable.

    Parameters
    ----------
    lead : ndarray, shape (n_outputs, rank)
    cores : sequence of ndarray, shapes (rank, 3, next rank)
        One a variable; the last one's next rank is 1.
    precision : {"float16", "float32", "float64"}
        Numbers are rounded to it.
    """

    kind = "train"

    def __init__(
        self, lead: NDArray[np.float64], cores: list[NDArray[np.float64]], precision: Precision
    ) -> None:
        self.precision = precision
        self.lead = lead.astype(precision).astype(np.float64)
        self.cores = [core.astype(precision).astype(np.float64) for core in cores]

    @property
    def n_variables(self) -> int:
        """Number of angles."""
        return len(self.cores)

    @property
    def n_outputs(self) -> int:
        """Number of logits."""
        return len(self.lead)

    @property
    def ranks(self) -> list[int]:
        """The rank before each variable."""
        return [core.shape[0] for core in self.cores]

    @property
    def size(self) -> dict[str, int]:
        """How large it is, in numbers and by its largest rank."""
        return {"numbers": self.lead.size + sum(core.size for core in self.cores), "rank": max(self.ranks)}

    @property
    def numbers(self) -> NDArray[np.float64]:
        """All of it in a row: lead, then the cores in order."""
        return np.concatenate([self.lead.ravel(), *(core.ravel() for core in self.cores)])

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """What is saved."""
        return {
            "ranks": np.array(self.ranks, dtype=np.uint16),
            "numbers": self.numbers.astype(self.precision),
        }

    def __call__(self, angles: NDArray[np.float64]) -> NDArray[np.float64]:
        """Angles (n, n_variables) to logits (n, n_outputs)."""
        basis = np.stack([np.ones_like(angles), np.sin(angles), np.cos(angles)], axis=2)
        vectors = np.ones((len(angles), 1))
        for j, core in reversed(list(enumerate(self.cores))):
            rank, _, following = core.shape
            parts = (vectors @ core.reshape(-1, following).T).reshape(-1, rank, 3)
            vectors = (parts * basis[:, j, None, :]).sum(axis=2)
        return np.asarray(vectors @ self.lead.T)

    def to_dense(self) -> NDArray[np.float64]:
        """Return all coefficients, shape (n_outputs, 3, …, 3)."""
        tensor = self.lead
        for core in self.cores:
            tensor = np.tensordot(tensor, core, axes=1)
        return np.asarray(tensor[..., 0])


Form = SparseForm | TrainForm


def form_from_arrays(n_outputs: int, n_variables: int, arrays: Mapping[str, NDArray[Any]]) -> Form:
    """Bring back a form from what `arrays` of it gave.

    Raises
    ------
    ValueError, KeyError
        If the arrays do not fit together.
    """
    if "ranks" not in arrays:
        sines, cosines = (arrays[name].astype(np.uint64) for name in ("sines", "cosines"))
        coefficients = arrays["coefficients"]
        if coefficients.shape != (len(arrays["sines"]), n_outputs):
            raise ValueError("coefficients and terms differ in number")
        polynomial = Polynomial(n_variables, sines, cosines, coefficients.astype(np.float64))
        return SparseForm(polynomial, _precision(coefficients))
    ranks, numbers = arrays["ranks"].tolist(), arrays["numbers"]
    shapes = [
        (n_outputs, ranks[0]),
        *((r, 3, after) for r, after in zip(ranks, [*ranks[1:], 1], strict=True)),
    ]
    ends = np.cumsum([np.prod(shape) for shape in shapes])
    if len(ranks) != n_variables or ends[-1] != len(numbers):
        raise ValueError("ranks and numbers do not fit together")
    parts = np.split(numbers.astype(np.float64), ends[:-1])
    lead, *cores = (part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))
    return TrainForm(lead, cores, _precision(numbers))


def _precision(array: NDArray[Any]) -> Precision:
    found: dict[str, Precision] = {"float16": "float16", "float32": "float32", "float64": "float64"}
    return found[array.dtype.name]


def to_dense(polynomial: Polynomial) -> NDArray[np.float64]:
    """Return all coefficients over 1, sin, cos of each variable, zeros too: (n_outputs, 3, …, 3)."""
    index = np.zeros(len(polynomial), dtype=np.int64)
    for j in range(polynomial.n_variables):
        sine, cosine = (
            (masks >> np.uint64(j)).astype(np.int64) & 1 for masks in (polynomial.sines, polynomial.cosines)
        )
        index = 3 * index + sine + 2 * cosine
    dense = np.zeros((polynomial.n_outputs, 3**polynomial.n_variables))
    dense[:, index] = polynomial.coefficients.T
    return dense.reshape(-1, *(3,) * polynomial.n_variables)


def from_dense(tensor: NDArray[np.float64]) -> Polynomial:
    """Return the polynomial of coefficients over 1, sin, cos of each variable: (n_outputs, 3, …, 3)."""
    n = tensor.ndim - 1
    flat = tensor.reshape(len(tensor), -1)
    index = np.flatnonzero(flat.any(axis=0))
    sines, cosines = (np.zeros(len(index), dtype=np.uint64) for _ in range(2))
    for j in range(n):
        digit = index // 3 ** (n - 1 - j) % 3
        sines |= (digit == 1).astype(np.uint64) << np.uint64(j)
        cosines |= (digit == 2).astype(np.uint64) << np.uint64(j)
    return Polynomial(n, sines, cosines, np.ascontiguousarray(flat[:, index].T))
