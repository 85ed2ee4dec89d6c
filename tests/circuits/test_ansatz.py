import pytest

from qdllm.circuits import make_ansatz, qd_llm
from qdllm.errors import CircuitError, ConfigError


def test_the_papers_circuit_is_as_published():
    circuit = qd_llm()
    names = [f"{gate.name}" for gate in circuit.gates]
    assert circuit.n_parameters == 144
    assert circuit.input_names == tuple(f"x_{q}" for q in range(11))
    assert {name: names.count(name) for name in set(names)} == {
        "RX": 11,
        "RY": 60,
        "RZZ": 18,
        "RZ": 66,
        "CNOT": 34,
    }
    assert circuit.parameter_names[:8] == (
        "l0_a0", "l0_b0", "l0_c0", "l0_d0", "l0_a1", "l0_b1", "l0_c1", "l0_d1",
    )  # fmt: skip
    assert circuit.parameter_names[38:42] == ("l0_c9", "l0_e0", "l0_f0", "l0_g0")
    layer = circuit.gates[11 : 11 + 89]
    assert [str(gate) for gate in layer[:5]] == [
        "RY(l0_a0) 0",
        "RY(l0_b0) 0",
        "RY(l0_c0) 0",
        "RZZ(l0_d0) 1, 2",
        "RY(l0_a1) 1",
    ]
    assert [str(gate) for gate in layer[-17:-13]] == ["CNOT 10, 0", "CNOT 1, 2", "CNOT 1, 0", "CNOT 2, 3"]
    assert str(layer[-1]) == "CNOT 8, 7"


@pytest.mark.parametrize("n_qubits", [1, 2, 3, 4])
def test_small_students_have_trained_rotations_on_every_layer(n_qubits):
    circuit = qd_llm(n_qubits, 1)
    assert circuit.n_inputs == n_qubits
    assert {"l0_a0", "l0_g0"} <= set(circuit.parameter_names)
    assert qd_llm(n_qubits, 0).n_parameters == 0


def test_an_ansatz_is_made_by_name():
    assert make_ansatz("qd_llm", 4, 3) == qd_llm(4, 3)
    with pytest.raises(ConfigError, match="unknown ansatz 'foo'"):
        make_ansatz("foo", 4, 3)
    with pytest.raises(CircuitError, match="at least 1"):
        make_ansatz("qd_llm", 0, 3)
    with pytest.raises(CircuitError, match="layers"):
        make_ansatz("qd_llm", 4, -1)
