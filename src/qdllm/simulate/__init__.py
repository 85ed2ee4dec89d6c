"""Exact expectation values with gradients: the only numerically heavy code."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qdllm.simulate.statevector import StatevectorSimulator, available_engines

__all__ = ["StatevectorSimulator", "available_engines"]


def __getattr__(name: str) -> Any:
    # Lazy, so that the kernel is at hand without torch.
    if name in __all__:
        from qdllm.simulate import statevector

        return getattr(statevector, name)
    raise AttributeError(f"module 'qdllm.simulate' has no attribute {name!r}")
