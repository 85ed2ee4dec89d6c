"""What a circuit is: gates with named angles, ansätze, encodings, drawings and OpenQASM."""

from qdllm.circuits.angles import Angle, Symbol, input_symbol, parameter
from qdllm.circuits.ansatz import ANSATZE, make_ansatz, qd_llm
from qdllm.circuits.circuit import GATES, Circuit, Gate
from qdllm.circuits.drawing import draw_mpl, draw_text
from qdllm.circuits.encodings import (
    ENCODINGS,
    Encoding,
    LinearEncoding,
    MinMaxEncoding,
    TanhEncoding,
    make_encoding,
)
from qdllm.circuits.native import to_native
from qdllm.circuits.qasm import to_qasm2, to_qasm3

__all__ = [
    "ANSATZE",
    "ENCODINGS",
    "GATES",
    "Angle",
    "Circuit",
    "Encoding",
    "Gate",
    "LinearEncoding",
    "MinMaxEncoding",
    "Symbol",
    "TanhEncoding",
    "draw_mpl",
    "draw_text",
    "input_symbol",
    "make_ansatz",
    "make_encoding",
    "parameter",
    "qd_llm",
    "to_native",
    "to_qasm2",
    "to_qasm3",
]
