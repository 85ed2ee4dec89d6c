"""A student's classical formula, ready to predict: needs NumPy alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qdllm.errors import DataError
from qdllm.surrogate.evaluation import Evaluator
from qdllm.surrogate.forms import Form

if TYPE_CHECKING:
    from qdllm.surrogate.certificate import Certificate

__all__ = ["ENCODINGS", "Surrogate"]


def _linear(u: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(u + u.dtype.type(np.pi / 2))


def _tanh(u: NDArray[Any]) -> NDArray[Any]:
    return np.asarray((np.tanh(u) + 1) * u.dtype.type(np.pi / 2))


def _minmax(u: NDArray[Any]) -> NDArray[Any]:
    low = u.min(axis=1, keepdims=True)
    span = u.max(axis=1, keepdims=True) - low
    return np.asarray((u - low) * (10 / np.where(span == 0, 1, span)).astype(u.dtype))


ENCODINGS: Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "linear": _linear,
    "minmax": _minmax,
    "tanh": _tanh,
}
"""`qdllm.circuits.ENCODINGS` in NumPy."""


@dataclass(frozen=True, eq=False)
class Surrogate:
    """Projection → encoding → formula: what a compiled student is.

    Parameters
    ----------
    classes_ : ndarray, shape (n_classes,)
        Sorted; the order of the columns of logits and probabilities.
    weight, bias : ndarray, shapes (n_inputs, n_features) and (n_inputs,)
        The projection.
    encoding : {"linear", "tanh", "minmax"}
        How its output becomes angles.
    matrix, offset : ndarray, shapes (n_variables, n_inputs) and (n_variables,)
        From angles to the formula's variables; mostly the identity and 0.
    form : SparseForm or TrainForm
    certificate : Certificate
        How far its logits are from the student's.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from qdllm import Student
    >>> from qdllm.surrogate import compile_student
    >>> X, y = load_iris(return_X_y=True)
    >>> student = Student(n_qubits=3, weight_decay=0.1, dropout=0.0).fit(X, y)
    >>> surrogate = compile_student(student, max_error=0.01)
    >>> bool(abs(surrogate.decision_logits(X) - student.decision_logits(X)).max() <= 0.01)
    True
    """

    classes_: NDArray[Any]
    weight: NDArray[np.float32]
    bias: NDArray[np.float64]
    encoding: str
    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    form: Form
    certificate: Certificate

    @property
    def n_features_in_(self) -> int:
        """Number of features."""
        return int(self.weight.shape[1])

    @property
    def engine(self) -> str:
        """What evaluates the formula: ``"kernel"`` or ``"numpy"``."""
        return self._evaluator.engine

    def angles(self, X: ArrayLike) -> NDArray[Any]:
        """Features (n, n_features) to the circuit's angles in radians (n, n_inputs).

        Raises
        ------
        DataError
            If the shape is wrong or a number is not finite.
        """
        x = np.asarray(X)
        if x.dtype not in (np.float32, np.float64):
            x = _as_float(x)
        if x.ndim != 2 or x.shape[1] != self.n_features_in_:
            raise DataError(f"X has shape {x.shape}; (n, {self.n_features_in_}) is needed")
        weight, bias, _ = self._of_type(x.dtype.char)
        u = x @ weight + bias
        # A number that is not finite leaves none in its row of the projection.
        if not np.isfinite(u).all():
            row = int(np.flatnonzero(~np.isfinite(u).all(axis=1))[0])
            raise DataError(f"X, row {row + 1}: a feature is not finite, or too large")
        return ENCODINGS[self.encoding](u)

    def logits(self, angles: NDArray[Any]) -> NDArray[Any]:
        """Angles (n, n_inputs) of float32 or float64 to logits (n, n_classes) of the same type.

        Raises
        ------
        DataError
            If the shape or type is wrong.
        """
        if angles.ndim != 2 or angles.shape[1] != self.weight.shape[0] or angles.dtype.char not in "fd":
            raise DataError(
                f"angles are {angles.dtype} of shape {angles.shape}: floats (n, {len(self.weight)}) needed"
            )
        if self._is_identity:
            return self._evaluator(angles)
        matrix, offset = self._of_type(angles.dtype.char)[2]
        return self._evaluator(angles @ matrix + offset)

    def decision_logits(self, X: ArrayLike) -> NDArray[Any]:
        """Logits of every class, shape (n, n_classes), columns in the order of `classes_`."""
        return self.logits(self.angles(X))

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Class probabilities, shape (n, n_classes), columns in the order of `classes_`."""
        logits = self.decision_logits(X)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Most probable class of each row, shape (n,)."""
        return np.asarray(self.classes_[self.decision_logits(X).argmax(axis=1)])

    def save_pretrained(self, path: str | Path) -> None:
        """Write config.json, formula.npz, projection.npz and a model card into the folder `path`.

        A folder that is there already is replaced as a whole.
        """
        from qdllm.surrogate.saving import save_surrogate

        save_surrogate(self, Path(path))

    @classmethod
    def from_pretrained(cls, path: str | Path) -> Self:
        """Load what `save_pretrained` wrote; imports NumPy alone.

        Raises
        ------
        SavedModelError
            If a file is missing, truncated, altered or of another version.
        """
        from qdllm.surrogate.saving import load_surrogate

        return load_surrogate(cls, Path(path))

    @cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(self.form)

    @cached_property
    def _is_identity(self) -> bool:
        n = len(self.offset)
        return (
            self.matrix.shape == (n, n) and not self.offset.any() and np.array_equal(self.matrix, np.eye(n))
        )

    def _of_type(self, char: str) -> Any:
        """Return the projection and the map of variables in a floating type."""
        kept = self.__dict__.setdefault("_typed", {})
        if char not in kept:
            kept[char] = (
                np.ascontiguousarray(self.weight.T, dtype=char),
                self.bias.astype(char),
                (np.ascontiguousarray(self.matrix.T, dtype=char), self.offset.astype(char)),
            )
        return kept[char]


def _as_float(x: NDArray[Any]) -> NDArray[np.float64]:
    try:
        return x.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"X is {x.dtype}: features must be numbers") from error
