import json

import numpy as np
import pytest

from qdllm import Student
from qdllm.circuits import qd_llm
from qdllm.errors import ConfigError
from qdllm.pipeline import describe_circuit, inspect_circuit, save_drawing


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 5))
    student = Student(n_qubits=3, n_layers=1, ansatz="tree", readout="zz", epochs=2)
    folder = tmp_path_factory.mktemp("saved") / "student"
    student.fit(x, x[:, 0] > 0).save_pretrained(folder)
    return folder


def test_the_papers_circuit_is_known_by_name():
    circuit, report = inspect_circuit("qd_llm")
    assert circuit == qd_llm()
    assert (report["n_parameters"], report["n_effective"], len(report["dead"])) == (144, 47, 36)
    text = describe_circuit(report)
    assert "144 named parameters: 47 effective, 36 dead" in text
    assert "one sum: l0_a0 + l0_b0 + l0_c0" in text
    json.dumps(report)


def test_a_wide_circuit_says_on_which_cones_it_runs():
    _, report = inspect_circuit("brick", 40, 2)
    assert "light cones of at most" in report["engine"]


def test_a_saved_student_is_inspected_with_what_it_reads(saved):
    circuit, report = inspect_circuit(str(saved))
    assert (circuit.name, circuit.n_qubits) == ("tree", 3)
    assert report["summary"].endswith("readout (6)")
    with pytest.raises(ConfigError, match="leave out --qubits"):
        inspect_circuit(str(saved), n_qubits=4)


def test_what_is_neither_is_refused():
    with pytest.raises(ConfigError, match="neither a folder nor an ansatz; these are known: brick"):
        inspect_circuit("nothing")


@pytest.mark.parametrize(("name", "start"), [("a.svg", b"<?xml"), ("a.png", b"\x89PNG"), ("a.txt", b"q0: ")])
def test_a_drawing_is_saved(tmp_path, name, start):
    if not name.endswith(".txt"):
        pytest.importorskip("matplotlib")
    save_drawing(qd_llm(3, 1), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
