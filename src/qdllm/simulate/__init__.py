"""Expectation values, exact and with gradients, or sampled on a noisy chip: all heavy numerics."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qdllm.simulate.faults import Site, fault_sites
    from qdllm.simulate.noise import NoiseModel
    from qdllm.simulate.noisy import NoisySimulator
    from qdllm.simulate.statevector import StatevectorSimulator, available_engines

__all__ = [
    "NoiseModel",
    "NoisySimulator",
    "Site",
    "StatevectorSimulator",
    "available_engines",
    "fault_sites",
]

_MODULES = {
    "NoiseModel": "noise",
    "NoisySimulator": "noisy",
    "Site": "faults",
    "StatevectorSimulator": "statevector",
    "available_engines": "statevector",
    "fault_sites": "faults",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that the kernel is at hand without torch.
    if name in _MODULES:
        return getattr(import_module(f"qdllm.simulate.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'qdllm.simulate' has no attribute {name!r}")
