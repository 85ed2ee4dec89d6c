"""One light cone and what can run it."""

from functools import cached_property

import torch

from qdllm.circuits import LightCone
from qdllm.errors import CircuitError
from qdllm.simulate.kernel import instruction_sets, say_that_torch_serves
from qdllm.simulate.kernel_engine import KernelEngine
from qdllm.simulate.memory import fits, require_memory
from qdllm.simulate.torch_engine import TorchEngine
from qdllm.simulate.triton_engine import TritonEngine

__all__ = ["ConeSimulator"]


class ConeSimulator:
    """Choose the engine of a light cone.

    Parameters
    ----------
    cone : LightCone
        What to run.
    engine : str
        ``"auto"``, ``"kernel"`` or ``"torch"``, see `StatevectorSimulator`.
    """

    def __init__(self, cone: LightCone, engine: str) -> None:
        self.compiled = cone.compiled
        self.columns = torch.tensor(cone.columns)
        self._kernel: KernelEngine | None = None
        self._may_use_triton = engine == "auto"
        if engine != "torch" and instruction_sets():
            self._kernel = KernelEngine(self.compiled)
        elif engine == "kernel":
            raise CircuitError("the compiled kernel is not built here: use engine='auto'")
        elif engine == "auto":
            say_that_torch_serves()

    @property
    def n_qubits(self) -> int:
        """Qubits of the cone."""
        return self.compiled.n_qubits

    @property
    def engine(self) -> str:
        """What runs on the CPU."""
        return f"kernel ({self._kernel.instruction_set})" if self._kernel else "torch"

    def choose(
        self, batch: int, dtype: torch.dtype, device: torch.device
    ) -> KernelEngine | TritonEngine | TorchEngine:
        """Return the device's own engine where it is there, serves and fits into memory, else torch.

        Raises
        ------
        TooLargeError
            If nothing fits.
        """
        if self._kernel and device.type == "cpu" and fits(self._kernel.memory(batch, dtype)):
            return self._kernel
        what = f"{self.n_qubits} qubits for {batch} sample(s)"
        if self._may_use_triton and TritonEngine.serves(self.n_qubits, dtype, device):
            require_memory(self._triton.memory(batch, dtype), what, device)
            return self._triton
        require_memory(TorchEngine.memory(self.compiled, batch, dtype), what, device)
        return self._torch

    @cached_property
    def _triton(self) -> TritonEngine:
        return TritonEngine(self.compiled)

    @cached_property
    def _torch(self) -> TorchEngine:
        return TorchEngine(self.compiled)
