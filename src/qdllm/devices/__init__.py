"""Chips: lowering, layout, shots, mitigation, jobs, and one small adapter a vendor."""

from qdllm.devices.calibration import CALIBRATIONS, Calibration, Coupler, Qubit, load_calibration
from qdllm.devices.layout import best_path, check_path, expected_fidelity
from qdllm.devices.lowering import Lowered, Parity, lower

__all__ = [
    "CALIBRATIONS",
    "Calibration",
    "Coupler",
    "Lowered",
    "Parity",
    "Qubit",
    "best_path",
    "check_path",
    "expected_fidelity",
    "load_calibration",
    "lower",
]
