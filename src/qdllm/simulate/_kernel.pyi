from typing import Any

from numpy.typing import NDArray

_Sweep = tuple[list[tuple[list[int], list[int]]], list[int]]
_Entry = tuple[int, int, float]

interface: int

def instruction_sets() -> list[str]: ...
def lanes(instruction_set: str, item_size: int, /) -> int: ...

class Run32: ...
class Run64: ...

class _Program:
    def __init__(self, instruction_set: str) -> None: ...
    @property
    def n_observables(self) -> int: ...
    @property
    def forward_width(self) -> int: ...
    @property
    def backward_width(self) -> int: ...
    def set_size(self, n_qubits: int, n_observables: int, /) -> None: ...
    def set_angles(
        self,
        n_inputs: int,
        n_parameters: int,
        constants: list[float],
        inputs: list[_Entry],
        parameters: list[_Entry],
        /,
    ) -> None: ...
    def set_product(self, flips: list[int], angles: list[int], /) -> None: ...
    def add_diagonal(self, masks: list[int], angles: list[int], /) -> None: ...
    def add_local(self, forward: list[_Sweep], backward: list[_Sweep], /) -> None: ...
    def add_readout(
        self, flip: int, imaginary: bool, columns: list[int], rank: int, readings: list[_Entry], /
    ) -> None: ...
    def forward(
        self,
        inputs: NDArray[Any],
        parameters: NDArray[Any],
        values: NDArray[Any],
        keep: bool,
        threads: int,
        /,
    ) -> Run32 | Run64: ...
    def backward(
        self,
        run: Run32 | Run64,
        inputs: NDArray[Any],
        weights: NDArray[Any],
        input_gradients: NDArray[Any],
        parameter_gradients: NDArray[Any],
        threads: int,
        /,
    ) -> None: ...

class Program32(_Program): ...
class Program64(_Program): ...
