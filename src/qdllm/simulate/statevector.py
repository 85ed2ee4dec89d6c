"""Exact expectation values of a circuit, differentiable in its inputs and parameters."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from qdllm.circuits import Circuit, CompiledCircuit, compile_circuit, light_cones
from qdllm.circuits.observables import Observable, parse_observables
from qdllm.errors import CircuitError
from qdllm.simulate.cone import ConeSimulator
from qdllm.simulate.kernel import instruction_sets
from qdllm.simulate.kernel_engine import KernelEngine
from qdllm.simulate.memory import require_memory
from qdllm.simulate.torch_engine import TorchEngine
from qdllm.simulate.triton_engine import TritonEngine

__all__ = ["StatevectorSimulator", "available_engines"]


class StatevectorSimulator:
    """Simulate a circuit's state vector and return exact expectation values.

    Observables that see only some of the qubits are simulated on those alone (`light_cones`).

    Parameters
    ----------
    circuit : Circuit
        Any circuit.
    observables : sequence of str or mapping of str to float, optional
        Pauli strings such as ``"IZX"`` (last character: qubit 0), or sums of them with coefficients.
        Default: Z of every qubit, column i for qubit i.
    engine : str
        ``"auto"``: the compiled kernel where it is built, for tensors on the CPU; Triton where it is
        installed and a state fits on the chip (13 qubits in float32, 12 in float64), for tensors on a CUDA
        device; else torch. ``"torch"`` is slower and can be differentiated more than once; ``"kernel"``
        insists on the CPU kernel.

    Raises
    ------
    CircuitError
        If the circuit or an observable is wrong.
    TooLargeError
        If one sample alone needs more memory than this machine has.

    Examples
    --------
    >>> from qdllm.circuits import qd_llm
    >>> simulator = StatevectorSimulator(qd_llm(n_qubits=3, n_layers=1))
    >>> z = simulator(torch.zeros(5, 3), torch.zeros(simulator.circuit.n_parameters))
    >>> z.shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        circuit: Circuit,
        observables: Sequence[str | Mapping[str, float]] | None = None,
        *,
        engine: str = "auto",
    ) -> None:
        if not isinstance(circuit, Circuit):
            raise CircuitError(f"expected a Circuit, got {type(circuit).__name__}")
        if engine not in ("auto", "kernel", "torch"):
            raise CircuitError(f"unknown engine {engine!r}: use auto, kernel or torch")
        self.circuit = circuit
        self.observables: tuple[Observable, ...] = parse_observables(observables, circuit.n_qubits)
        self._cones = tuple(ConeSimulator(cone, engine) for cone in light_cones(circuit, self.observables))
        self._choose(1, torch.float32, torch.device("cpu"))

    @cached_property
    def _whole(self) -> CompiledCircuit:
        return compile_circuit(self.circuit)

    @cached_property
    def _sampler(self) -> TorchEngine:
        return TorchEngine(self._whole)

    @property
    def engine(self) -> str:
        """What runs on the CPU: ``kernel (INSTRUCTION SET)`` or ``torch``, and on which light cones."""
        names = " and ".join(sorted({cone.engine for cone in self._cones}))
        sizes = [cone.n_qubits for cone in self._cones]
        if sizes == [self.circuit.n_qubits]:
            return names
        cones = "one light cone" if len(sizes) == 1 else f"{len(sizes)} light cones"
        return f"{names}, {cones} of at most {max(sizes)} qubit(s)"

    @property
    def n_observables(self) -> int:
        """Number of columns of the result."""
        return len(self.observables)

    def __call__(self, inputs: Tensor, parameters: Tensor) -> Tensor:
        """Return the expectation values.

        Parameters
        ----------
        inputs : Tensor (batch, n_inputs)
            Angles in the order of `Circuit.input_names`; float32 or float64, finite.
        parameters : Tensor (n_parameters,)
            In the order of `Circuit.parameter_names`, of the same type and device.

        Returns
        -------
        Tensor (batch, n_observables)
            Of the same type; differentiable in both arguments.

        Raises
        ------
        CircuitError
            If a shape, type, device or value is wrong.
        TooLargeError
            If the batch needs more memory than there is.
        """
        self._check(inputs, parameters)
        engines = self._choose(len(inputs), inputs.dtype, inputs.device)
        if len(engines) == 1:
            return engines[0].expectations(inputs, parameters)
        values = inputs.new_zeros(len(inputs), self.n_observables)
        for cone, engine in zip(self._cones, engines, strict=True):
            found = engine.expectations(inputs, parameters)
            values = values.index_add(1, cone.columns.to(values.device), found)
        return values

    def probabilities(self, inputs: Tensor, parameters: Tensor) -> Tensor:
        """Return every bit string's probability: (batch, 2^n_qubits), bit q of an index being qubit q."""
        self._check(inputs, parameters)
        needed = TorchEngine.memory(self._whole, len(inputs), inputs.dtype)
        require_memory(needed, f"{self.circuit.n_qubits} qubits for {len(inputs)} sample(s)", inputs.device)
        return self._sampler.probabilities(inputs, parameters)

    @torch.no_grad()
    def sample(self, inputs: Tensor, parameters: Tensor, *, shots: int, seed: int) -> Tensor:
        """Measure every qubit `shots` times.

        Returns
        -------
        Tensor (batch, shots) of int64
            Basis states, bit q of each being the outcome of qubit q.

        Raises
        ------
        CircuitError
            If `shots` is less than 1, or an argument is wrong.
        """
        if shots < 1:
            raise CircuitError(f"shots must be at least 1, got {shots}")
        cumulative = self.probabilities(inputs, parameters).double().cumsum(dim=1)
        generator = torch.Generator(device=cumulative.device).manual_seed(seed)
        draws = torch.rand(
            len(cumulative), shots, dtype=torch.float64, device=cumulative.device, generator=generator
        )
        # Scaled by the sum, which rounding leaves a little off 1, and open at its end.
        return torch.searchsorted(cumulative, draws * cumulative[:, -1:], right=True).clamp_(
            max=cumulative.shape[1] - 1
        )

    def _choose(
        self, batch: int, dtype: torch.dtype, device: torch.device
    ) -> list[KernelEngine | TritonEngine | TorchEngine]:
        return [cone.choose(batch, dtype, device) for cone in self._cones]

    def _check(self, inputs: Tensor, parameters: Tensor) -> None:
        for name, tensor in (("inputs", inputs), ("parameters", parameters)):
            if not isinstance(tensor, Tensor):
                raise CircuitError(f"{name} must be a torch tensor, got {type(tensor).__name__}")
            if tensor.dtype not in (torch.float32, torch.float64):
                raise CircuitError(f"{name} must be float32 or float64, got {tensor.dtype}")
        circuit = self.circuit
        if inputs.ndim != 2 or inputs.shape[1] != circuit.n_inputs:
            shape = tuple(inputs.shape)
            raise CircuitError(f"inputs must have the shape (batch, {circuit.n_inputs}), got {shape}")
        if parameters.shape != (circuit.n_parameters,):
            shape = tuple(parameters.shape)
            raise CircuitError(f"parameters must have the shape ({circuit.n_parameters},), got {shape}")
        if len(inputs) == 0:
            raise CircuitError("inputs hold no sample: the batch must be at least 1")
        if inputs.dtype != parameters.dtype or inputs.device != parameters.device:
            raise CircuitError(
                f"inputs ({inputs.dtype} on {inputs.device}) and parameters ({parameters.dtype} on "
                f"{parameters.device}) must have one type and device"
            )
        for name, tensor in (("inputs", inputs), ("parameters", parameters)):
            if not bool(torch.isfinite(tensor).all()):
                raise CircuitError(f"{name} hold a value that is not finite")


def available_engines() -> dict[str, str]:
    """Say what simulates circuits on this machine."""
    sets = instruction_sets()
    return {
        "engine": f"kernel ({sets[0]})" if sets else "torch",
        "kernel": f"built, with {', '.join(sets)}" if sets else "not built: no compiler was found at install",
        "threads": str(torch.get_num_threads()),
        "gpu": _gpu(),
    }


def _gpu() -> str:
    if not torch.cuda.is_available():
        return "none"
    device = torch.device("cuda", torch.cuda.current_device())
    engine = "triton" if TritonEngine.serves(1, torch.float32, device) else "torch"
    return f"{torch.cuda.get_device_name(device)}, by {engine}"
