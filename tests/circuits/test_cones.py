import pytest

from qdllm.circuits import (
    Circuit,
    each_z,
    gf2,
    input_symbol,
    light_cones,
    parameter,
    parse_observables,
    qd_llm,
)


def brick(n_qubits, n_layers):
    circuit = Circuit(n_qubits)
    for q in range(n_qubits):
        circuit = circuit.ry(input_symbol(f"x_{q}"), q)
    for layer in range(n_layers):
        for first in range(layer % 2, n_qubits - 1, 2):
            circuit = circuit.cz(first, first + 1)
        for q in range(n_qubits):
            circuit = circuit.ry(parameter(f"a{layer}_{q}"), q)
    return circuit


def test_a_small_circuit_is_one_cone():
    (cone,) = light_cones(qd_llm())
    assert (cone.columns, cone.compiled.n_qubits) == (tuple(range(11)), 11)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_a_wide_shallow_circuit_is_many_small_cones(n_layers):
    cones = light_cones(brick(60, n_layers))
    assert len(cones) > 2
    assert max(cone.compiled.n_qubits for cone in cones) <= 16
    assert sorted({column for cone in cones for column in cone.columns}) == list(range(60))


def test_unseen_qubits_cost_nothing():
    (cone,) = light_cones(qd_llm(30, 1) + Circuit(30), parse_observables(["I" * 29 + "Z"], 30))
    assert cone.compiled.n_qubits <= 4


def test_a_linear_map_makes_no_cone_wider():
    spread = Circuit(50).ry(parameter("a"), 0)
    for q in range(49):
        spread = spread.cnot(q, q + 1)
    (cone,) = light_cones(spread)
    assert cone.compiled.n_qubits == 1
    assert cone.columns == tuple(range(50))


def test_a_long_sum_is_taken_apart():
    n = 40
    energy = [{"I" * q + "ZZ" + "I" * (n - 2 - q): 1.0 for q in range(n - 1)}]
    cones = light_cones(brick(n, 2), parse_observables(energy, n))
    assert len(cones) > 2
    assert {cone.columns for cone in cones} == {(0,)}
    terms = sum(len(cone.compiled.observables[0]) for cone in cones)
    assert terms == n - 1


def test_a_string_that_leads_out_of_the_span_is_zero():
    (cone,) = light_cones(Circuit(2).ry(parameter("a"), 0), parse_observables(["XZ", "ZX"], 2))
    assert [len(observable) for observable in cone.compiled.observables] == [0, 1]


def test_coordinates_add_up_to_the_vector():
    basis = [0b0110, 0b0011, 0b1000]
    for vector in range(16):
        mask = gf2.coordinates(basis, vector)
        if mask is None:
            assert vector.bit_count() % 2 != (vector >> 3 & 1)
        else:
            assert gf2.apply(basis, mask) == vector


def test_every_observable_of_the_papers_circuit_is_kept():
    (cone,) = light_cones(qd_llm(5, 1), each_z(5))
    assert len(cone.compiled.observables) == 5
