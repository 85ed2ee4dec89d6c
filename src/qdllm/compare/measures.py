"""Scores with their uncertainty: what every table and every JSON file is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import precision_recall_fscore_support

__all__ = [
    "Interval",
    "calibration_error",
    "log_loss",
    "mean_interval",
    "paired_difference",
    "quality",
    "scores",
    "teacher_divergence",
    "wilson_interval",
]

_Z95 = 1.959963984540054
_LEAST = 1e-12  # no class is given less probability than this where a logarithm is taken


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


def quality(
    codes: ArrayLike, probabilities: ArrayLike, soft_labels: ArrayLike | None = None
) -> dict[str, float | None]:
    """Return all that a comparison reports of one model's answers.

    Parameters
    ----------
    codes : array of int, shape (n,)
        Gold classes.
    probabilities : array, shape (n, n_classes)
        The model's.
    soft_labels : array, shape (n, n_classes), optional
        The teacher's.

    Returns
    -------
    dict
        ``accuracy``, ``precision_weighted``, ``recall_weighted``, ``f1_weighted``, ``log_loss``,
        ``calibration_error``; ``agreement_with_teacher`` and ``kl_to_teacher``, None without a teacher.
    """
    proba = np.asarray(probabilities, dtype=float)
    found: dict[str, float | None] = dict(scores(codes, proba, range(proba.shape[1])))
    for name in ("rows", "accuracy_low", "accuracy_high"):
        del found[name]
    found |= {"log_loss": log_loss(codes, proba), "calibration_error": calibration_error(codes, proba)}
    if soft_labels is None:
        return {**found, "agreement_with_teacher": None, "kl_to_teacher": None}
    soft = np.asarray(soft_labels, dtype=float)
    same = proba.argmax(axis=1) == soft.argmax(axis=1)
    return {
        **found,
        "agreement_with_teacher": float(same.mean()),
        "kl_to_teacher": teacher_divergence(soft, proba),
    }


def log_loss(codes: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean of −log p(gold class), in nats."""
    proba = np.asarray(probabilities, dtype=float)
    given = proba[np.arange(len(proba)), np.asarray(codes)]
    return float(-np.log(given.clip(_LEAST)).mean())


def teacher_divergence(soft_labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean Kullback–Leibler divergence KL(teacher‖model) over rows, in nats.

    Parameters
    ----------
    soft_labels, probabilities : array, shape (n, n_classes)
        The teacher's and the model's.
    """
    p, q = np.asarray(soft_labels, dtype=float), np.asarray(probabilities, dtype=float)
    return float((p * (np.log(p.clip(_LEAST)) - np.log(q.clip(_LEAST)))).sum(axis=1).mean())


def calibration_error(codes: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> float:
    """Return the expected calibration error (Guo et al. 2017, arXiv 1706.04599): 15 bins of equal width.

    The mean distance between a model's confidence and its accuracy, in bins of the confidence: the
    probability of the chosen class.
    """
    proba = np.asarray(probabilities, dtype=float)
    confidence, hit = proba.max(axis=1), proba.argmax(axis=1) == np.asarray(codes)
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(which, weights=hit - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(proba))


def _normal_interval(per_row: NDArray[np.float64]) -> Interval:
    mean = float(per_row.mean())
    half = _Z95 * float(per_row.std(ddof=1)) / np.sqrt(len(per_row)) if len(per_row) > 1 else 0.0
    return Interval(mean, mean - half, mean + half)
