"""Scores with their uncertainty: what every table and every JSON file is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import precision_recall_fscore_support

__all__ = ["Interval", "mean_interval", "paired_difference", "scores", "wilson_interval"]

_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float

    def percent(self, digits: int = 1) -> str:
        """Write as "87.1 [85.2, 88.8]", in percent."""
        return f"{100 * self.value:.{digits}f} [{100 * self.low:.{digits}f}, {100 * self.high:.{digits}f}]"


def wilson_interval(hits: int, n: int) -> Interval:
    """Wilson's 95 % score interval of a proportion, `hits` of `n` (Wilson 1927)."""
    share = hits / n
    centre = (share + _Z95**2 / (2 * n)) / (1 + _Z95**2 / n)
    half = _Z95 / (1 + _Z95**2 / n) * np.sqrt(share * (1 - share) / n + _Z95**2 / (4 * n**2))
    return Interval(share, max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def mean_interval(hits: ArrayLike) -> Interval:
    """Accuracy averaged over seeds, with a 95 % interval over test rows.

    Parameters
    ----------
    hits : array, shape (n_seeds, n_rows)
        1 where the seed's model was right about the row. The same rows for every seed, so rows, not
        seeds, are what the interval generalises over.
    """
    per_row = np.atleast_2d(np.asarray(hits, dtype=float)).mean(axis=0)
    return _normal_interval(per_row)


def paired_difference(hits_a: ArrayLike, hits_b: ArrayLike) -> Interval:
    """Accuracy of a minus accuracy of b on the same rows, with a 95 % interval over rows.

    Parameters
    ----------
    hits_a, hits_b : array, shape (n_seeds, n_rows) or (n_rows,)
        The number of seeds may differ between a and b.
    """
    mean_a = np.atleast_2d(np.asarray(hits_a, dtype=float)).mean(axis=0)
    mean_b = np.atleast_2d(np.asarray(hits_b, dtype=float)).mean(axis=0)
    return _normal_interval(mean_a - mean_b)


def scores(labels: ArrayLike, probabilities: ArrayLike, classes: Sequence[object]) -> dict[str, float]:
    """Accuracy with its interval, and weighted precision, recall and F1.

    Parameters
    ----------
    labels : array, shape (n,)
        Gold labels, each one of `classes`.
    probabilities : array, shape (n, n_classes)
    classes : sequence
        The order of the columns.

    Returns
    -------
    dict
        ``rows``, ``accuracy``, ``accuracy_low``, ``accuracy_high``, ``precision_weighted``,
        ``recall_weighted``, ``f1_weighted``.
    """
    truth = np.asarray(labels)
    predicted = np.asarray(classes)[np.asarray(probabilities).argmax(axis=1)]
    interval = wilson_interval(int((truth == predicted).sum()), len(truth))
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, predicted, average="weighted", zero_division=0
    )
    return {
        "rows": len(truth),
        "accuracy": interval.value,
        "accuracy_low": interval.low,
        "accuracy_high": interval.high,
        "precision_weighted": float(precision),
        "recall_weighted": float(recall),
        "f1_weighted": float(f1),
    }


def _normal_interval(per_row: NDArray[np.float64]) -> Interval:
    mean = float(per_row.mean())
    half = _Z95 * float(per_row.std(ddof=1)) / np.sqrt(len(per_row)) if len(per_row) > 1 else 0.0
    return Interval(mean, mean - half, mean + half)
