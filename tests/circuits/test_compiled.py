import numpy as np
import pytest

from qdllm.circuits import (
    Circuit,
    Diagonal,
    Local,
    PauliString,
    analyse,
    compile_circuit,
    gf2,
    input_symbol,
    parameter,
    prune,
    qd_llm,
)


def kinds(circuit):
    return [type(stage).__name__ for stage in compile_circuit(circuit).stages]


def test_the_papers_circuit_has_47_effective_and_36_dead_parameters():
    report = analyse(qd_llm())
    assert (report.n_parameters, report.n_effective, len(report.dead)) == (144, 47, 36)
    last_rz = {f"l1_{letter}{q}" for letter in "efg" for q in range(11)}
    assert set(report.dead) == last_rz | {"l0_e10", "l0_f10", "l0_g10"}
    assert ("l0_a0", "l0_b0", "l0_c0") in report.merged
    assert {"l0_e9", "l0_f9", "l0_g9", "l1_d7"} in [set(group) for group in report.merged]
    assert (report.two_qubit_gates, report.two_qubit_gates_needed) == (52, 35)
    stages = "product (11), diagonal (19), local (10), diagonal (18), linear, local (10), readout (11)"
    assert ", ".join(report.stages) == stages


def test_neighbouring_rotations_merge_and_inverse_ones_vanish():
    a, b = parameter("a"), parameter("b")
    circuit = Circuit(2).ry(a, 0).ry(b, 0).rz(1.0, 0).rz(-1.0, 0).ry(2 * a, 0).h(1).h(1)
    compiled = compile_circuit(circuit)
    assert [str(angle) for angle in compiled.angles] == ["3*a + b"]
    assert kinds(Circuit(2).rxx(a, 0, 1).rxx(b, 0, 1)) == ["Local", "Diagonal", "Local"]


def test_linear_gates_and_paulis_cost_nothing():
    assert kinds(Circuit(3).x(0).cnot(0, 1).swap(1, 2).y(2).z(0)) == []
    compiled = compile_circuit(Circuit(2).x(0).cnot(0, 1))
    assert compiled.observables == (((PauliString(0, 1), -1.0),), ((PauliString(0, 3), -1.0),))


def test_gates_written_in_any_order_share_a_stage():
    brick = Circuit(6)
    for first in (0, 2, 4):
        brick = (
            brick.cnot(first, first + 1)
            .ry(parameter(f"a{first}"), first)
            .ry(parameter(f"b{first}"), first + 1)
        )
    brick = Circuit(6, [g for q in range(6) for g in Circuit(6).h(q).gates]) + brick
    assert kinds(brick) == ["Local"] * len(kinds(brick))
    assert len(kinds(brick)) <= 2


def test_a_rotation_that_no_observable_sees_is_dead():
    circuit = Circuit(3).ry(parameter("seen"), 0).ry(parameter("unseen"), 2).rzz(parameter("phase"), 0, 1)
    z0 = ((PauliString(0, 1), 1.0),)
    assert analyse(circuit, [z0]).dead == ("unseen", "phase")
    pruned, observables = prune(circuit.cnot(0, 1), [z0])
    assert [str(gate) for gate in pruned.gates] == ["RY(seen) 0"]
    assert observables == (z0,)


def test_an_input_used_twice_keeps_both_places():
    x = input_symbol("x")
    compiled = compile_circuit(Circuit(1).rx(x, 0).ry(parameter("a"), 0).rx(0.5 * x + parameter("b"), 0))
    assert np.count_nonzero(compiled.input_matrix) == 2
    assert set(compiled.input_matrix[:, 0]) == {0.0, 0.5, 1.0}


@pytest.mark.parametrize("n_qubits", [1, 4, 11])
def test_stages_are_rotations_of_independent_qubits(n_qubits):
    for stage in compile_circuit(qd_llm(n_qubits, 3)).stages:
        if isinstance(stage, Local):
            overlaps = [
                [(x & z).bit_count() % 2 for _, z, _ in stage.rotations] for x, _, _ in stage.rotations
            ]
            np.testing.assert_array_equal(overlaps, np.eye(len(overlaps)))
        else:
            assert isinstance(stage, Diagonal)
            assert all(mask for mask, _ in stage.terms)


def test_linear_maps_of_bits():
    columns = (0b011, 0b010, 0b111)
    inverse = gf2.invert(columns)
    for vector in range(8):
        assert gf2.apply(inverse, gf2.apply(columns, vector)) == vector
        assert gf2.table(columns)[vector] == gf2.apply(columns, vector)
        for mask in range(8):
            parity = (gf2.apply(columns, vector) & mask).bit_count() % 2
            assert (vector & gf2.transpose_apply(columns, mask)).bit_count() % 2 == parity
