import numpy as np
import pytest

from qdllm.compare import Rows
from qdllm.distill import TrainingHistory
from qdllm.search import Candidate, fit_design, hits, known_classes
from qdllm.search.training import Hopeless, Rival, give_up

from .lessons import LESSON

CURVE = [0.4, 0.6, 0.7, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]
RIVAL = Rival(Candidate(4, {}, 0.8, 3, 100), CURVE)
# 400 rows: two standard errors of 70 % are 4.6 points.


def _epoch_of_giving_up(curve, costs=(3, 100), rivals=(RIVAL,)):
    watch = give_up(costs, rivals, 400)
    for epoch in range(1, len(curve) + 1):
        try:
            watch(TrainingHistory(validation_accuracy=curve[:epoch]))
        except Hopeless as reason:
            assert "trial 4" in str(reason)
            return epoch
    return None


@pytest.mark.parametrize(
    ("curve", "costs", "expected"),
    [
        ([0.3] * 9, (3, 100), 3),  # a third of the rival's nine epochs
        ([0.3] * 9, (4, 120), 3),
        ([0.3] * 9, (2, 100), None),  # cheaper in one: the rival cannot dominate it
        ([0.3] * 9, (3, 99), None),
        ([0.66, 0.3, 0.3, 0.78, 0.3, 0.3, 0.3, 0.3, 0.3], (3, 100), None),  # the best so far counts
        ([0.6, 0.66, 0.66, 0.66, 0.66], (3, 100), 4),
        ([0.3, 0.3], (3, 100), None),
    ],
)
def test_a_training_far_behind_a_cheaper_one_at_the_same_epoch_is_given_up(curve, costs, expected):
    assert _epoch_of_giving_up(curve, costs) == expected


def test_without_rivals_nothing_is_given_up():
    assert _epoch_of_giving_up([0.0] * 9, rivals=()) is None


def test_a_row_counts_as_its_label_and_without_one_as_the_teachers_choice():
    soft = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    rows = Rows(("a", "b", "c"), np.zeros((3, 1), np.float32), np.array([1, -1, -1]), soft)
    assert known_classes(rows).tolist() == [1, 1, 0]
    assert known_classes(Rows(rows.texts, rows.x, rows.y)).tolist() == [1, -1, -1]


def test_hits_are_those_of_rows_of_known_class():
    student = fit_design(LESSON, {"n_qubits": 2, "epochs": 1}, seed=0)
    said = student.predict(LESSON.validation.x[:4])
    codes = np.array([said[0], -1, (said[2] + 1) % 3, said[3]])
    assert hits(student, LESSON.validation.x[:4], codes).tolist() == [True, False, True]
