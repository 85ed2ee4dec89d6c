import math
import re

import numpy as np
import pytest

from qdllm.circuits import (
    GATES,
    Circuit,
    Gate,
    input_symbol,
    parameter,
    qd_llm,
    to_native,
    to_qasm2,
    to_qasm3,
)
from qdllm.errors import CircuitError

qiskit = pytest.importorskip("qiskit")
from qiskit.circuit import library  # noqa: E402
from qiskit.quantum_info import Operator  # noqa: E402

QISKIT_GATES = {
    "H": library.HGate, "X": library.XGate, "Y": library.YGate, "Z": library.ZGate, "S": library.SGate,
    "SDG": library.SdgGate, "T": library.TGate, "TDG": library.TdgGate, "RX": library.RXGate,
    "RY": library.RYGate, "RZ": library.RZGate, "RZZ": library.RZZGate, "RXX": library.RXXGate,
    "RYY": library.RYYGate, "CNOT": library.CXGate, "CZ": library.CZGate, "SWAP": library.SwapGate,
    "U3": library.UGate,
}  # fmt: skip


def to_qiskit(circuit):
    result = qiskit.QuantumCircuit(circuit.n_qubits)
    for gate in circuit.gates:
        angles = [angle.evaluate({}) for angle in gate.angles]
        result.append(QISKIT_GATES[gate.name](*angles), gate.qubits)
    return result


@pytest.fixture
def every_gate():
    circuit = Circuit(3).h(0).h(1).h(2)
    for position, (name, (n_qubits, n_angles)) in enumerate(GATES.items()):
        qubits = [(position + k) % 3 for k in range(n_qubits)]
        angles = [
            parameter(f"p{position}_{k}") / 2 + 0.25 * input_symbol("x_0") - 0.5 for k in range(n_angles)
        ]
        circuit = circuit.append(name, qubits, angles)
    return circuit


def values(circuit):
    rng = np.random.default_rng(1)
    return rng.uniform(-3, 3, circuit.n_inputs), rng.uniform(-3, 3, circuit.n_parameters)


@pytest.mark.parametrize("which", ["every gate", "paper"])
def test_qasm_2_reads_back_to_the_same_unitary(which, every_gate):
    circuit = every_gate if which == "every gate" else qd_llm(4, 2)
    inputs, parameters = values(circuit)
    text = to_qasm2(circuit, inputs, parameters)
    assert set(re.findall(r"^(\w+)[( ].*q\[\d", text, flags=re.M)) - {"qreg"} == {"rx", "ry", "rz", "cz"}
    read = qiskit.QuantumCircuit.from_qasm_str(text)
    assert Operator(read).equiv(Operator(to_qiskit(circuit.bind(inputs, parameters))))


@pytest.mark.parametrize("which", ["every gate", "paper"])
def test_qasm_3_reads_back_to_the_same_unitary(which, every_gate):
    pytest.importorskip("qiskit_qasm3_import")
    from qiskit import qasm3

    circuit = every_gate if which == "every gate" else qd_llm(4, 2)
    inputs, parameters = values(circuit)
    expected = Operator(to_qiskit(circuit.bind(inputs, parameters)))
    assert Operator(qasm3.loads(to_qasm3(circuit, inputs, parameters))).equiv(expected)
    symbolic = qasm3.loads(to_qasm3(circuit, parameters=parameters))
    bound = symbolic.assign_parameters(dict(zip(circuit.input_names, inputs, strict=True)))
    assert Operator(bound).equiv(expected)
    assert to_qasm3(circuit).count("input float[64]") == circuit.n_inputs + circuit.n_parameters


def test_measurement_is_optional():
    pytest.importorskip("qiskit_qasm3_import")
    from qiskit import qasm3

    circuit = Circuit(2).h(0).cnot(0, 1)
    for read in (
        qiskit.QuantumCircuit.from_qasm_str(to_qasm2(circuit, measure=True)),
        qasm3.loads(to_qasm3(circuit, measure=True)),
    ):
        measured = [
            (read.find_bit(i.qubits[0]).index, read.find_bit(i.clbits[0]).index)
            for i in read.data
            if i.operation.name == "measure"
        ]
        assert measured == [(0, 0), (1, 1)]


@pytest.mark.parametrize("name", sorted(GATES))
def test_native_gates_are_equal_up_to_phase(name):
    n_qubits, n_angles = GATES[name]
    circuit = Circuit(2, [Gate(name, (1, 0)[:n_qubits], [0.3, math.pi / 3, -1.1][:n_angles])])
    native = to_native(circuit)
    assert {gate.name for gate in native.gates} <= {"RX", "RY", "RZ", "CZ"}
    assert Operator(to_qiskit(native)).equiv(Operator(to_qiskit(circuit)))


def test_what_the_languages_cannot_say_is_refused():
    with pytest.raises(CircuitError, match="no symbols"):
        to_qasm2(Circuit(1).rx(parameter("a"), 0), parameters={})
    with pytest.raises(CircuitError, match="word of OpenQASM 3"):
        to_qasm3(Circuit(1).rx(parameter("gate"), 0))
