"""The compiled stages in plain torch: the path of GPUs and of machines without the compiled kernel.

A state is real tensor (planes, 2^n, batch): real and imaginary part, or the real part alone while the state
is real. With the batch last, a permutation moves whole rows and a rotation of many qubits is one matrix
product.
"""

import torch
from torch import Tensor

from qdllm.circuits import gf2
from qdllm.circuits.compiled import CompiledCircuit, Diagonal, Local
from qdllm.simulate.placement import final_numbering, place_readout, place_stages

__all__ = ["TorchEngine"]

_GROUP = 4  # qubits rotated by one matrix product


class TorchEngine:
    """Run a compiled circuit on any torch device; every step is differentiable by autograd.

    Parameters
    ----------
    compiled : CompiledCircuit
        What to run.
    """

    @staticmethod
    def memory(compiled: CompiledCircuit, batch: int, dtype: torch.dtype) -> int:
        """Return the bytes that a forward and backward pass take, about."""
        copies = 3 * (len(compiled.stages) + 1)  # autograd keeps about three of the state a stage
        return int(2**compiled.n_qubits * 2 * dtype.itemsize * batch * copies)

    def __init__(self, compiled: CompiledCircuit) -> None:
        self.compiled = compiled
        self.n_qubits = compiled.n_qubits
        self._inputs = torch.from_numpy(compiled.input_matrix)
        self._parameters = torch.from_numpy(compiled.parameter_matrix)
        self._constants = torch.from_numpy(compiled.constants)
        self._of_sample = [bool(row.any()) for row in compiled.input_matrix]
        self._placed = place_stages(compiled)
        self._final = final_numbering(self._placed, self.n_qubits)

    def expectations(self, inputs: Tensor, parameters: Tensor) -> Tensor:
        """Return (batch, n_observables) for inputs (batch, n_inputs) and parameters (n_parameters,)."""
        state = self._run(inputs, parameters)
        transforms: dict[tuple[int, bool], Tensor] = {}
        # Zeros, and functions of both arguments even where the circuit is not.
        results = [inputs[:, :0].sum(1) + parameters[:0].sum() for _ in self.compiled.observables]
        for reading in place_readout(self.compiled, self._final):
            key = reading.x, reading.imaginary
            if key not in transforms:
                transforms[key] = self._walsh(_correlation(state, *key))
            results[reading.column] = (
                results[reading.column] + reading.coefficient * transforms[key][reading.z]
            )
        return torch.stack(results, dim=1)

    def probabilities(self, inputs: Tensor, parameters: Tensor) -> Tensor:
        """Return the probability of every outcome (batch, 2^n); the observables must be Z of every qubit."""
        (strings, signs) = zip(*(observable[0] for observable in self.compiled.observables), strict=True)
        flips = sum(1 << q for q, sign in enumerate(signs) if sign < 0)
        # Outcome bit q is the parity of k with string q: its rows are that map's transpose.
        rows = [gf2.transpose_apply(self._final, string.z) for string in strings]
        columns = [sum((row >> bit & 1) << q for q, row in enumerate(rows)) for bit in range(self.n_qubits)]
        order = gf2.table(gf2.invert(columns))[gf2.table([1 << q for q in range(self.n_qubits)]) ^ flips]
        state = self._run(inputs, parameters)
        return state.square().sum(0).index_select(0, torch.from_numpy(order).to(state.device)).T

    def _run(self, inputs: Tensor, parameters: Tensor) -> Tensor:
        shared = self._constants.to(inputs) + self._parameters.to(inputs) @ parameters
        of_sample = self._inputs.to(inputs) @ inputs.T + shared[:, None]
        state = inputs.new_zeros(1, 2**self.n_qubits, 1)
        state[0, 0] = 1
        for position, placed in enumerate(self._placed):
            stage = placed.stage
            if placed.move is not None:
                state = state.index_select(1, torch.from_numpy(placed.move).to(inputs.device))
            if isinstance(stage, Diagonal):
                state = _turn_phases(state, self._phases(stage, placed.numbering, shared, of_sample))
            elif position == 0:
                state = self._product(stage, placed.bits, shared, of_sample)
            else:
                state = self._rotate(state, stage, placed.bits, shared, of_sample)
        return state.expand(-1, -1, len(inputs))

    def _angle(self, index: int, shared: Tensor, of_sample: Tensor) -> Tensor:
        return of_sample[index] if self._of_sample[index] else shared[index : index + 1]

    def _product(self, stage: Local, bits: tuple[int, ...], shared: Tensor, of_sample: Tensor) -> Tensor:
        halves = {
            bit: self._angle(a, shared, of_sample) / 2
            for bit, (_, _, a) in zip(bits, stage.rotations, strict=True)
        }
        zero = shared.new_zeros(1)
        factors = [halves.get(bit, zero) for bit in range(self.n_qubits)]
        return _outer([torch.stack([half.cos(), half.sin()]) for half in factors])[None]

    def _phases(
        self, stage: Diagonal, numbering: tuple[int, ...], shared: Tensor, of_sample: Tensor
    ) -> Tensor:
        """Return the angle of every basis state: (2^n, batch or 1)."""
        total = shared.new_zeros(1, 1)
        for varies in (False, True):
            terms = [(mask, a) for mask, a in stage.terms if self._of_sample[a] == varies]
            if terms:
                masks = [gf2.transpose_apply(numbering, mask) for mask, _ in terms]
                rows = torch.tensor(masks, device=shared.device)
                which = torch.tensor([a for _, a in terms], device=shared.device)
                angles = of_sample[which] if varies else shared[which][:, None]
                spectrum = angles.new_zeros(2**self.n_qubits, angles.shape[1]).index_copy(0, rows, angles / 2)
                total = total + self._walsh(spectrum)
        return total

    def _rotate(
        self, state: Tensor, stage: Local, bits: tuple[int, ...], shared: Tensor, of_sample: Tensor
    ) -> Tensor:
        matrices: dict[int, Tensor] = {}
        for bit, (_, _, index) in zip(bits, stage.rotations, strict=True):
            half = self._angle(index, shared, of_sample) / 2
            if self._of_sample[index]:
                state = _rotate_one(state, bit, half.cos(), half.sin())
            else:
                cos, sin = half.cos(), half.sin()
                matrices[bit] = torch.cat([cos, -sin, sin, cos]).reshape(2, 2)
        return self._multiply(state, matrices)

    def _walsh(self, values: Tensor) -> Tensor:
        hadamard = torch.tensor([[1, 1], [1, -1]], dtype=values.dtype, device=values.device)
        return self._multiply(values[None], dict.fromkeys(range(self.n_qubits), hadamard))[0]

    def _multiply(self, state: Tensor, matrices: dict[int, Tensor]) -> Tensor:
        """Apply a 2x2 matrix to each of some bits, a group of neighbouring bits at a time."""
        planes, size, batch = state.shape
        for low in range(0, self.n_qubits, _GROUP):
            group = range(low, min(low + _GROUP, self.n_qubits))
            if not any(bit in matrices for bit in group):
                continue
            matrix = torch.ones(1, 1, dtype=state.dtype, device=state.device)
            identity = torch.eye(2, dtype=state.dtype, device=state.device)
            for bit in group:
                matrix = torch.kron(matrices.get(bit, identity), matrix)
            # bmm, not matmul, which would copy the state into another order and back.
            rows = state.reshape(planes * (size >> group.stop), len(matrix), batch << low)
            state = torch.bmm(matrix.expand(len(rows), -1, -1), rows).reshape(planes, size, batch)
        return state


def _outer(factors: list[Tensor]) -> Tensor:
    """Return the product state of qubits' amplitudes (2, batch), the first the least significant bit."""
    if len(factors) == 1:
        return factors[0]
    half = len(factors) // 2
    low, high = _outer(factors[:half]), _outer(factors[half:])
    return (high[:, None] * low[None]).flatten(0, 1)


def _rotate_one(state: Tensor, bit: int, cos: Tensor, sin: Tensor) -> Tensor:
    planes, size, batch = state.shape
    pairs = state.reshape(planes, size >> bit + 1, 2, 1 << bit, batch)
    low, high = pairs[:, :, 0], pairs[:, :, 1]
    turned = torch.stack([cos * low - sin * high, sin * low + cos * high], dim=2)
    return turned.reshape(planes, size, turned.shape[-1])


def _turn_phases(state: Tensor, phases: Tensor) -> Tensor:
    """Multiply by exp(-i phases)."""
    cos, sin = phases.cos(), phases.sin()
    if len(state) == 1:
        return torch.stack([state[0] * cos, -state[0] * sin])
    real, imag = state
    return torch.stack([real * cos + imag * sin, imag * cos - real * sin])


def _correlation(state: Tensor, x: int, imaginary: bool) -> Tensor:
    """Return the real or imaginary part of conj(psi[k ^ x]) psi[k]: (2^n, batch)."""
    if x == 0:
        return state.square().sum(0)
    order = torch.arange(state.shape[1], device=state.device) ^ x
    other = state.index_select(1, order)
    if not imaginary:
        return (other * state).sum(0)
    if len(state) == 1:
        return torch.zeros_like(state[0])
    return other[0] * state[1] - other[1] * state[0]
