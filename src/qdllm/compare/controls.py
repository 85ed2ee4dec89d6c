"""Models that stand beside every student, trained on the same features, labels and rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

__all__ = ["fit_logistic_regression"]

# Inverse regularisation on standardised features: from almost none of the data to almost all of it.
_STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)


def fit_logistic_regression(
    X: NDArray[np.floating[Any]], y: NDArray[Any], held_out: NDArray[np.bool_]
) -> tuple[Any, float]:
    """Logistic regression on standardised features, its strength chosen on the held-out rows.

    Parameters
    ----------
    X : array, shape (n, n_features)
    y : array, shape (n,)
    held_out : array of bool, shape (n,)
        Rows to choose by, not learned from.

    Returns
    -------
    classifier, accuracy
        The scikit-learn pipeline and its accuracy on the held-out rows.
    """
    best: tuple[Any, float] | None = None
    for strength in _STRENGTHS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
        model.fit(X[~held_out], y[~held_out])
        accuracy = float(model.score(X[held_out], y[held_out]))
        if best is None or accuracy > best[1]:
            best = model, accuracy
    assert best is not None  # noqa: S101 - the grid is not empty
    return best
