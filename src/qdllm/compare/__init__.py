"""Matched controls and statistics: what a student is worth beside simpler models."""

from qdllm.compare.controls import fit_logistic_regression
from qdllm.compare.measures import (
    Interval,
    calibration_error,
    log_loss,
    mean_interval,
    paired_difference,
    quality,
    scores,
    teacher_divergence,
    wilson_interval,
)
from qdllm.compare.statistics import (
    McNemar,
    PairedTest,
    holm,
    mcnemar,
    paired_over_rows,
    resampled,
    resampled_test,
)
from qdllm.compare.task import ComparisonTask, Contender, Fitted, Group, Lesson, Rows, Setting

__all__ = [
    "ComparisonTask",
    "Contender",
    "Fitted",
    "Group",
    "Interval",
    "Lesson",
    "McNemar",
    "PairedTest",
    "Rows",
    "Setting",
    "calibration_error",
    "fit_logistic_regression",
    "holm",
    "log_loss",
    "mcnemar",
    "mean_interval",
    "paired_difference",
    "paired_over_rows",
    "quality",
    "resampled",
    "resampled_test",
    "scores",
    "teacher_divergence",
    "wilson_interval",
]
