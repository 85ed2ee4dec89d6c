"""Jobs on disk, with a vendor that can be asked and that fails when it is told to."""

import numpy as np
import pytest

from qdllm.devices import ChipRunner, CircuitBatch, Counts, JobRunner, Limits, StopRule, lower
from qdllm.errors import BackendError, ConfigError
from qdllm.files import read_json

from .small_chips import bound_student, line


class Vendor:
    """Takes every job, and finds nothing but zeros."""

    name, is_real, unit = "vendor", True, "tasks"

    def __init__(self, calibration, limits=None):
        self.chip = calibration
        self.limits = limits or Limits(n_qubits=6)
        self.jobs, self.fails = [], False

    def submit(self, batch, shots, tag):
        assert tag not in [known for known, _, _ in self.jobs]
        self.jobs.append((tag, batch.layout, list(shots)))
        return f"job-{len(self.jobs) - 1}"

    def find(self, tag):
        return None

    def counts(self, job, n_wires):
        if self.fails:
            raise BackendError(f"vendor: {job} failed")
        return [Counts(np.array([0]), np.array([n])) for n in self.jobs[int(job.split("-")[1])][2]]

    def cost(self, n_circuits, shots):
        return float(n_circuits)

    def calibration(self):
        return self.chip

    def target(self):
        return None


@pytest.fixture
def vendor():
    return Vendor(line(6, fidelity=[0.99, 0.99, 0.99, 0.7, 0.7]))


@pytest.fixture
def batch():
    lowered = lower(bound_student(n_qubits=4, ansatz="brick"))
    angles = lowered.angles(np.random.default_rng(0).normal(size=(2, 4)))[:, 0]
    return CircuitBatch(lowered.circuit, angles, (0, 1, 2, 3))


def runner(vendor, folder, **options):
    return JobRunner(vendor, folder, sleep=lambda seconds: None, **options)


def recalibrated():
    """A chip on which another path has become the best."""
    return line(6, fidelity=[0.7, 0.7, 0.99, 0.99, 0.99])


def test_a_recalibration_between_crash_and_restart_moves_no_circuit(vendor, tmp_path, trained_model):
    model, inputs = trained_model

    def measure(**options):
        chip = ChipRunner(model, runner(vendor, tmp_path, **options))
        chip.measure(inputs, 64, seed=0)
        return chip.qubits

    first = measure(request="a")
    vendor.chip = recalibrated()
    assert measure(request="a") == first
    assert len(vendor.jobs) == 1  # the finished job was read again
    assert measure(request="b") != first
    assert [layout for _, layout, _ in vendor.jobs] == [first, measure(request="b")]


def test_an_estimate_keeps_no_calibration(vendor, tmp_path):
    before = runner(vendor, tmp_path, request="a").calibration()
    vendor.chip = recalibrated()
    assert runner(vendor, tmp_path, request="a").calibration().id != before.id
    assert not list(tmp_path.iterdir())


def test_a_failed_job_is_sent_again_when_that_is_asked_for(vendor, batch, tmp_path):
    vendor.fails = True
    for _ in range(2):
        with pytest.raises(BackendError, match="job-0 failed; give --resend to send it again"):
            runner(vendor, tmp_path).run(batch, [16, 16], seed=0)
    assert len(vendor.jobs) == 1
    (record,) = [read_json(path) for path in tmp_path.glob("*.json")]
    assert record["state"] == "failed"
    vendor.fails = False
    assert [c.shots for c in runner(vendor, tmp_path, resend=True).run(batch, [16, 16], seed=0)] == [16, 16]
    assert len({tag for tag, _, _ in vendor.jobs}) == 2
    runner(vendor, tmp_path, resend=True).run(batch, [16, 16], seed=0)
    assert len(vendor.jobs) == 2  # what is done is not sent again


def test_a_job_that_recovers_is_read(vendor, batch, tmp_path):
    vendor.fails = True
    with pytest.raises(BackendError):
        runner(vendor, tmp_path).run(batch, [16, 16], seed=0)
    vendor.fails = False
    assert len(runner(vendor, tmp_path).run(batch, [16, 16], seed=0)) == 2
    assert len(vendor.jobs) == 1


@pytest.mark.parametrize("step", [1, 100])
def test_adaptive_shots_stay_within_what_was_asked_for(step, tmp_path, trained_model):
    model, inputs = trained_model
    chip = ChipRunner(model, runner(Vendor(line(6), Limits(step=step)), tmp_path))
    measured = chip.measure_adaptively(inputs, 1000, None, StopRule(confidence=0.999999), seed=0)
    assert measured.shots.max() <= 1000
    assert len(chip.backend.service.jobs) <= len(chip.rounds(1000))
    assert chip.rounds(1000) == ([200, 200, 400, 200] if step == 100 else [8, 8, 16, 32, 64, 128, 256, 488])


def test_shots_that_a_chip_does_not_allow_are_refused_before_anything_is_sent(tmp_path, trained_model):
    model, inputs = trained_model
    chip = ChipRunner(model, runner(Vendor(line(6), Limits(step=1024)), tmp_path))
    with pytest.raises(
        ConfigError, match="at least 2048 shots in multiples of 1024 for an input of 2 circuits, not 64"
    ):
        chip.measure(inputs, 64, seed=0)
    with pytest.raises(ConfigError, match="not 2500"):
        chip.measure_adaptively(inputs, 2500, None, StopRule(confidence=0.9), seed=0)
    assert not chip.backend.service.jobs
