"""One small adapter a vendor, behind one protocol: run, calibration, target."""

from qdllm.devices.backends.base import Backend, JobService, Limits, check_request
from qdllm.devices.backends.make import make_backend
from qdllm.devices.backends.simulators import SimulatorBackend

__all__ = [
    "Backend",
    "JobService",
    "Limits",
    "SimulatorBackend",
    "check_request",
    "make_backend",
]
