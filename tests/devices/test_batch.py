import numpy as np
import pytest

from qdllm.devices import CircuitBatch, Counts, lower
from qdllm.devices.batch import fold, repeats, state_preparations
from qdllm.errors import BackendError

from .small_chips import bound_student


@pytest.fixture
def batch():
    circuit = bound_student(n_qubits=5)
    lowered = lower(circuit)
    inputs = np.random.default_rng(0).normal(size=(2, 5))
    return CircuitBatch(lowered.circuit, lowered.angles(inputs)[:, 0], tuple(range(3, 3 + lowered.n_wires)))


def test_qasm_round_trips_through_qiskit_to_the_same_unitary(batch):
    qiskit = pytest.importorskip("qiskit")
    from qiskit.quantum_info import Operator

    written = qiskit.QuantumCircuit(len(batch.layout))
    for gate in batch.circuit.bind(batch.angles[1].tolist()).gates:
        name = "cx" if gate.name == "CNOT" else gate.name.lower()
        getattr(written, name)(*(a.constant for a in gate.angles), *gate.qubits)
    read = qiskit.QuantumCircuit.from_qasm_str(batch.qasm2(1))
    assert read.num_qubits == max(batch.layout) + 1
    measured = {
        read.find_bit(i.qubits[0]).index: read.find_bit(i.clbits[0]).index
        for i in read.get_instructions("measure")
    }
    assert measured == {q: w for w, q in enumerate(batch.layout)}
    read.remove_final_measurements()
    inside = qiskit.QuantumCircuit(len(batch.layout))
    for instruction in read.data:
        wires = [batch.layout.index(read.find_bit(q).index) for q in instruction.qubits]
        inside.append(instruction.operation, wires)
    assert set(inside.count_ops()) <= {"rz", "ry", "cz"}
    assert Operator(inside).equiv(Operator(written))


def test_rotations_between_two_czs_are_merged(batch):
    gates = batch.physical(0).gates
    runs = dict.fromkeys(range(len(batch.layout)), 0)
    for gate in gates:
        for wire in gate.qubits:
            runs[wire] = runs[wire] + 1 if len(gate.qubits) == 1 else 0
            assert runs[wire] <= 3


def test_folding_triples_the_two_qubit_gates(batch):
    before = sum(len(g.qubits) == 2 for g in batch.circuit.gates)
    folded = fold(batch.circuit)
    assert sum(len(g.qubits) == 2 for g in folded.gates) == 3 * before
    assert folded.input_names == batch.circuit.input_names


def test_counts_keep_qubit_0_rightmost():
    counts = Counts.from_keys({"01": 3, "10": 5}, 2)
    assert dict(zip(counts.states.tolist(), counts.numbers.tolist(), strict=True)) == {1: 3, 2: 5}
    assert counts.to_keys(2) == {"01": 3, "10": 5}
    assert Counts.join([counts, Counts.of(np.array([1, 1]))]).shots == 10


@pytest.mark.parametrize(
    "counts", [{}, {"012": 1}, {"0": 1}, {"00": -1}, {"00": 1.5}, {"00": True}, {0: 1}, "00", None]
)
def test_malformed_counts_are_refused(counts):
    with pytest.raises(BackendError, match="counts"):
        Counts.from_keys(counts, 2, "chip: job 7")


def test_state_preparations_are_all_0_and_all_1():
    batch = state_preparations((4, 5, 6))
    assert batch.angles.tolist() == [[0.0] * 3, [np.pi] * 3]


@pytest.mark.parametrize("counts", [{"00": 0}, {"00": 0, "11": 0}])
def test_counts_of_nothing_are_refused(counts):
    with pytest.raises(BackendError, match="malformed counts: no outcome was seen at all"):
        Counts.from_keys(counts, 2)


def test_only_a_two_qubit_gate_right_after_itself_repeats_it(batch):
    plain = batch.physical(0)
    assert not any(again for _, again in repeats(plain))
    folded = CircuitBatch(fold(batch.circuit), batch.angles, batch.layout).physical(0)
    assert sum(again for _, again in repeats(folded)) == 2 * sum(len(g.qubits) == 2 for g in plain.gates)
