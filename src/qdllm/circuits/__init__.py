"""What a circuit is: gates with named angles, ansätze, encodings, drawings and OpenQASM."""

from qdllm.circuits.analysis import CircuitReport, analyse, prune
from qdllm.circuits.angles import Angle, Symbol, input_symbol, parameter
from qdllm.circuits.ansatz import ANSATZE, brick, hardware_efficient, make_ansatz, qd_llm, reuploading, tree
from qdllm.circuits.circuit import GATES, Circuit, Gate
from qdllm.circuits.compiled import CompiledCircuit, Diagonal, Local, compile_circuit
from qdllm.circuits.cones import LightCone, light_cones
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
from qdllm.circuits.observables import (
    READOUTS,
    Observable,
    PauliString,
    each_z,
    parse_observables,
    readout_labels,
)
from qdllm.circuits.qasm import to_qasm2, to_qasm3

__all__ = [
    "ANSATZE",
    "ENCODINGS",
    "GATES",
    "READOUTS",
    "Angle",
    "Circuit",
    "CircuitReport",
    "CompiledCircuit",
    "Diagonal",
    "Encoding",
    "Gate",
    "LightCone",
    "LinearEncoding",
    "Local",
    "MinMaxEncoding",
    "Observable",
    "PauliString",
    "Symbol",
    "TanhEncoding",
    "analyse",
    "brick",
    "compile_circuit",
    "draw_mpl",
    "draw_text",
    "each_z",
    "hardware_efficient",
    "input_symbol",
    "light_cones",
    "make_ansatz",
    "make_encoding",
    "parameter",
    "parse_observables",
    "prune",
    "qd_llm",
    "readout_labels",
    "reuploading",
    "to_native",
    "to_qasm2",
    "to_qasm3",
    "tree",
]
