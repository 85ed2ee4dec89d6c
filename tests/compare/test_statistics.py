"""The tests of differences, against SciPy and against figures worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qdllm.compare import holm, mcnemar, paired_over_rows, resampled, resampled_test

differences = st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=12).filter(lambda d: np.std(d) > 1e-6)


@given(seed=st.integers(0, 1000), n=st.integers(1, 60))
def test_mcnemar_is_the_exact_sign_test_of_the_rows_that_differ(seed, n):
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, n)) < 0.6
    found = mcnemar(a, b)
    discordant = found.only_first + found.only_second
    assert discordant == (a != b).sum()
    expected = stats.binomtest(found.only_first, discordant).pvalue if discordant else 1.0
    assert found.p == pytest.approx(expected)


def test_mcnemar_by_hand():
    a = np.array([1] * 8 + [0] * 2 + [1] * 10, dtype=bool)
    b = np.array([0] * 8 + [1] * 2 + [1] * 10, dtype=bool)
    # 10 rows differ, 2 one way: 2 (1 + 10 + 45) / 1024
    assert (mcnemar(a, b).only_first, mcnemar(a, b).only_second) == (8, 2)
    assert mcnemar(a, b).p == pytest.approx(2 * 56 / 1024)


@given(differences)
def test_without_test_rows_the_corrected_test_is_the_paired_t_test(d):
    ours, theirs = resampled_test(d, n_train=10**12, n_test=1), stats.ttest_1samp(d, 0.0)
    interval = theirs.confidence_interval(0.95)
    assert ours.p == pytest.approx(theirs.pvalue, abs=1e-6)
    assert (ours.difference.low, ours.difference.high) == pytest.approx(
        (interval.low, interval.high), abs=1e-6
    )


def test_the_corrected_test_by_hand():
    # mean 0.02, variance 0.0001, five splits, a quarter as many test rows as training rows:
    # error = sqrt((1/5 + 1/4) 0.0001) = 0.0067082, t = 2.98142 with four degrees of freedom
    d = 0.02 + 0.01 * np.sqrt(4 / 10) * np.array([-2, -1, 0, 1, 2])
    found = resampled_test(d, n_train=400, n_test=100)
    assert found.difference.value == pytest.approx(0.02)
    assert found.p == pytest.approx(0.0406, abs=1e-4)
    assert found.difference.low == pytest.approx(0.02 - 2.776445 * 0.0067082, abs=1e-6)


@given(differences, st.integers(1, 500))
def test_more_test_rows_never_narrow_the_interval(d, n_test):
    narrow, wide = resampled(d, 1000, n_test), resampled(d, 1000, n_test + 100)
    assert narrow.value == wide.value
    assert narrow.low >= wide.low
    assert narrow.high <= wide.high


def test_differences_that_do_not_vary_prove_nothing():
    assert resampled_test([0.01, 0.01, 0.01], 400, 100).p == 1.0
    same = np.ones(50, dtype=bool)
    assert paired_over_rows(same, same).p == 1.0


def test_false_alarms_are_as_rare_as_promised():
    """Where nothing differs, about one test in twenty says that something does."""
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 1000, 400)) < 0.8
    alarms = np.mean([paired_over_rows(x, y).p < 0.05 for x, y in zip(a, b, strict=True)])
    assert 0.03 < alarms < 0.07
    exact = np.mean([mcnemar(x, y).p < 0.05 for x, y in zip(a, b, strict=True)])
    assert exact < 0.06


def test_overlapping_splits_raise_false_alarms_only_without_the_correction():
    """Ten random splits of one data set; both 'classifiers' are coins, fixed for each row."""
    rng = np.random.default_rng(1)
    corrected, naive = [], []
    for _ in range(300):
        difference = rng.integers(0, 2, 250) - rng.integers(0, 2, 250)
        d = [difference[rng.permutation(250)[:125]].mean() for _ in range(10)]
        corrected.append(resampled_test(d, 125, 125).p < 0.05)
        naive.append(stats.ttest_1samp(d, 0.0).pvalue < 0.05)
    assert np.mean(corrected) < 0.08
    assert np.mean(naive) > 0.2


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holm_against_its_definition(p):
    adjusted, order = holm(p), np.argsort(p, kind="stable")
    for rank, index in enumerate(order):
        worst = max((len(p) - k) * p[order[k]] for k in range(rank + 1))
        assert adjusted[index] == pytest.approx(min(1.0, worst))
