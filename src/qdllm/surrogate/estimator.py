"""A compiled student as a scikit-learn classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from qdllm.surrogate.surrogate import Surrogate

if TYPE_CHECKING:
    from qdllm.student import Student

__all__ = ["SurrogateClassifier"]


class SurrogateClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Train a student and keep its formula.

    Parameters
    ----------
    student : Student, optional
        The student to train, as it is by default; its options are reachable as ``student__n_qubits`` and so
        on in a grid search.
    max_error : float
        How far a logit may be from the student's, at any angles.

    Attributes
    ----------
    surrogate_ : Surrogate
    classes_ : ndarray, shape (n_classes,)
    n_features_in_ : int

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from qdllm import Student
    >>> X, y = load_iris(return_X_y=True)
    >>> student = Student(n_qubits=3, weight_decay=0.1, dropout=0.0)
    >>> SurrogateClassifier(student, max_error=0.1).fit(X, y).score(X, y) > 0.9
    True
    """

    def __init__(self, student: Student | None = None, *, max_error: float = 0.01) -> None:
        self.student = student
        self.max_error = max_error

    def fit(self, X: ArrayLike, y: ArrayLike | None = None, **options: Any) -> Self:
        """Train a student, with the options of `Student.fit`, and compile it.

        Raises
        ------
        DataError, ConfigError, CircuitError, TooLargeError, TrainingError
            As `Student.fit` and `compile_student` do.
        """
        from qdllm.student import Student
        from qdllm.surrogate.compiling import compile_student

        validate_data(self, X, dtype=np.float64)
        student = Student() if self.student is None else clone(self.student)
        student.fit(X, y, **options)
        self.surrogate_ = compile_student(student, self.max_error)
        self.classes_ = self.surrogate_.classes_
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Class probabilities, shape (n, n_classes)."""
        check_is_fitted(self, "surrogate_")
        return self.surrogate_.predict_proba(validate_data(self, X, reset=False))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Most probable class of each row, shape (n,)."""
        check_is_fitted(self, "surrogate_")
        return self.surrogate_.predict(validate_data(self, X, reset=False))

    def save_pretrained(self, path: str | Path) -> None:
        """Write the formula into the folder `path` (`Surrogate.save_pretrained`)."""
        check_is_fitted(self, "surrogate_")
        self.surrogate_.save_pretrained(path)

    @classmethod
    def from_pretrained(cls, path: str | Path) -> Self:
        """Load a saved surrogate as a fitted classifier.

        Raises
        ------
        SavedModelError
            If a file is missing, truncated, altered or of another version.
        """
        surrogate = Surrogate.from_pretrained(path)
        loaded = cls(max_error=surrogate.certificate.asked)
        loaded.surrogate_, loaded.classes_ = surrogate, surrogate.classes_
        loaded.n_features_in_ = surrogate.n_features_in_
        return loaded
