"""Exact expectation values with gradients: the only numerically heavy code."""

from qdllm.simulate.observables import Observable, PauliString
from qdllm.simulate.statevector import StatevectorSimulator

__all__ = ["Observable", "PauliString", "StatevectorSimulator"]
