"""Runs on real services, where a key is present; each is skipped by name where it is not."""

import os

import numpy as np
import pytest

from qdllm.devices import CircuitBatch, best_path, lower, make_backend

from .small_chips import bound_student

SERVICES = {
    "quafu:Baihua-sim": ("QUAFU_API_KEY", 1024),
    "quafu:Baihua": ("QUAFU_API_KEY", 1024),
    "ibm": ("QISKIT_IBM_TOKEN", 100),
    "quafu-http:ScQ-P136": ("QUAFU_API_TOKEN", 1000),
}


@pytest.mark.parametrize("name", SERVICES)
def test_two_circuits_on_a_real_service(name, tmp_path):
    key, shots = SERVICES[name]
    if not os.environ.get(key):
        pytest.skip(f"{name}: {key} is not set")
    if name == "ibm":
        if not os.environ.get("QDLLM_IBM_CHIP"):
            pytest.skip("ibm: QDLLM_IBM_CHIP names no chip")
        name = f"ibm:{os.environ['QDLLM_IBM_CHIP']}"
    lowered = lower(bound_student(n_qubits=3, ansatz="brick"))
    backend = make_backend(name, tmp_path)
    calibration = backend.calibration()
    layout = (0, 1, 2) if calibration is None else best_path(calibration, lowered)
    batch = CircuitBatch(lowered.circuit, lowered.angles(np.zeros((2, 3)))[:, 0], layout)
    assert [c.shots for c in backend.run(batch, [shots] * 2, seed=0)] == [shots] * 2
