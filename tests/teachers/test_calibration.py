"""Temperature: found again where it is known, tame where labels are few."""

import numpy as np
import pytest

from qdllm.teachers.calibration import fit_temperature, log_loss, softened


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_a_known_temperature_is_found_again(true: float) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(20_000, 3)) * true * 2
    codes = np.array([rng.choice(3, p=p) for p in softened(logits, true)])
    assert fit_temperature(logits, codes) == pytest.approx(true, rel=0.05)


def test_a_handful_of_right_answers_does_not_make_certainty() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
    temperature = fit_temperature(logits, np.array([0, 1, 0]))
    assert 0.3 < temperature < 1.0


def test_the_log_loss_is_that_of_the_softened_probabilities() -> None:
    logits, codes = np.array([[1.0, 3.0, 0.0], [5.0, 1.0, 2.0]]), np.array([1, 2])
    p = softened(logits, 2.0)
    assert log_loss(logits, codes, 2.0) == pytest.approx(-np.log([p[0, 1], p[1, 2]]).mean())
