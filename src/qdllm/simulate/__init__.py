"""Exact expectation values with gradients: the only numerically heavy code."""

from qdllm.simulate.statevector import StatevectorSimulator, available_engines

__all__ = ["StatevectorSimulator", "available_engines"]
