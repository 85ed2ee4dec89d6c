import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_iris

from qdllm import Student
from qdllm.errors import SavedModelError
from qdllm.student import Provenance

X, Y = load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def student():
    names = np.array(["setosa", "versicolor", "virginica"])
    return Student(n_qubits=3, epochs=5).fit(X, names[Y])


@pytest.fixture
def saved(student, tmp_path):
    folder = tmp_path / "student"
    student.save_pretrained(folder, provenance=Provenance(data="iris", metrics={"accuracy": 0.9}))
    return folder


def test_it_predicts_the_same_in_a_fresh_process_without_transformers(student, saved, tmp_path):
    script = f"""
import sys
sys.modules["transformers"] = None
import numpy as np
from sklearn.datasets import load_iris
from qdllm import Student
loaded = Student.from_pretrained({str(saved)!r})
np.save({str(tmp_path / "p.npy")!r}, loaded.predict_proba(load_iris().data))
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    assert np.array_equal(np.load(tmp_path / "p.npy"), student.predict_proba(X))


@pytest.mark.parametrize(("ansatz", "readout"), [("reuploading", "z"), ("tree", "zz"), ("brick", "strings")])
def test_other_circuits_and_readouts_survive(ansatz, readout, tmp_path):
    original = Student(n_qubits=4, ansatz=ansatz, readout=readout, epochs=1).fit(X, Y)
    original.save_pretrained(tmp_path / "s")
    loaded = Student.from_pretrained(tmp_path / "s")
    np.testing.assert_allclose(loaded.predict_proba(X), original.predict_proba(X), atol=1e-12)
    n_read = {"z": 4, "zz": 4 + 6, "strings": 15}[readout]
    assert loaded.parameter_counts()["readout"] == 3 * n_read + 3


@pytest.mark.parametrize("labels", [Y, Y == 1, np.array(list("abc"))[Y], Y.astype(float)])
def test_classes_keep_their_type(labels, tmp_path):
    original = Student(n_qubits=2, epochs=1).fit(X, labels)
    original.save_pretrained(tmp_path / "s")
    loaded = Student.from_pretrained(tmp_path / "s")
    assert loaded.classes_.dtype == original.classes_.dtype
    assert (loaded.predict(X) == original.predict(X)).all()


def test_every_parameter_survives(tmp_path):
    original = Student(n_qubits=2, n_layers=1, encoding="tanh", alpha=0.3, epochs=2, seed=7).fit(X, Y)
    original.save_pretrained(tmp_path / "s")
    assert Student.from_pretrained(tmp_path / "s").get_params() == original.get_params()


def test_the_model_card_gives_data_metrics_and_both_parameter_counts(saved, student):
    card = (saved / "README.md").read_text()
    trained = student.parameter_counts()["trained"]
    assert "iris" in card
    assert "| accuracy | 0.9 |" in card
    assert f"| trained | {trained} |" in card
    assert "everything that inference needs" in card


def test_saving_again_replaces_the_folder_as_a_whole(student, saved):
    (saved / "left.over").write_text("x")
    student.save_pretrained(saved)
    assert sorted(p.name for p in saved.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def _truncate(file):
    file.write_bytes(file.read_bytes()[:-20])


def _flip_a_byte(file):
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


def _edit_config(folder, **changes):
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, **changes}))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: _truncate(f / "model.safetensors"), "truncated or altered"),
        (lambda f: _flip_a_byte(f / "model.safetensors"), "truncated or altered"),
        (lambda f: (f / "model.safetensors").unlink(), "missing"),
        (lambda f: _truncate(f / "config.json"), "not valid JSON"),
        (lambda f: (f / "config.json").unlink(), "no saved student"),
        (lambda f: _edit_config(f, classes=["a", "b", "c"]), "altered"),
        (lambda f: _edit_config(f, type="surrogate"), "type"),
        (lambda f: _edit_config(f, schema={"name": "qdllm.student", "version": 99}), "version 99"),
        (lambda f: _edit_config(f, files={"../../etc/passwd": "0"}), "altered"),
    ],
)
def test_damage_is_found_and_said_in_one_line(saved, damage, says):
    damage(saved)
    with pytest.raises(SavedModelError, match=says) as caught:
        Student.from_pretrained(saved)
    assert "\n" not in str(caught.value)
    assert str(saved) in str(caught.value)
