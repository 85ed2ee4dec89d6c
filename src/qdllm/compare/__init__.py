"""Matched controls and statistics: what a student is worth beside simpler models."""

from qdllm.compare.controls import fit_logistic_regression
from qdllm.compare.measures import Interval, mean_interval, paired_difference, scores, wilson_interval
from qdllm.compare.task import ComparisonTask, Contender, Fitted, Lesson, Rows, Setting

__all__ = [
    "ComparisonTask",
    "Contender",
    "Fitted",
    "Interval",
    "Lesson",
    "Rows",
    "Setting",
    "fit_logistic_regression",
    "mean_interval",
    "paired_difference",
    "scores",
    "wilson_interval",
]
