"""Matched controls and statistics: what a student is worth beside simpler models."""

from qdllm.compare.comparison import compare, select
from qdllm.compare.controls import controls, fit_logistic_regression, fit_student
from qdllm.compare.costs import BATCHES, best_time, one_thread
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
from qdllm.compare.report import as_markdown, in_points, verdict, write_comparison
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
from qdllm.compare.workers import Workers, available_cores

__all__ = [
    "BATCHES",
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
    "Workers",
    "as_markdown",
    "available_cores",
    "best_time",
    "calibration_error",
    "compare",
    "controls",
    "fit_logistic_regression",
    "fit_student",
    "holm",
    "in_points",
    "log_loss",
    "mcnemar",
    "mean_interval",
    "one_thread",
    "paired_difference",
    "paired_over_rows",
    "quality",
    "resampled",
    "resampled_test",
    "scores",
    "select",
    "teacher_divergence",
    "verdict",
    "wilson_interval",
    "write_comparison",
]
