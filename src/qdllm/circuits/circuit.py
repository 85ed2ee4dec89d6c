"""What a circuit is: an immutable list of gates on numbered qubits.

Conventions: angles in radians, R_P(t) = exp(-i t P / 2), CNOT(control, target), U3(theta, phi, lambda) as in
OpenQASM; qubit 0 is the least significant bit of a basis state's index.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from qdllm.circuits.angles import Angle, Symbol
from qdllm.errors import CircuitError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["GATES", "Circuit", "Gate"]

GATES: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(("H", "X", "Y", "Z", "S", "SDG", "T", "TDG"), (1, 0)),
    **dict.fromkeys(("RX", "RY", "RZ"), (1, 1)),
    **dict.fromkeys(("RZZ", "RXX", "RYY"), (2, 1)),
    **dict.fromkeys(("CNOT", "CZ", "SWAP"), (2, 0)),
    "U3": (1, 3),
}
"""Every gate's name with its numbers of qubits and of angles."""


@dataclass(frozen=True)
class Gate:
    """One gate on one or two qubits.

    Parameters
    ----------
    name : str
        A key of `GATES`.
    qubits : tuple of int
        Distinct qubits, at least 0; the control comes first.
    angles : tuple of Angle, Symbol or float
        As many as the gate takes, in radians.

    Raises
    ------
    CircuitError
        If the gate is unknown, a qubit is repeated or negative, or the number of qubits or angles is wrong.
    """

    name: str
    qubits: tuple[int, ...]
    angles: tuple[Angle, ...] = ()

    def __init__(
        self, name: str, qubits: Sequence[int], angles: Sequence[Angle | Symbol | float] = ()
    ) -> None:
        if name not in GATES:
            raise CircuitError(f"unknown gate {name!r}: use one of {', '.join(GATES)}")
        n_qubits, n_angles = GATES[name]
        where = f"{name}{tuple(qubits)}"
        if any(isinstance(q, bool) or not isinstance(q, int) or q < 0 for q in qubits):
            raise CircuitError(f"{where}: a qubit must be an integer of at least 0")
        if len(qubits) != n_qubits:
            raise CircuitError(f"{where}: {name} acts on {n_qubits} qubit(s), got {len(qubits)}")
        if len(set(qubits)) != n_qubits:
            raise CircuitError(f"{where}: a qubit is repeated")
        if len(angles) != n_angles:
            raise CircuitError(f"{where}: {name} takes {n_angles} angle(s), got {len(angles)}")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "qubits", tuple(qubits))
        object.__setattr__(self, "angles", tuple(Angle.of(angle) for angle in angles))

    def __str__(self) -> str:
        angles = f"({', '.join(map(str, self.angles))})" if self.angles else ""
        return f"{self.name}{angles} {', '.join(map(str, self.qubits))}"


@dataclass(frozen=True)
class Circuit:
    """An immutable circuit on qubits that start in |0>.

    Parameters
    ----------
    n_qubits : int
        Number of qubits, at least 1.
    gates : iterable of Gate
        In order of application.
    name : str
        For titles and file headers.

    Raises
    ------
    CircuitError
        If there is no qubit, a gate acts outside, or one name stands for an input and for a parameter.

    Examples
    --------
    >>> from qdllm.circuits import input_symbol, parameter
    >>> circuit = Circuit(2).rx(input_symbol("x_0"), 0).cnot(0, 1).ry(2 * parameter("a"), 1)
    >>> circuit.input_names, circuit.parameter_names
    (('x_0',), ('a',))
    >>> print(circuit.draw())
    q0: ─RX(x_0)─●─────────
                 │
    q1: ─────────X─RY(2*a)─
    """

    n_qubits: int
    gates: tuple[Gate, ...] = ()
    name: str = "circuit"

    def __init__(self, n_qubits: int, gates: Iterable[Gate] = (), name: str = "circuit") -> None:
        gates = tuple(gates)
        if isinstance(n_qubits, bool) or not isinstance(n_qubits, int) or n_qubits < 1:
            raise CircuitError(f"a circuit needs a whole number of qubits, at least 1, got {n_qubits!r}")
        for position, gate in enumerate(gates):
            if not isinstance(gate, Gate):
                raise CircuitError(f"gate {position}: expected a Gate, got {type(gate).__name__}")
            if max(gate.qubits) >= n_qubits:
                raise CircuitError(f"gate {position}, {gate}: the circuit has qubits 0 to {n_qubits - 1}")
        object.__setattr__(self, "n_qubits", n_qubits)
        object.__setattr__(self, "gates", gates)
        object.__setattr__(self, "name", name)
        both = set(self.input_names) & set(self.parameter_names)
        if both:
            raise CircuitError(f"{min(both)!r} is used both as an input and as a parameter: rename one")

    @cached_property
    def _symbols(self) -> tuple[Symbol, ...]:
        angles = (angle for gate in self.gates for angle in gate.angles)
        return tuple(dict.fromkeys(symbol for angle in angles for symbol, _ in angle.terms))

    @cached_property
    def input_names(self) -> tuple[str, ...]:
        """The inputs' names, in order of first appearance."""
        return tuple(symbol.name for symbol in self._symbols if symbol.is_input)

    @cached_property
    def parameter_names(self) -> tuple[str, ...]:
        """The trained parameters' names, in order of first appearance, gate by gate."""
        return tuple(symbol.name for symbol in self._symbols if not symbol.is_input)

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return len(self.input_names)

    @property
    def n_parameters(self) -> int:
        """Number of trained parameters."""
        return len(self.parameter_names)

    def bind(
        self,
        inputs: Mapping[str, float] | Sequence[float] | None = None,
        parameters: Mapping[str, float] | Sequence[float] | None = None,
    ) -> "Circuit":
        """Replace inputs and parameters by numbers.

        Parameters
        ----------
        inputs, parameters : mapping of name to float, or sequence of float, or None
            A sequence (or 1-d array) gives all in the order of the names; a mapping some; None none.

        Raises
        ------
        CircuitError
            If a name is unknown, the number of values is wrong, or a value is not finite.
        """
        values = {
            **_named(inputs, self.input_names, "input"),
            **_named(parameters, self.parameter_names, "parameter"),
        }
        gates = (Gate(g.name, g.qubits, [angle.bind(values) for angle in g.angles]) for g in self.gates)
        return replace(self, gates=tuple(gates))

    def append(
        self, name: str, qubits: Sequence[int], angles: Sequence[Angle | Symbol | float] = ()
    ) -> "Circuit":
        """Return this circuit with one more gate."""
        return replace(self, gates=(*self.gates, Gate(name, qubits, angles)))

    def __add__(self, other: "Circuit") -> "Circuit":
        if other.n_qubits != self.n_qubits:
            raise CircuitError(f"cannot join circuits of {self.n_qubits} and {other.n_qubits} qubits")
        return replace(self, gates=self.gates + other.gates)

    def h(self, qubit: int) -> "Circuit":
        """Append a Hadamard gate."""
        return self.append("H", (qubit,))

    def x(self, qubit: int) -> "Circuit":
        """Append a Pauli X."""
        return self.append("X", (qubit,))

    def y(self, qubit: int) -> "Circuit":
        """Append a Pauli Y."""
        return self.append("Y", (qubit,))

    def z(self, qubit: int) -> "Circuit":
        """Append a Pauli Z."""
        return self.append("Z", (qubit,))

    def s(self, qubit: int) -> "Circuit":
        """Append S = diag(1, i)."""
        return self.append("S", (qubit,))

    def sdg(self, qubit: int) -> "Circuit":
        """Append the inverse of S."""
        return self.append("SDG", (qubit,))

    def t(self, qubit: int) -> "Circuit":
        """Append T = diag(1, exp(i pi/4))."""
        return self.append("T", (qubit,))

    def tdg(self, qubit: int) -> "Circuit":
        """Append the inverse of T."""
        return self.append("TDG", (qubit,))

    def rx(self, angle: Angle | Symbol | float, qubit: int) -> "Circuit":
        """Append exp(-i angle X / 2)."""
        return self.append("RX", (qubit,), (angle,))

    def ry(self, angle: Angle | Symbol | float, qubit: int) -> "Circuit":
        """Append exp(-i angle Y / 2)."""
        return self.append("RY", (qubit,), (angle,))

    def rz(self, angle: Angle | Symbol | float, qubit: int) -> "Circuit":
        """Append exp(-i angle Z / 2)."""
        return self.append("RZ", (qubit,), (angle,))

    def rzz(self, angle: Angle | Symbol | float, first: int, second: int) -> "Circuit":
        """Append exp(-i angle ZZ / 2)."""
        return self.append("RZZ", (first, second), (angle,))

    def rxx(self, angle: Angle | Symbol | float, first: int, second: int) -> "Circuit":
        """Append exp(-i angle XX / 2)."""
        return self.append("RXX", (first, second), (angle,))

    def ryy(self, angle: Angle | Symbol | float, first: int, second: int) -> "Circuit":
        """Append exp(-i angle YY / 2)."""
        return self.append("RYY", (first, second), (angle,))

    def cnot(self, control: int, target: int) -> "Circuit":
        """Append a controlled X."""
        return self.append("CNOT", (control, target))

    def cz(self, first: int, second: int) -> "Circuit":
        """Append a controlled Z."""
        return self.append("CZ", (first, second))

    def swap(self, first: int, second: int) -> "Circuit":
        """Append a swap of two qubits."""
        return self.append("SWAP", (first, second))

    def u3(
        self,
        theta: Angle | Symbol | float,
        phi: Angle | Symbol | float,
        lam: Angle | Symbol | float,
        qubit: int,
    ) -> "Circuit":
        """Append U3(theta, phi, lambda) = RZ(phi) RY(theta) RZ(lambda) up to a global phase."""
        return self.append("U3", (qubit,), (theta, phi, lam))

    def draw(self, width: int = 110) -> str:
        """Return the circuit drawn as text, in blocks of at most `width` columns where gates allow."""
        from qdllm.circuits.drawing import draw_text

        return draw_text(self, width)

    def draw_mpl(self) -> "Figure":
        """Return the circuit drawn by matplotlib (extra ``plot``)."""
        from qdllm.circuits.drawing import draw_mpl

        return draw_mpl(self)


def _named(values: Any, names: tuple[str, ...], kind: str) -> dict[str, float]:
    if values is None:
        return {}
    if isinstance(values, Mapping):
        unknown = [name for name in values if name not in names]
        if unknown:
            raise CircuitError(f"the circuit has no {kind} {unknown[0]!r}")
        return {name: float(value) for name, value in values.items()}
    if len(values) != len(names):
        raise CircuitError(f"the circuit has {len(names)} {kind}s, got {len(values)} values")
    return {name: float(value) for name, value in zip(names, values, strict=True)}
