import pytest

from qdllm.circuits import ANSATZE, GATES, analyse, make_ansatz, qd_llm, reuploading, tree
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


@pytest.mark.parametrize("name", sorted(ANSATZE))
@pytest.mark.parametrize(("n_qubits", "n_layers"), [(1, 0), (1, 1), (2, 1), (3, 2), (5, 3)])
def test_every_ansatz_fits_every_size(name, n_qubits, n_layers):
    circuit = make_ansatz(name, n_qubits, n_layers)
    assert circuit.name == name
    assert circuit.n_qubits == n_qubits
    assert circuit.input_names == tuple(f"x_{i}" for i in range(circuit.n_inputs))
    assert len(set(circuit.parameter_names)) == circuit.n_parameters
    if n_qubits > 1 and n_layers:
        assert any(GATES[gate.name][0] == 2 for gate in circuit.gates)
        assert analyse(circuit).n_effective >= 1


def test_reuploading_gives_every_layer_inputs_of_its_own():
    assert reuploading(4, 3).n_inputs == 12


def test_a_tree_joins_all_qubits_in_as_few_gates_as_can_be():
    pairs = [gate.qubits for gate in tree(11, 1).gates if gate.name == "RZZ"]
    assert len(pairs) == 10
    assert {q for pair in pairs for q in pair} == set(range(11))
