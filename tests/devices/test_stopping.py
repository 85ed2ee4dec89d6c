"""When to stop measuring: against a simulation of more shots, and at the border of each rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdllm.devices import StopRule
from qdllm.devices.reading import Estimate
from qdllm.errors import ConfigError


def estimate(logits, error):
    """Return one input's estimate whose logits have independent errors of this size."""
    logits = np.atleast_2d(np.asarray(logits, dtype=float))
    n, classes = logits.shape
    none = np.zeros((n, 1))
    covariances = np.tile(error**2 * np.eye(classes), (n, 1, 1))
    return Estimate(none, none, logits, covariances, np.zeros((1, 1)))


def is_enough(logits, error, shots, **rule):
    return bool(StopRule(**rule)(estimate(logits, error), shots)[0])


def test_a_class_is_decided_when_the_lead_is_enough_standard_errors():
    # The difference of two logits with errors of 1/√2 has an error of 1; 1.96 of them are 97.5 %.
    assert is_enough([0.0, 1.97], 0.5**0.5, 8, confidence=0.975)
    assert not is_enough([0.0, 1.95], 0.5**0.5, 8, confidence=0.975)


@pytest.mark.parametrize(
    ("logits", "error"), [([0.2, 0.0], 0.5), ([1.0, 0.9, -1.0], 0.3), ([2.0, -1.0], 2.0)]
)
def test_the_expected_gain_is_that_of_simulated_shots(logits, error):
    rng, shots, leads = np.random.default_rng(0), 16, np.sort(logits)[::-1]
    # The lead as twice the shots will show it, given what is known now.
    later = (leads[0] - leads[1]) + rng.normal(0.0, error, 400_000)  # variance 2·error² halved
    weights = np.exp(leads)
    gained = np.where(later < 0, np.tanh(-later / 2), 0.0).mean() * weights[:2].sum() / weights.sum()
    points = 100 * 1000 * gained / shots
    assert not is_enough(logits, error, shots, least_gain=0.99 * points)
    assert is_enough(logits, error, shots, least_gain=1.01 * points)


def test_a_text_on_the_border_is_given_up_when_shots_have_made_it_sharp():
    """There a confidence asks on and on: whichever class is taken, hardly anything is lost."""
    assert not is_enough([0.0, 0.0], 0.5, 8, confidence=0.99, least_gain=1.0)
    assert not is_enough([0.0, 0.0], 0.005, 1024, confidence=0.99)
    assert is_enough([0.0, 0.0], 0.005, 1024, confidence=0.99, least_gain=1.0)


@given(st.floats(0.0, 20.0), st.floats(0.0, 20.0), st.floats(1e-3, 30.0), st.integers(1, 4096))
def test_whoever_leads_by_more_needs_no_more_shots(lead, more, error, shots):
    first = is_enough([lead, 0.0], error, shots, least_gain=1.0)
    assert is_enough([lead + more, 0.0], error, shots, least_gain=1.0) or not first


def test_each_input_is_judged_by_itself():
    several = StopRule(confidence=0.9)(estimate([[3.0, 0.0], [0.1, 0.0], [0.0, 3.0]], 1.0), 8)
    assert several.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"confidence": 0.5}, "confidence is 0.5"),
        ({"confidence": 1.0}, "confidence is 1.0"),
        ({"least_gain": 0.0}, "least gain is 0.0"),
        ({"least_gain": float("nan")}, "least gain is nan"),
        ({}, "need a confidence or a least gain"),
    ],
)
def test_what_cannot_stop_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        StopRule(**values)
