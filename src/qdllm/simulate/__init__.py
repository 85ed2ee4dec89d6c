"""Exact expectation values with gradients: the only numerically heavy code."""

from qdllm.simulate.statevector import StatevectorSimulator

__all__ = ["StatevectorSimulator"]
