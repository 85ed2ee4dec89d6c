"""Expectation values, exact and with gradients, or sampled on a noisy chip: all heavy numerics."""

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
