from typing import Any

from numpy.typing import NDArray

_Sweep = tuple[list[tuple[list[int], list[int]]], list[int]]
_Entry = tuple[int, int, float]

interface: int

def instruction_sets() -> list[str]: ...
def lanes(instruction_set: str, item_size: int, /) -> int: ...

class NgramCounter:
    def __init__(
        self,
        kinds: list[int],
        *,
        base: int,
        first: int,
        second: int,
        around: int,
        begins: int,
        start: int,
        end: int,
        prefix: int,
    ) -> None: ...
    def count(
        self, characters: NDArray[Any], lengths: NDArray[Any], signatures: NDArray[Any], /
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]: ...

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

class _Formula:
    def __init__(self, instruction_set: str) -> None: ...
    def set_terms(
        self,
        n_variables: int,
        n_outputs: int,
        left: list[tuple[int, int]],
        right: list[tuple[int, int]],
        terms: list[tuple[int, int]],
        numbers: list[float],
        /,
    ) -> None: ...
    def set_train(self, n_outputs: int, ranks: list[int], numbers: list[float], /) -> None: ...
    def evaluate(self, angles: NDArray[Any], values: NDArray[Any], /) -> None: ...

class Formula32(_Formula): ...
class Formula64(_Formula): ...
