"""One design: what it costs, its training, and when to give up on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdllm.circuits import analyse, make_ansatz, parse_observables, readout_labels
from qdllm.compare import Lesson, Rows, fit_student
from qdllm.distill import TrainingHistory
from qdllm.search.front import Candidate, standard_error
from qdllm.search.space import Design
from qdllm.student import Student

__all__ = ["Hopeless", "Rival", "costs_of", "fit_design", "give_up", "hits", "known_classes"]

_LEAST_SHARE = 1 / 3  # of the rival's epochs, before which nothing is said of either
_STANDARD_ERRORS = 2.0


class Hopeless(Exception):  # noqa: N818 - no error: a training that is not worth its end
    """A training is ended because another design is cheaper and was far better by the same epoch."""


@dataclass(frozen=True)
class Rival:
    """A candidate, and its accuracy on validation rows after every epoch."""

    candidate: Candidate
    curve: Sequence[float]


def costs_of(design: Design, n_features: int, n_classes: int) -> tuple[int, int]:
    """Count what a design costs, before it is trained.

    Returns
    -------
    two_qubit_gates : int
        Those that are needed: no dead ones, and none that the readout absorbs.
    parameters : int
        Trained numbers: projection, circuit, readout.
    """
    student = Student(**design)
    circuit = make_ansatz(student.ansatz, student.n_qubits, student.n_layers)
    labels = readout_labels(student.readout, circuit.n_qubits)
    found = analyse(circuit, parse_observables(labels, circuit.n_qubits))
    projection = (n_features + 1) * circuit.n_inputs
    readout = (len(labels) + 1) * n_classes
    return found.two_qubit_gates_needed, projection + circuit.n_parameters + readout


def fit_design(
    lesson: Lesson, design: Design, seed: int, after_epoch: Callable[[TrainingHistory], None] | None = None
) -> Student:
    """Train a student of this design on the training rows; the validation rows choose its epoch."""
    return fit_student(Student(**design, seed=seed), lesson, after_epoch)


def known_classes(rows: Rows) -> NDArray[np.int64]:
    """Return the class that each row counts as: its label's or, where there is none, the teacher's choice.

    −1 where there is neither.
    """
    if rows.soft is None:
        return rows.y
    return np.where(rows.y >= 0, rows.y, rows.soft.argmax(axis=1))


def hits(student: Student, x: NDArray[np.float32], codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which rows of known class (`codes` ≥ 0) a student of `fit_design` has right."""
    known = codes >= 0
    return np.asarray(student.predict(x[known]) == codes[known])


def give_up(
    costs: tuple[int, int], rivals: Sequence[Rival], n_rows: int
) -> Callable[[TrainingHistory], None]:
    """Return a watch over a training that ends it when it is hopeless.

    Optuna prunes no study of several objectives, so the rule is our own, and compares like with like. A
    rival is a candidate that costs no more in gates and in parameters: it dominates the design unless that
    becomes more accurate. Every candidate is trained for the same number of epochs at the same falling
    pace, so that two accuracies after epoch k say the same of both. From a third of the rival's training
    on, a design is given up if its best accuracy so far lies two standard errors below the rival's best by
    the same epoch. It is recorded as pruned, without objectives: it can neither join the front nor count
    as a measurement. What the rule costs is a design that learns slowly and would have caught up.

    Parameters
    ----------
    costs : tuple of int
        Two-qubit gates and parameters of the design.
    rivals : sequence of Rival
        All candidates so far.
    n_rows : int
        Validation rows of known class.
    """
    cheaper = [
        rival for rival in rivals if all(a <= b for a, b in zip(rival.candidate.costs, costs, strict=True))
    ]

    def watch(history: TrainingHistory) -> None:
        epochs = len(history.validation_accuracy)
        reached = max(history.validation_accuracy)
        for rival in cheaper:
            if epochs < math.ceil(_LEAST_SHARE * len(rival.curve)):
                continue
            ahead = max(rival.curve[:epochs])
            if reached < ahead - _STANDARD_ERRORS * standard_error(ahead, n_rows):
                raise Hopeless(
                    f"{reached:.4f} after {epochs} epochs, where trial {rival.candidate.trial}, "
                    f"which costs no more, had {ahead:.4f}"
                )

    return watch
