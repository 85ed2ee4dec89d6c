"""Tests of differences: is one classifier better than another, or did the split favour it.

Splits of one data set share rows, so that their results are not independent and the ordinary t-test finds
differences where there are none. Sources: McNemar, Psychometrika 12 (1947) 153; Nadeau and Bengio,
Machine Learning 52 (2003) 239; Holm, Scandinavian Journal of Statistics 6 (1979) 65; on all three for
classifiers, Demšar, Journal of Machine Learning Research 7 (2006) 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom, norm, t

from qdllm.compare.measures import Interval, paired_difference

__all__ = ["McNemar", "PairedTest", "holm", "mcnemar", "paired_over_rows", "resampled", "resampled_test"]


@dataclass(frozen=True)
class McNemar:
    """Two classifiers on the same rows.

    Attributes
    ----------
    only_first, only_second : int
        Rows that one of them alone has right.
    p : float
        Exact, two-sided: how probable so uneven a share is if each row could have gone either way.
    """

    only_first: int
    only_second: int
    p: float


@dataclass(frozen=True)
class PairedTest:
    """A mean difference, its 95 % interval, and the two-sided p of there being none."""

    difference: Interval
    p: float


def mcnemar(hits_a: ArrayLike, hits_b: ArrayLike) -> McNemar:
    """McNemar's exact test (McNemar 1947).

    Parameters
    ----------
    hits_a, hits_b : array of bool, shape (n_rows,)
        Whether each classifier has the row right.
    """
    a, b = np.asarray(hits_a, dtype=bool), np.asarray(hits_b, dtype=bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    tail = float(binom.cdf(min(only_a, only_b), only_a + only_b, 0.5))
    return McNemar(only_a, only_b, min(1.0, 2 * tail))


def resampled(values: Sequence[float], n_train: int, n_test: int) -> Interval:
    """Mean over random splits with a 95 % interval that knows that splits share rows.

    Student's t with J − 1 degrees of freedom and the variance of Nadeau and Bengio (2003):
    (1/J + n_test/n_train) times the variance over the J splits.

    Parameters
    ----------
    values : sequence of float, length J ≥ 2
        One a split.
    n_train, n_test : int
        Rows of a split.
    """
    half = float(t.ppf(0.975, len(values) - 1)) * _corrected_error(values, n_train, n_test)
    mean = float(np.mean(values))
    return Interval(mean, mean - half, mean + half)


def resampled_test(differences: Sequence[float], n_train: int, n_test: int) -> PairedTest:
    """Corrected resampled t-test of paired differences over random splits (Nadeau and Bengio 2003).

    Where the differences do not vary at all their variance cannot be estimated, and p is 1.

    Parameters
    ----------
    differences : sequence of float, length J ≥ 2
        One a split: the same rows, one classifier minus the other.
    n_train, n_test : int
        Rows of a split.
    """
    interval = resampled(differences, n_train, n_test)
    error = _corrected_error(differences, n_train, n_test)
    if error < 1e-12:
        return PairedTest(interval, 1.0)
    return PairedTest(interval, float(2 * t.sf(abs(interval.value) / error, len(differences) - 1)))


def paired_over_rows(hits_a: ArrayLike, hits_b: ArrayLike) -> PairedTest:
    """Paired z-test over test rows, hits averaged over seeds: for one set of test rows, whatever the seeds.

    Parameters
    ----------
    hits_a, hits_b : array, shape (n_seeds, n_rows) or (n_rows,)
    """
    interval = paired_difference(hits_a, hits_b)
    half = interval.high - interval.value
    if half < 1e-12:
        return PairedTest(interval, 1.0)
    z = abs(interval.value) / (half / float(norm.ppf(0.975)))
    return PairedTest(interval, float(2 * norm.sf(z)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values so that one false alarm in the whole family is as rare as each p says (Holm 1979).

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def _corrected_error(values: Sequence[float], n_train: int, n_test: int) -> float:
    variance = float(np.var(values, ddof=1))
    return math.sqrt((1 / len(values) + n_test / n_train) * variance)
