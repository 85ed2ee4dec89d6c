import dataclasses

import numpy as np
import pytest

from qdllm.circuits import GATES, Angle, Circuit, Gate, Symbol, input_symbol, parameter
from qdllm.errors import CircuitError


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gate("FOO", (0,)), "unknown gate 'FOO'"),
        (lambda: Gate("CNOT", (1, 1)), "repeated"),
        (lambda: Gate("CNOT", (1,)), "acts on 2"),
        (lambda: Gate("X", (-1,)), "at least 0"),
        (lambda: Gate("X", (0.5,)), "integer"),
        (lambda: Gate("RX", (0,)), "takes 1 angle"),
        (lambda: Gate("H", (0,), (1.0,)), "takes 0 angle"),
        (lambda: Gate("RX", (0,), (float("nan"),)), "finite"),
        (lambda: Gate("RX", (0,), (float("inf"),)), "finite"),
        (lambda: Gate("RX", (0,), ("a",)), "must be a number"),
        (lambda: Circuit(0), "at least 1"),
        (lambda: Circuit(2.0), "whole number"),
        (lambda: Circuit(2, [Gate("X", (2,))]), "gate 0"),
        (lambda: Circuit(2, ["X"]), "expected a Gate"),
        (lambda: Circuit(2) + Circuit(3), "cannot join"),
        (lambda: Circuit(1).rx(input_symbol("a"), 0).ry(parameter("a"), 0), "both"),
        (lambda: parameter("a b"), "letters"),
        (lambda: Angle(0.0, ((Symbol("a"), 1.0), (Symbol("a"), 2.0))), "twice"),
        (lambda: Circuit(1).rx(parameter("a"), 0).bind(parameters=[1.0, 2.0]), "1 parameters, got 2"),
        (lambda: Circuit(1).rx(parameter("a"), 0).bind(inputs={"a": 1.0}), "no input 'a'"),
        (lambda: Circuit(1).rx(parameter("a"), 0).bind(parameters=[float("nan")]), "finite"),
    ],
)
def test_bad_requests_are_refused(make, message):
    with pytest.raises(CircuitError, match=message):
        make()


def test_names_come_in_order_of_first_appearance():
    a, b, x, y = parameter("a"), parameter("b"), input_symbol("x"), input_symbol("y")
    circuit = Circuit(2).ry(b + y, 0).rzz(a - x, 0, 1).rx(b + 1, 1).u3(x, parameter("c"), a, 0)
    assert circuit.parameter_names == ("b", "a", "c")
    assert circuit.input_names == ("y", "x")
    assert (circuit.n_inputs, circuit.n_parameters) == (2, 3)


def test_binding_gives_numbers_and_leaves_the_rest():
    circuit = Circuit(1).rx(2 * parameter("a") + input_symbol("x") - 1, 0)
    assert circuit.bind(parameters={"a": 3.0}).gates[0].angles[0] == input_symbol("x") + 5
    assert circuit.bind(np.array([0.5]), np.array([3.0])).gates[0].angles[0] == Angle(5.5)
    assert circuit.parameter_names == ("a",)


def test_angles_add_up():
    a, b = parameter("a"), parameter("b")
    angle = (2 * a - b + 1) / 2 + (b - 0.25) * 0.5
    assert angle == Angle(0.375, ((Symbol("a"), 1.0),))
    assert str(1 - a) == "-a + 1"
    assert str(Angle()) == "0"
    assert (a - a) == Angle()


def test_every_gate_has_a_builder_and_circuits_are_immutable():
    circuit = Circuit(2)
    for name, (n_qubits, n_angles) in GATES.items():
        circuit = getattr(circuit, name.lower())(*[0.5] * n_angles, *range(n_qubits))
    assert [gate.name for gate in circuit.gates] == list(GATES)
    assert hash(circuit) == hash(Circuit(2) + circuit)
    with pytest.raises(dataclasses.FrozenInstanceError):
        circuit.n_qubits = 3


def test_text_drawing():
    circuit = Circuit(3).h(0).cnot(0, 2).rzz(parameter("t"), 0, 1).swap(1, 2).cz(2, 1)
    assert circuit.draw() == "\n".join(
        [
            "q0: ─H─●─RZZ(t)─────",
            "       │ │",
            "q1: ───┼─RZZ(t)─x─●─",
            "       │        │ │",
            "q2: ───X────────x─●─",
        ]
    )
    assert [line for line in circuit.draw(width=14).splitlines() if line.startswith("q0")] == [
        "q0: ─H─●─",
        "q0: ─RZZ(t)───",
        "q0: ───",
    ]
    assert Circuit(2).draw() == "q0: ─\n\nq1: ─"


def test_matplotlib_drawing(tmp_path):
    pytest.importorskip("matplotlib")
    figure = Circuit(3).h(0).cnot(0, 2).rzz(parameter("t"), 0, 1).draw_mpl()
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("RZZ\n(t)") == 2
    assert texts[:3] == ["q0", "q1", "q2"]
    figure.savefig(tmp_path / "circuit.png")
