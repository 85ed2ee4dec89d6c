"""A student and its encoder trained together: from a text's n-grams straight to the circuit's angles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from qdllm.distill import TrainingOptions
from qdllm.encoders import NgramEncoder
from qdllm.encoders.ngram_table import NgramTable
from qdllm.student.estimator import Student
from qdllm.student.model import ProjectedModel

__all__ = ["fit_jointly"]

# Large against the gradient of a vector: a rare n-gram moves little, where Adam would move all alike, and
# learn single texts by heart. With it goes a decay that forgets within tens of steps; as the step size falls
# to 0 the table settles at its regularised optimum, so that no epoch before the last ones tells its worth.
# Chosen on validation rows of six tasks (docs/ideas/ngrams.md).
_EPSILON = 0.1
_DECAY = 8.0  # times that of a student on features


def fit_jointly(
    student: Student,
    encoder: NgramEncoder,
    texts: Sequence[str],
    y: ArrayLike | None = None,
    *,
    soft_labels: ArrayLike | None = None,
    labelled: ArrayLike | None = None,
    validation: ArrayLike | None = None,
    classes: ArrayLike | None = None,
    checkpoint: str | Path | None = None,
    quiet: bool = True,
) -> Student:
    """Train a student together with an encoder that has nothing to say before; both are changed in place.

    A text's features are then its angles, but for a constant each: the projection is the identity. (Where the
    encoding is not linear, they are what it maps to angles.) The student's options hold for both, its weight
    decay, eight times, for the table, but for two: `epsilon` is 0.1, and nothing is dropped out. All epochs
    are run unless `patience` is set.

    Parameters
    ----------
    student : Student
    encoder : NgramEncoder
        Fitted on the training texts here.
    texts : sequence of str, length n
    y, soft_labels, labelled, validation, classes, checkpoint, quiet
        See `Student.fit`.

    Returns
    -------
    Student
        The one given.

    Raises
    ------
    DataError, ConfigError, CircuitError, TooLargeError, TrainingError
        As `Student.fit` does.
    """
    student.check_parameters()
    targets = student._targets(len(texts), y, soft_labels, labelled, validation, classes)
    encoder.fit([texts[int(i)] for i in np.flatnonzero(~targets.held_out)])
    width = student._make_circuit().n_inputs

    def make() -> _Joint:
        model = student._make_model(width, len(student.classes_))
        with torch.no_grad():
            model.projection.weight.copy_(torch.eye(width))
        model.projection.weight.requires_grad = False
        return _Joint(encoder.module(texts, width), model)

    joint = student._train(
        make,
        torch.arange(len(texts)),
        targets,
        _training_options(student, int((~targets.held_out).sum())),
        checkpoint=checkpoint,
        quiet=quiet,
    )
    encoder.take(joint.table.table())
    student.n_features_in_ = width
    student.model_ = joint.student.double().eval()
    return student


def _training_options(student: Student, n_rows: int) -> TrainingOptions:
    options = student._training_options(n_rows)
    return replace(
        options,
        weight_decay=_DECAY * options.weight_decay,
        epsilon=_EPSILON,
        dropout=0.0,
        patience=options.epochs if student.patience is None else student.patience,
    )


class _Joint(nn.Module):
    """Numbers of texts (batch,) to logits (batch, n_classes)."""

    def __init__(self, table: NgramTable, student: ProjectedModel) -> None:
        super().__init__()
        self.table = table
        self.student = student

    def forward(self, rows: Tensor) -> Tensor:
        logits: Tensor = self.student(self.table(rows))
        return logits

    def extra_repr(self) -> str:
        """See `StudentModel.extra_repr`; the texts are no weights either."""
        return f"{self.student.extra_repr()}, texts={self.table.digest}"
