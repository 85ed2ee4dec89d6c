import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, entropy
from sklearn.metrics import f1_score, log_loss

from qdllm.compare import (
    calibration_error,
    mean_interval,
    paired_difference,
    quality,
    scores,
    teacher_divergence,
    wilson_interval,
)


@given(n=st.integers(1, 2000), share=st.floats(0, 1))
def test_wilson_interval_equals_scipy(n, share):
    hits = round(n * share)
    ours, theirs = wilson_interval(hits, n), binomtest(hits, n).proportion_ci(method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_paired_difference_is_narrower_than_two_intervals_apart():
    rng = np.random.default_rng(0)
    a = rng.random(1000) < 0.8
    b = a ^ (rng.random(1000) < 0.02)
    difference = paired_difference(a, b)
    assert difference.value == pytest.approx(a.mean() - b.mean())
    assert difference.high - difference.low < (mean_interval(a).high - mean_interval(a).low) / 2


def test_scores_equal_scikit_learn():
    labels = np.array(["x", "y", "z", "y", "x"])
    probabilities = np.eye(3)[[0, 1, 1, 1, 2]]
    found = scores(labels, probabilities, ["x", "y", "z"])
    assert found["accuracy"] == 0.6
    assert found["rows"] == 5
    predicted = ["x", "y", "y", "y", "z"]
    assert found["f1_weighted"] == pytest.approx(f1_score(labels, predicted, average="weighted"))


def test_calibration_error_by_hand():
    # Four rows with confidence 0.9, three right; two with 0.6 (one bin of fifteen lower), none right.
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.4, 0.6]] * 2)
    assert calibration_error([0, 0, 0, 1, 0, 0], probabilities) == pytest.approx((4 * 0.15 + 2 * 0.6) / 6)


def test_a_model_that_is_as_often_right_as_it_says_is_calibrated():
    rng = np.random.default_rng(0)
    confident = rng.uniform(0.5, 1.0, 20_000)
    probabilities = np.stack([confident, 1 - confident], axis=1)
    codes = (rng.random(20_000) > confident).astype(int)
    assert calibration_error(codes, probabilities) < 0.02
    assert calibration_error(codes, np.round(probabilities)) > 0.2


def test_divergence_and_log_loss_equal_scipy_and_scikit_learn():
    rng = np.random.default_rng(0)
    soft, proba = rng.dirichlet(np.ones(3), (2, 50))
    codes = rng.integers(0, 3, 50)
    assert teacher_divergence(soft, proba) == pytest.approx(entropy(soft, proba, axis=1).mean())
    assert teacher_divergence(soft, soft) == pytest.approx(0.0)
    found = quality(codes, proba, soft)
    assert found["log_loss"] == pytest.approx(log_loss(codes, proba, labels=[0, 1, 2]))
    assert found["agreement_with_teacher"] == (soft.argmax(axis=1) == proba.argmax(axis=1)).mean()
    assert quality(codes, proba)["kl_to_teacher"] is None


def test_certainty_that_is_wrong_costs_much_but_stays_finite():
    certain = np.array([[1.0, 0.0]])
    assert 20 < teacher_divergence([[0.0, 1.0]], certain) < 30
    assert 20 < quality([1], certain)["log_loss"] < 30
