"""Exact expectation values of a circuit, differentiable in its inputs and parameters."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from qdllm.circuits import Angle, Circuit, Gate
from qdllm.errors import CircuitError
from qdllm.simulate.memory import require_memory
from qdllm.simulate.observables import Observable, PauliString, parse_observables

__all__ = ["StatevectorSimulator"]


class StatevectorSimulator:
    """Simulate a circuit's full state vector and return exact expectation values.

    Parameters
    ----------
    circuit : Circuit
        Any circuit.
    observables : sequence of str or mapping of str to float, optional
        Pauli strings such as ``"IZX"`` (last character: qubit 0), or sums of them with coefficients.
        Default: Z of every qubit, column i for qubit i.

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
        self, circuit: Circuit, observables: Sequence[str | Mapping[str, float]] | None = None
    ) -> None:
        if not isinstance(circuit, Circuit):
            raise CircuitError(f"expected a Circuit, got {type(circuit).__name__}")
        self.circuit = circuit
        self.observables: tuple[Observable, ...] = parse_observables(observables, circuit.n_qubits)
        self._require_memory(1, torch.float32)

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
        states = self._states(inputs, parameters)
        return torch.stack([_expectation(states, observable) for observable in self.observables], dim=1)

    def probabilities(self, inputs: Tensor, parameters: Tensor) -> Tensor:
        """Return every bit string's probability: (batch, 2^n_qubits), bit q of an index being qubit q."""
        return _squared(self._states(inputs, parameters))

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

    def _require_memory(self, batch: int, dtype: torch.dtype) -> None:
        state = 2**self.circuit.n_qubits * 2 * dtype.itemsize
        require_memory(4 * batch * state, f"{self.circuit.n_qubits} qubits for {batch} sample(s)")

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
        self._require_memory(len(inputs), inputs.dtype)

    def _states(self, inputs: Tensor, parameters: Tensor) -> Tensor:
        """Return the final states: complex (batch, 2^n)."""
        self._check(inputs, parameters)
        columns = dict(zip(self.circuit.input_names, inputs.unbind(1), strict=True))
        columns |= dict(zip(self.circuit.parameter_names, parameters.unbind(0), strict=True))
        dtype = torch.complex64 if inputs.dtype == torch.float32 else torch.complex128
        states = torch.zeros(len(inputs), 2**self.circuit.n_qubits, dtype=dtype, device=inputs.device)
        states[:, 0] = 1
        for gate in self.circuit.gates:
            angles = [_value(angle, columns, inputs) for angle in gate.angles]
            states = _apply(states, _matrix(gate, angles, dtype), gate.qubits)
        return states


def _value(angle: Angle, columns: Mapping[str, Tensor], like: Tensor) -> Tensor:
    """Return an angle's values: (batch,), or () where it is the same for all samples."""
    value = torch.tensor(angle.constant, dtype=like.dtype, device=like.device)
    for symbol, coefficient in angle.terms:
        value = value + coefficient * columns[symbol.name]
    return value


_I = [[1, 0], [0, 1]]
_X = [[0, 1], [1, 0]]
_Y = [[0, -1j], [1j, 0]]
_Z = [[1, 0], [0, -1]]
_FIXED = {
    "X": _X,
    "Y": _Y,
    "Z": _Z,
    "H": [[math.sqrt(0.5), math.sqrt(0.5)], [math.sqrt(0.5), -math.sqrt(0.5)]],
    "S": [[1, 0], [0, 1j]],
    "SDG": [[1, 0], [0, -1j]],
    "T": [[1, 0], [0, math.sqrt(0.5) * (1 + 1j)]],
    "TDG": [[1, 0], [0, math.sqrt(0.5) * (1 - 1j)]],
    # Rows and columns count the first qubit as the less significant bit.
    "CNOT": [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]],
    "CZ": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, -1]],
    "SWAP": [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]],
}
_GENERATORS = {"RX": (_X,), "RY": (_Y,), "RZ": (_Z,), "RXX": (_X, _X), "RYY": (_Y, _Y), "RZZ": (_Z, _Z)}


def _matrix(gate: Gate, angles: list[Tensor], dtype: torch.dtype) -> Tensor:
    """Return the gate's matrix: (d, d), or (batch, d, d) where its angles differ between samples."""
    if gate.name in _FIXED:
        return torch.tensor(_FIXED[gate.name], dtype=dtype)
    if gate.name == "U3":
        theta, phi, lam = angles
        cos, sin, one = (theta / 2).cos(), (theta / 2).sin(), torch.ones_like(theta + phi + lam)
        rows = [one * cos, -_phase(lam) * sin * one, _phase(phi) * sin * one, _phase(phi + lam) * cos]
        return torch.stack([row.to(dtype) for row in rows], dim=-1).reshape(*one.shape, 2, 2)
    paulis = [torch.tensor(pauli, dtype=dtype, device=angles[0].device) for pauli in _GENERATORS[gate.name]]
    generator = paulis[0] if len(paulis) == 1 else torch.kron(paulis[1], paulis[0])
    identity = torch.eye(len(generator), dtype=dtype, device=generator.device)
    half = (angles[0] / 2)[..., None, None]
    return half.cos() * identity - 1j * half.sin() * generator


def _phase(angle: Tensor) -> Tensor:
    return torch.polar(torch.ones_like(angle), angle)


def _apply(states: Tensor, matrix: Tensor, qubits: tuple[int, ...]) -> Tensor:
    batch, size = states.shape
    n_qubits = size.bit_length() - 1
    # The axis of qubit q is n - q; the matrix wants its first qubit last.
    axes = [n_qubits - q for q in reversed(qubits)]
    ends = list(range(-len(axes), 0))
    moved = states.reshape(batch, *[2] * n_qubits).movedim(axes, ends)
    matrix = matrix.to(states.device)
    result = moved.reshape(batch, -1, matrix.shape[-1]) @ matrix.mT
    return result.reshape(moved.shape).movedim(ends, axes).reshape(batch, size)


def _squared(states: Tensor) -> Tensor:
    return states.real.square() + states.imag.square()


def _expectation(states: Tensor, observable: Observable) -> Tensor:
    basis = torch.arange(states.shape[1], device=states.device)
    total = torch.zeros(len(states), dtype=states.real.dtype, device=states.device)
    for string, coefficient in observable:
        total = total + coefficient * _pauli(states, basis, string)
    return total


def _pauli(states: Tensor, basis: Tensor, string: PauliString) -> Tensor:
    """Return <psi| i^|x & z| X^x Z^z |psi>."""
    signs = 1 - 2 * _parity(basis & string.z).to(states.real.dtype)
    if string.x == 0:
        return _squared(states) @ signs
    flipped = states[:, basis ^ string.x]
    value = (flipped.conj() * states) @ signs.to(states.dtype)
    return (1j ** (string.x & string.z).bit_count() * value).real


def _parity(numbers: Tensor) -> Tensor:
    for shift in (32, 16, 8, 4, 2, 1):
        numbers = numbers ^ (numbers >> shift)
    return numbers & 1
