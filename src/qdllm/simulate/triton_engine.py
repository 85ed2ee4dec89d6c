"""The compiled stages on a CUDA device: one Triton kernel forward, one backward, states kept on the chip.

Sums of inputs and parameters to angles, and of Pauli strings to observables, are small matrix products of
torch's on either side.
"""

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from qdllm.circuits import gf2
from qdllm.circuits.compiled import CompiledCircuit, Diagonal, Local
from qdllm.simulate.placement import final_numbering, place_readout, place_stages

__all__ = ["TritonEngine"]

# Four numbers an amplitude, those of the state and of the loss's derivative by it, stay in registers.
_LARGEST = {torch.float32: 13, torch.float64: 12}
_OF_A_WARP = {torch.float32: 512, torch.float64: 256}  # amplitudes
_REGISTERS = 128  # a thread: 16 warps share a multiprocessor's 2^16
_CAPABILITY = (8, 0)  # the least that Triton supports


class TritonEngine:
    """Run a compiled circuit on a CUDA device; differentiable once.

    Parameters
    ----------
    compiled : CompiledCircuit
        What to run; see `serves`.
    """

    def __init__(self, compiled: CompiledCircuit) -> None:
        self.compiled = compiled
        self._tables = _tabulate(compiled)
        self._programs: dict[tuple[torch.device, torch.dtype], _Program] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_programs": {}}  # made again where they are needed

    @staticmethod
    def serves(n_qubits: int, dtype: torch.dtype, device: torch.device) -> bool:
        """Return whether Triton drives the device and a state of that size fits on its chip."""
        return device.type == "cuda" and n_qubits <= _LARGEST[dtype] and _drives(device)

    def memory(self, batch: int, dtype: torch.dtype) -> int:
        """Return the bytes that a forward and backward pass take, about."""
        planes = 4 if self._tables.moved.any() else 2
        numbers = planes * 2**self.compiled.n_qubits + 4 * len(self.compiled.angles)
        return int(batch * numbers * dtype.itemsize)

    def expectations(self, inputs: Tensor, parameters: Tensor) -> Tensor:
        """Return (batch, n_observables) for inputs (batch, n_inputs) and parameters (n_parameters,)."""
        program = self.program(inputs.device, inputs.dtype)
        shared = torch.addmv(program.constants, program.of_parameters, parameters)
        angles = torch.addmm(shared, inputs, program.of_inputs)
        strings: Tensor = _Strings.apply(angles, program)  # type: ignore[no-untyped-call]
        return strings @ program.coefficients

    def program(self, device: torch.device, dtype: torch.dtype) -> "_Program":
        """Return the compiled circuit as the kernels take it."""
        if (device, dtype) not in self._programs:
            self._programs[device, dtype] = _Program(self.compiled, self._tables, device, dtype)
        return self._programs[device, dtype]


@lru_cache
def _drives(device: torch.device) -> bool:
    return (
        importlib.util.find_spec("triton") is not None
        and torch.version.cuda is not None
        and torch.cuda.get_device_capability(device) >= _CAPABILITY
    )


@dataclass(frozen=True)
class _Tables:
    """What the kernels read, as `triton_kernels.forward` names and describes it; -1 stands for nothing."""

    terms: npt.NDArray[np.int32]
    bits: npt.NDArray[np.int32]
    moved: npt.NDArray[np.int32]
    moves: npt.NDArray[np.int32]
    flips: npt.NDArray[np.int32]
    reads: npt.NDArray[np.int32]
    coefficients: npt.NDArray[np.float64]  # (n_strings, n_observables)


def _tabulate(compiled: CompiledCircuit) -> _Tables:
    n_qubits = compiled.n_qubits
    placed = place_stages(compiled)
    # A layer is a diagonal and then rotations, either of which may be missing; the first has no diagonal.
    layers = [0]
    for position, part in enumerate(placed[1:], start=1):
        joins = isinstance(part.stage, Local) and isinstance(placed[position - 1].stage, Diagonal)
        layers.append(layers[-1] + (not joins))
    n_layers = layers[-1] + 1
    terms = np.full((n_layers, 2**n_qubits), -1, dtype=np.int32)
    bits = np.full((n_layers, n_qubits), -1, dtype=np.int32)
    moves = np.tile(np.arange(2**n_qubits, dtype=np.int32), (n_layers, 1))
    moved = np.zeros(n_layers, dtype=np.int32)
    for layer, part in zip(layers, placed, strict=False):
        if isinstance(part.stage, Diagonal):
            for mask, angle in part.stage.terms:
                terms[layer, gf2.transpose_apply(part.numbering, mask)] = angle
        else:
            for bit, (_, _, angle) in zip(part.bits, part.stage.rotations, strict=True):
                bits[layer, bit] = angle
        if part.move is not None:
            moves[layer], moved[layer] = part.move, 1
    readings = list(place_readout(compiled, final_numbering(placed, n_qubits)))
    passes = list(dict.fromkeys((r.x, r.imaginary) for r in readings))
    strings = list(dict.fromkeys((r.x, r.imaginary, r.z) for r in readings))
    reads = np.full((len(passes), 2**n_qubits), -1, dtype=np.int32)
    coefficients = np.zeros((len(strings), len(compiled.observables)))
    for x, imaginary, z in strings:
        reads[passes.index((x, imaginary)), z] = strings.index((x, imaginary, z))
    for r in readings:
        coefficients[strings.index((r.x, r.imaginary, r.z)), r.column] += r.coefficient
    flips = np.array(passes, dtype=np.int32).reshape(-1, 2)
    return _Tables(terms, bits, moved, moves, flips, reads, coefficients)


class _Program:
    """The tables on a device, and the launches of the kernels."""

    def __init__(
        self, compiled: CompiledCircuit, tables: _Tables, device: torch.device, dtype: torch.dtype
    ) -> None:
        def numbers(array: npt.NDArray[np.float64]) -> Tensor:
            return torch.from_numpy(array).to(device, dtype)

        def table(array: npt.NDArray[Any]) -> Tensor:
            return torch.from_numpy(array).to(device, torch.int32)

        self.constants = numbers(compiled.constants)
        self.of_inputs = numbers(compiled.input_matrix.T)
        self.of_parameters = numbers(compiled.parameter_matrix)
        self.coefficients = numbers(tables.coefficients)
        of_sample = np.asarray(compiled.input_matrix.any(axis=1))
        size = 2**compiled.n_qubits
        # What the kernels are compiled for.
        self.shape = {
            "N": compiled.n_qubits,
            "ROWS": max(1, _OF_A_WARP[dtype] // size),
            "SHARED": not of_sample[tables.terms[tables.terms >= 0]].any(),
        }
        self.options = {
            "num_warps": max(1, size // _OF_A_WARP[dtype]),
            "maxnreg": _REGISTERS,
            "enable_fp_fusion": True,
        }
        self._moves = table(tables.moves)
        self._moves_back = table(tables.moves.argsort(axis=1))
        self._moved = bool(tables.moved.any())
        self._common = {
            **{name: table(getattr(tables, name)) for name in ("terms", "bits", "moved", "flips", "reads")},
            "width": len(compiled.angles),
            "n_layers": len(tables.bits),
            "n_passes": len(tables.flips),
            "n_strings": len(tables.coefficients),
            **self.shape,
            **self.options,
        }

    def forward(self, angles: Tensor) -> tuple[Tensor, ...]:
        """Return the strings' values (batch, n_strings) and what `backward` takes beside the angles."""
        from qdllm.simulate import triton_kernels

        batch, width = angles.shape
        size, rows, shared = 2 ** self.shape["N"], self.shape["ROWS"], self.shape["SHARED"]
        programs, n_layers = -(-batch // rows), len(self._moves)
        values = angles.new_empty(batch, len(self.coefficients))
        turns = angles.new_empty(n_layers if shared else 0, 2, size)
        rotations = angles.new_empty(programs, width, 2, rows)
        states = angles.new_empty(programs, 2, size, rows)
        with torch.cuda.device_of(angles):  # type: ignore[no-untyped-call]
            if shared:
                triton_kernels.tabulate[(n_layers,)](
                    angles, self._common["terms"], turns, width, N=self.shape["N"], **self.options
                )
            triton_kernels.forward[(programs,)](
                angles=angles,
                turns=turns,
                moves=self._moves,
                rotations=rotations,
                states=states,
                values=values,
                batch=batch,
                **self._common,
            )
        return values, turns, rotations, states

    def backward(
        self, weights: Tensor, angles: Tensor, turns: Tensor, rotations: Tensor, states: Tensor
    ) -> Tensor:
        """Return the derivatives by the angles (batch, width) for those by the strings' values."""
        from qdllm.simulate import triton_kernels

        gradient = torch.empty_like(angles)
        with torch.cuda.device_of(angles):  # type: ignore[no-untyped-call]
            triton_kernels.backward[(len(states),)](
                angles=angles,
                turns=turns,
                moves=self._moves_back,
                rotations=rotations,
                states=states,
                weights=weights.contiguous(),
                buffer=torch.empty_like(states) if self._moved else states,
                gradient=gradient,
                batch=len(angles),
                **self._common,
            )
        return gradient


class _Strings(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, angles: Tensor, program: _Program) -> Tensor:
        angles = angles.detach().contiguous()
        values, *kept = program.forward(angles)
        ctx.program = program
        ctx.save_for_backward(angles, *kept)
        return values

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor, None]:
        return ctx.program.backward(weights, *ctx.saved_tensors), None
