import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from qdllm.compare import mean_interval, paired_difference, scores, wilson_interval


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
