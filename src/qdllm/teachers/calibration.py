"""Temperature scaling (Guo et al. 2017): one number that makes confidence match accuracy."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

__all__ = ["fit_temperature", "log_loss", "softened"]

_RANGE = (0.05, 50.0)


def softened(logits: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return softmax(logits / temperature), shape (n, C)."""
    return np.asarray(softmax(logits / temperature, axis=1), dtype=np.float64)


def log_loss(logits: NDArray[np.float64], codes: NDArray[np.int64], temperature: float) -> float:
    """Return the mean of −log p(true class) at a temperature."""
    log_p = log_softmax(logits / temperature, axis=1)
    return float(-log_p[np.arange(len(codes)), codes].mean())


def fit_temperature(logits: NDArray[np.float64], codes: NDArray[np.int64]) -> float:
    """Fit the temperature that minimises the log loss.

    A standard normal prior on log T stands in for labels that are too few to tell; with none T is 1, with a
    hundred it no longer matters.

    Parameters
    ----------
    logits : ndarray, shape (n, C)
        Up to a constant a row, natural logarithms.
    codes : ndarray of int64, shape (n,)
        True classes.

    Returns
    -------
    float
        From 0.05 to 50.
    """

    def loss(log_t: float) -> float:
        return len(codes) * log_loss(logits, codes, float(np.exp(log_t))) + 0.5 * log_t**2

    found = minimize_scalar(loss, bounds=tuple(np.log(_RANGE)), method="bounded")
    return float(np.exp(found.x))
