"""OpenQASM text: version 3 keeps inputs symbolic, version 2 is bound and ready for a vendor."""

from collections.abc import Mapping, Sequence

from qdllm.circuits.angles import Angle
from qdllm.circuits.circuit import Circuit
from qdllm.circuits.native import to_native
from qdllm.errors import CircuitError

__all__ = ["to_qasm2", "to_qasm3"]

_QASM3_NAMES = {"CNOT": "cx", "U3": "U"}
# Not in stdgates.inc, so defined where used.
_QASM3_DEFINITIONS = {
    "RZZ": "gate rzz(t) a, b { cx a, b; rz(t) b; cx a, b; }",
    "RXX": "gate rxx(t) a, b { h a; h b; cx a, b; rz(t) b; cx a, b; h a; h b; }",
    "RYY": "gate ryy(t) a, b { sdg a; sdg b; rxx(t) a, b; s a; s b; }",
}
_QASM3_RESERVED = frozenset(
    """OPENQASM include defcalgrammar def cal defcal gate extern box let break continue if else end
    return for while in switch case default nop pragma input output const readonly mutable qreg
    qubit creg bool bit int uint float angle complex array void duration stretch gphase inv pow ctrl
    negctrl dim durationof delay reset measure barrier true false im pi tau euler sin cos tan exp
    log sqrt mod floor ceiling popcount rotl rotr arccos arcsin arctan real imag sizeof p x y z h s
    sdg t tdg sx rx ry rz cx cy cz cp crx cry crz ch swap ccx cswap cu CX phase cphase id u1 u2 u3 U
    rzz rxx ryy q c""".split()  # noqa: SIM905
)


def to_qasm3(
    circuit: Circuit,
    inputs: Mapping[str, float] | Sequence[float] | None = None,
    parameters: Mapping[str, float] | Sequence[float] | None = None,
    *,
    measure: bool = False,
) -> str:
    """Return OpenQASM 3; what is not bound is declared as ``input float[64]``.

    Parameters
    ----------
    circuit : Circuit
        Any circuit.
    inputs, parameters : mapping or sequence of float, optional
        Values to bind, as `Circuit.bind` takes them.
    measure : bool
        Whether to measure every qubit into ``c``.

    Raises
    ------
    CircuitError
        If a value is wrong or an unbound name is a word of the language.

    References
    ----------
    OpenQASM 3 live specification, https://openqasm.com/versions/3.0/
    """
    bound = circuit.bind(inputs, parameters)
    names = bound.input_names + bound.parameter_names
    for name in names:
        if name in _QASM3_RESERVED or name.startswith("__"):
            raise CircuitError(f"{name!r} is a word of OpenQASM 3: rename that input or parameter")
    lines = ["OPENQASM 3.0;", 'include "stdgates.inc";', f"// {circuit.name}"]
    used = {gate.name for gate in bound.gates} | (
        {"RXX"} if any(g.name == "RYY" for g in bound.gates) else set()
    )
    lines += [text for name, text in _QASM3_DEFINITIONS.items() if name in used]
    lines += [f"input float[64] {name};" for name in names]
    lines.append(f"qubit[{circuit.n_qubits}] q;")
    if measure:
        lines.append(f"bit[{circuit.n_qubits}] c;")
    for gate in bound.gates:
        name = _QASM3_NAMES.get(gate.name, gate.name.lower())
        lines.append(f"{name}{_arguments(gate.angles)} {', '.join(f'q[{q}]' for q in gate.qubits)};")
    if measure:
        lines.append("c = measure q;")
    return "\n".join(lines) + "\n"


def to_qasm2(
    circuit: Circuit,
    inputs: Mapping[str, float] | Sequence[float] = (),
    parameters: Mapping[str, float] | Sequence[float] = (),
    *,
    measure: bool = False,
) -> str:
    """Return OpenQASM 2 of rx, ry, rz and cz alone, with every angle a number: what every vendor reads.

    Parameters
    ----------
    circuit : Circuit
        Any circuit.
    inputs, parameters : mapping or sequence of float
        All of the circuit's inputs and parameters.
    measure : bool
        Whether to measure qubit i into ``c[i]``.

    Raises
    ------
    CircuitError
        If a value is missing or wrong.
    """
    bound = to_native(circuit.bind(inputs, parameters))
    if bound.input_names or bound.parameter_names:
        missing = min(bound.input_names + bound.parameter_names)
        raise CircuitError(f"OpenQASM 2 has no symbols: give a value for {missing!r}")
    lines = ["OPENQASM 2.0;", 'include "qelib1.inc";', f"// {circuit.name}", f"qreg q[{circuit.n_qubits}];"]
    if measure:
        lines.append(f"creg c[{circuit.n_qubits}];")
    lines += [
        f"{g.name.lower()}{_arguments(g.angles)} {','.join(f'q[{q}]' for q in g.qubits)};"
        for g in bound.gates
    ]
    if measure:
        lines.append("measure q -> c;")
    return "\n".join(lines) + "\n"


def _arguments(angles: tuple[Angle, ...]) -> str:
    return f"({', '.join(map(_expression, angles))})" if angles else ""


def _expression(angle: Angle) -> str:
    """Write an angle with all its digits."""
    pieces = [symbol.name if c == 1 else f"{c!r}*{symbol.name}" for symbol, c in angle.terms]
    if angle.constant or not pieces:
        pieces.append(repr(angle.constant))
    return " + ".join(pieces)
