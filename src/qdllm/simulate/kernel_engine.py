"""The compiled stages in the CPU kernel: blocks of samples in vector lanes, adjoint gradients, threads."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from qdllm.circuits import gf2
from qdllm.circuits.compiled import CompiledCircuit, Diagonal, stage_basis
from qdllm.circuits.observables import Observable
from qdllm.simulate.kernel import instruction_sets, load_kernel

__all__ = ["KernelEngine"]

_Sweep = tuple[list[tuple[list[int], list[int]]], list[int]]

# Rotations whose amplitudes a sweep holds in the first-level cache: 2^7 of one state, 2^6 of two.
_FORWARD_PIECE = 7
_BACKWARD_PIECE = 6


class KernelEngine:
    """Run a compiled circuit on the CPU; differentiable once.

    Parameters
    ----------
    compiled : CompiledCircuit
        What to run.
    instruction_set : str, optional
        One of `instruction_sets`; default: the best.
    """

    def __init__(self, compiled: CompiledCircuit, instruction_set: str | None = None) -> None:
        self.compiled = compiled
        self.instruction_set = instruction_set or instruction_sets()[0]
        self._programs: dict[torch.dtype, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_programs": {}}  # made again where they are needed

    def expectations(self, inputs: Tensor, parameters: Tensor) -> Tensor:
        """Return (batch, n_observables) for inputs (batch, n_inputs) and parameters (n_parameters,)."""
        # Under no_grad a Function still sees parameters that ask for gradients: states would be kept in vain.
        keep = torch.is_grad_enabled() and (inputs.requires_grad or parameters.requires_grad)
        result: Tensor = _Expectations.apply(inputs, parameters, self.program(inputs.dtype), keep)  # type: ignore[no-untyped-call]
        return result

    def memory(self, batch: int, dtype: torch.dtype) -> int:
        """Return the bytes that a forward and backward pass take, about."""
        lanes = load_kernel().lanes(self.instruction_set, dtype.itemsize)
        vectors = 2**self.compiled.n_qubits
        blocks = -(-batch // lanes)
        # A worker holds a state, its adjoint, phases, probabilities, and a gradient for every diagonal stage.
        worker = 7 + sum(isinstance(stage, Diagonal) for stage in self.compiled.stages)
        workers = min(blocks, torch.get_num_threads())
        return int((2 * blocks + worker * workers) * vectors * lanes * dtype.itemsize)

    def program(self, dtype: torch.dtype) -> Any:
        """Return the compiled circuit in the kernel's own form."""
        if dtype not in self._programs:
            kernel = load_kernel()
            self._programs[dtype] = self._build(
                kernel.Program32 if dtype == torch.float32 else kernel.Program64
            )
        return self._programs[dtype]

    def _build(self, kind: Any) -> Any:
        compiled, n_qubits = self.compiled, self.compiled.n_qubits
        layout = _Layout(n_qubits)
        program = kind(self.instruction_set)
        program.set_size(n_qubits, len(compiled.observables))
        program.set_angles(
            compiled.circuit.n_inputs,
            compiled.circuit.n_parameters,
            compiled.constants.tolist(),
            _entries(compiled.input_matrix),
            _entries(compiled.parameter_matrix),
        )
        program.set_product([], [])
        for position, stage in enumerate(compiled.stages):
            if isinstance(stage, Diagonal):
                masks = [layout.mask(mask) for mask, _ in stage.terms]
                program.add_diagonal(masks, [angle for _, angle in stage.terms])
                continue
            rotations = [(layout.state(x), layout.mask(z), angle) for x, z, angle in stage.rotations]
            if position == 0:
                program.set_product([x for x, _, _ in rotations], [angle for _, _, angle in rotations])
            else:
                program.add_local(
                    _sweeps(rotations, n_qubits, program.forward_width, _FORWARD_PIECE),
                    _sweeps(rotations, n_qubits, program.backward_width, _BACKWARD_PIECE),
                )
        for (flip, imaginary), terms in _passes(compiled.observables, layout).items():
            pivot = terms[0][1] if imaginary else flip & -flip
            strings = [mask ^ pivot if imaginary else mask for _, mask, _ in terms]
            columns, rank = _numbering(
                [mask for mask in dict.fromkeys(strings) if mask], flip, pivot, n_qubits
            )
            readings = [
                (row, gf2.transpose_apply(columns, mask), coefficient)
                for (row, _, coefficient), mask in zip(terms, strings, strict=True)
            ]
            program.add_readout(flip, imaginary, columns, rank, readings)
        return program


class _Expectations(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, parameters: Tensor, program: Any, keep: bool) -> Tensor:
        inputs, parameters = inputs.detach().contiguous(), parameters.detach().contiguous()
        values = inputs.new_empty(len(inputs), program.n_observables)
        ctx.run = program.forward(
            inputs.numpy(), parameters.numpy(), values.numpy(), keep, torch.get_num_threads()
        )
        ctx.program = program
        ctx.save_for_backward(inputs, parameters)
        return values

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor, Tensor, None, None]:
        inputs, parameters = ctx.saved_tensors
        input_gradients, parameter_gradients = torch.empty_like(inputs), torch.empty_like(parameters)
        ctx.program.backward(
            ctx.run,
            inputs.numpy(),
            weights.contiguous().numpy(),
            input_gradients.numpy(),
            parameter_gradients.numpy(),
            torch.get_num_threads(),
        )
        return input_gradients, parameter_gradients, None, None


def _entries(matrix: Any) -> list[tuple[int, int, float]]:
    rows, columns = matrix.nonzero()
    return list(zip(rows.tolist(), columns.tolist(), matrix[rows, columns].tolist(), strict=True))


class _Layout:
    """Where a basis state's amplitude lies in memory.

    Each bit from the sixth on also flips one of the first five. States that differ in high bits alone, which
    a pass over high qubits takes together, would otherwise all fall into one set of the cache.
    """

    def __init__(self, n_qubits: int) -> None:
        self.columns = tuple(1 << q if q < 5 else 1 << q | 1 << q % 5 for q in range(n_qubits))
        self._back = gf2.invert(self.columns)

    def state(self, x: int) -> int:
        """Return the place of a state, or the change of place that flips its bits x."""
        return gf2.apply(self.columns, x)

    def mask(self, z: int) -> int:
        """Return the mask whose parity with the place is that of z with the state."""
        return gf2.transpose_apply(self._back, z)


def _sweeps(rotations: list[tuple[int, int, int]], n_qubits: int, width: int, piece: int) -> list[_Sweep]:
    """Divide a stage's rotations into sweeps of at most `piece`, these into groups of at most `width`."""
    sweeps = []
    for start in range(0, len(rotations), piece):
        part = rotations[start : start + piece]
        columns, bits = stage_basis(part, n_qubits)
        n_groups = -(-len(part) // width)
        groups = []
        for i in range(n_groups):
            group = part[len(part) * i // n_groups : len(part) * (i + 1) // n_groups]
            groups.append(([x for x, _, _ in group], [angle for _, _, angle in group]))
        sweeps.append((groups, [column for bit, column in enumerate(columns) if bit not in bits]))
    return sweeps


def _passes(
    observables: Sequence[Observable], layout: _Layout
) -> dict[tuple[int, bool], list[tuple[int, int, float]]]:
    """Sort strings by what they flip and whether they read the imaginary part; Z strings come first.

    A string is (row, mask, coefficient): psi[k ^ flip]* psi[k] signed by k's parity with the mask, summed, of
    which it is the real part or minus the imaginary part.
    """
    passes: dict[tuple[int, bool], list[tuple[int, int, float]]] = {(0, False): []}
    for row, observable in enumerate(observables):
        for string, coefficient in observable:
            n_y = (string.x & string.z).bit_count()
            key = layout.state(string.x), bool(n_y & 1)
            sign = -1 if n_y & 2 else 1
            passes.setdefault(key, []).append((row, layout.mask(string.z), sign * coefficient))
    return passes


def _numbering(strings: list[int], flip: int, pivot: int, n_qubits: int) -> tuple[list[int], int]:
    """Return a numbering of states whose first bits are independent strings' parities, and their number.

    If `flip` is not 0, the last bit is the parity with `pivot`, and flips by it; the strings must not.
    """
    echelon: list[int] = []
    rows = [mask for mask in strings if gf2.extend(echelon, mask)]
    rank = len(rows)
    for q in range(n_qubits):
        mask = 1 << q ^ (pivot if flip >> q & 1 else 0)
        if gf2.extend(echelon, mask):
            rows.append(mask)
    rows += [pivot] if flip else []
    columns = [sum((row >> bit & 1) << i for i, row in enumerate(rows)) for bit in range(n_qubits)]
    return list(gf2.invert(columns)), rank
