"""Mitigation and shots of a real student on a simulated chip."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from qdllm.devices import ChipRunner, SimulatorBackend, StopRule
from qdllm.errors import ConfigError

from .small_chips import line


@pytest.fixture
def noisy(trained):
    return ChipRunner(trained[0].model_, SimulatorBackend("line", line(6)))


def rmse(estimate, exact):
    return float(np.sqrt(((estimate.values - exact.values) ** 2).mean()))


def test_exact_values_lead_to_the_students_own_logits(trained, noisy):
    student, angles, _ = trained
    x, _ = load_iris(return_X_y=True)
    np.testing.assert_allclose(noisy.exact(angles).logits, student.decision_logits(x), atol=1e-10)


def test_standard_errors_say_how_far_shots_lie_from_the_exact_values(trained):
    student, angles, _ = trained
    runner = ChipRunner(student.model_, SimulatorBackend("statevector", None))
    estimate = runner.estimate(runner.measure(angles, 256, seed=0))
    exact = runner.exact(angles)
    scores = (estimate.values - exact.values) / np.sqrt(estimate.variances)
    assert abs(scores.mean()) < 0.2
    assert 0.85 < scores.std() < 1.1
    between = np.array([1.0, -1.0, 0.0])
    spread = np.sqrt(np.einsum("i,nij,j->n", between, estimate.logit_covariances, between))
    assert 0.8 < (((estimate.logits - exact.logits) @ between) / spread).std() < 1.15


def test_each_step_of_mitigation_brings_values_closer(trained, noisy):
    _, angles, y = trained
    exact = noisy.exact(angles)
    measured = noisy.measure(angles, 2048, seed=1)
    corrections = noisy.correct(angles[::5], 4096, seed=2)
    raw, inverted = noisy.estimate(measured), noisy.estimate(measured, corrections.readout)
    mitigated = noisy.mitigate(measured, corrections)
    assert rmse(raw, exact) > 1.5 * rmse(inverted, exact) > 1.5 * rmse(mitigated, exact)
    right = (exact.logits.argmax(axis=1) == y).mean()
    assert (mitigated.logits.argmax(axis=1) == y).mean() >= right - 0.03
    chip = line(6).qubits[0]
    assert corrections.readout.read_1_as_0 == pytest.approx(chip.read_1_as_0, abs=0.02)
    assert corrections.readout.read_0_as_1 == pytest.approx(chip.read_0_as_1, abs=0.02)


def test_few_shots_are_read_together(trained, noisy):
    _, angles, _ = trained
    exact = noisy.exact(angles)
    measured = noisy.measure(angles, 16, seed=1)
    corrections = noisy.correct(np.random.default_rng(0).permutation(angles), 4096, seed=2)
    raw, mitigated = noisy.estimate(measured), noisy.mitigate(measured, corrections)
    assert rmse(mitigated, exact) < 0.8 * rmse(raw, exact)
    same = exact.logits.argmax(axis=1)
    agreements = [(found.logits.argmax(axis=1) == same).mean() for found in (raw, mitigated)]
    assert agreements[1] >= agreements[0]
    scores = (mitigated.values - exact.values) / np.sqrt(mitigated.variances)
    assert 0.8 < scores.std() < 1.1


def test_a_single_calibration_input_says_nothing_of_others(trained, noisy):
    _, angles, _ = trained
    mitigated = noisy.mitigate(noisy.measure(angles[:5], 64, seed=1), noisy.correct(angles[:1], 64, seed=2))
    np.testing.assert_allclose(mitigated.values, noisy.exact(angles[[0] * 5]).values, atol=1e-6)


def test_extrapolation_removes_some_of_the_two_qubit_errors(trained, noisy):
    _, angles, _ = trained
    exact = noisy.exact(angles)
    measured = noisy.measure(angles, 8192, seed=1)
    readout = noisy.correct(angles[:30], 4096, seed=2).readout
    plain = noisy.estimate(measured, readout)
    assert rmse(noisy.extrapolate(measured, readout, 8192, seed=4), exact) < rmse(plain, exact)


@pytest.mark.parametrize("rule", [StopRule(confidence=0.99), StopRule(least_gain=1.0)])
def test_adaptive_shots_stop_early_where_the_class_is_clear(trained, noisy, rule):
    _, angles, y = trained
    corrections = noisy.correct(angles[::5], 4096, seed=2)
    adaptive = noisy.measure_adaptively(angles, 512, corrections, rule, seed=3)
    fixed = noisy.mitigate(noisy.measure(angles, 512, seed=4), corrections).logits.argmax(axis=1)
    assert adaptive.shots.mean() < 256
    assert adaptive.shots.max() <= 512 + 2
    found = noisy.mitigate(adaptive, corrections).logits.argmax(axis=1)
    assert (found == y).mean() >= (fixed == y).mean() - 0.03


def test_another_backend_gets_the_same_circuits_on_the_same_qubits(trained, noisy):
    _, angles, _ = trained
    other = noisy.on(SimulatorBackend("statevector", None))
    assert other.lowered is noisy.lowered
    assert other.qubits == noisy.qubits
    found = other.estimate(other.measure(angles, 4096, seed=1))
    assert rmse(found, noisy.exact(angles)) < 0.03
    assert other.spent["shots"] > 0
    assert noisy.spent["shots"] == 0
    with pytest.raises(ConfigError, match="has no qubit 2"):
        other.on(SimulatorBackend("line", line(2)))


def test_wrong_requests_are_refused(trained):
    student, *_ = trained
    with pytest.raises(ConfigError, match="has 2 qubits, the student needs 3"):
        ChipRunner(student.model_, SimulatorBackend("line", line(2)))
    with pytest.raises(ConfigError, match="disconnected"):
        ChipRunner(student.model_, SimulatorBackend("line", line(6)), layout=(0, 1, 3))


def test_drifted_chips_are_each_their_own_and_corrected_anew_they_are_closer(trained, noisy):
    _, angles, _ = trained
    exact = noisy.exact(angles)
    corrections = noisy.correct(angles, 4096, seed=2)
    chips = list(noisy.drifted(angles, 4096, angles, corrections, times=3, spread=0.5))
    errors = {way: [rmse(found[way], exact) for found in chips] for way in chips[0]}
    assert len(set(errors["raw"])) == 3
    assert np.mean(errors["corrected_anew"]) < np.mean(errors["corrected_before"])
    assert np.mean(errors["corrected_before"]) < np.mean(errors["raw"])
