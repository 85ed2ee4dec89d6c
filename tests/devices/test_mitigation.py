"""The best linear estimate of exact values, on numbers drawn from what it assumes."""

import numpy as np
import pytest

from qdllm.devices.mitigation import Affine


@pytest.fixture
def affine():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(4, 2))  # four observables that go together
    return Affine(
        slope=np.array([0.9, 0.8, 0.7, 0.6]),
        offset=np.array([0.05, -0.02, 0.0, 0.1]),
        residual=np.full(4, 1e-4),
        one_shot=np.eye(4) + 0.3,
        mean=np.array([0.1, 0.2, -0.3, 0.0]),
        covariance=0.04 * mixing @ mixing.T + 1e-4 * np.eye(4),
    )


def draw(affine, shots, n=200_000):
    """Exact values, and those measured with so many shots."""
    rng = np.random.default_rng(1)
    exact = rng.multivariate_normal(affine.mean, affine.covariance, n)
    noise = np.diag(affine.residual) + affine.one_shot / shots
    return exact, affine.offset + affine.slope * exact + rng.multivariate_normal(np.zeros(4), noise, n)


@pytest.mark.parametrize("shots", [8, 64, 4096])
def test_it_is_the_regression_of_exact_on_measured_values(affine, shots):
    exact, measured = draw(affine, shots)
    linear = affine.undo(shots)
    found, *_ = np.linalg.lstsq(np.column_stack([measured, np.ones(len(measured))]), exact, rcond=None)
    np.testing.assert_allclose(linear.gain, found[:4].T, atol=0.02)
    np.testing.assert_allclose(linear.offset, found[4], atol=0.01)


@pytest.mark.parametrize("shots", [8, 64, 4096])
def test_it_knows_how_far_off_it_is(affine, shots):
    exact, measured = draw(affine, shots)
    linear = affine.undo(shots)
    errors = measured @ linear.gain.T + linear.offset - exact
    said = linear.unknown + linear.gain @ (affine.one_shot / shots) @ linear.gain.T
    np.testing.assert_allclose(np.cov(errors.T), said, rtol=0.05, atol=2e-5)


def test_with_countless_shots_and_no_residual_the_line_is_undone(affine):
    sharp = Affine(**{**vars(affine), "residual": np.zeros(4)})
    linear = sharp.undo(1e12)
    exact = np.array([0.3, -0.2, 0.5, 0.1])
    restored = linear.gain @ (affine.offset + affine.slope * exact) + linear.offset
    np.testing.assert_allclose(restored, exact, atol=1e-4)


def test_without_shots_it_answers_with_the_mean(affine):
    linear = affine.undo(1e-9)
    np.testing.assert_allclose(linear.gain, 0.0, atol=1e-6)
    np.testing.assert_allclose(linear.offset, affine.mean, atol=1e-6)
