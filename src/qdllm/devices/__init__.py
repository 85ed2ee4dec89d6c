"""Chips: lowering, layout, shots, mitigation, jobs, and one small adapter a vendor."""

from qdllm.devices.backends import Backend, JobService, Limits, SimulatorBackend, make_backend
from qdllm.devices.batch import CircuitBatch, Counts
from qdllm.devices.calibration import CALIBRATIONS, Calibration, Coupler, Qubit, load_calibration
from qdllm.devices.jobs import JobRunner
from qdllm.devices.layout import best_path, check_path, expected_fidelity
from qdllm.devices.lowering import Lowered, Parity, lower, two_qubit_depth
from qdllm.devices.mitigation import AffineCorrection, ReadoutInversion, ZeroNoise
from qdllm.devices.runner import CALIBRATION_INPUTS, ChipRunner, Corrections, Measured
from qdllm.devices.stopping import StopRule
from qdllm.devices.training_noise import chip_noise

__all__ = [
    "CALIBRATIONS",
    "CALIBRATION_INPUTS",
    "AffineCorrection",
    "Backend",
    "Calibration",
    "ChipRunner",
    "CircuitBatch",
    "Corrections",
    "Counts",
    "Coupler",
    "JobRunner",
    "JobService",
    "Limits",
    "Lowered",
    "Measured",
    "Parity",
    "Qubit",
    "ReadoutInversion",
    "SimulatorBackend",
    "StopRule",
    "ZeroNoise",
    "best_path",
    "check_path",
    "chip_noise",
    "expected_fidelity",
    "load_calibration",
    "lower",
    "make_backend",
    "two_qubit_depth",
]
