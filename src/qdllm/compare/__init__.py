"""Matched controls and statistics: what a student is worth beside simpler models."""

from qdllm.compare.controls import fit_logistic_regression
from qdllm.compare.measures import Interval, mean_interval, paired_difference, scores, wilson_interval

__all__ = [
    "Interval",
    "fit_logistic_regression",
    "mean_interval",
    "paired_difference",
    "scores",
    "wilson_interval",
]
