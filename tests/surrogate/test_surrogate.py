import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from qdllm import Student, Surrogate
from qdllm.circuits import ENCODINGS, make_encoding
from qdllm.errors import ConfigError, DataError, SavedModelError
from qdllm.simulate.kernel import instruction_sets
from qdllm.surrogate import SurrogateClassifier, check_surrogate, compile_student
from qdllm.surrogate import surrogate as module
from qdllm.surrogate.evaluation import Evaluator


@pytest.mark.parametrize("options", [{"ansatz": "reuploading"}, {"readout": "zz"}, {"encoding": "tanh"}])
def test_logits_stay_within_the_certificate(make_student, features, options):
    student = make_student(**options)
    for max_error in (0.3, 0.01):
        found = check_surrogate(compile_student(student, max_error), student, features)
        certificate = found.certificate
        assert certificate.met
        assert certificate.max_error <= max_error
        assert 0 < certificate.check.max_error <= certificate.max_error
        error = np.abs(found.decision_logits(features) - student.decision_logits(features)).max(axis=0)
        assert (error <= certificate.errors).all()
        assert certificate.check.certified <= certificate.check.agreement


def test_an_error_that_nothing_keeps_gets_the_closest(make_student, features):
    student = make_student()
    found = compile_student(student, 1e-20)
    assert not found.certificate.met
    assert found.certificate.max_error < 1e-10
    np.testing.assert_allclose(found.decision_logits(features), student.decision_logits(features), atol=1e-11)


@pytest.mark.parametrize("name", ENCODINGS)
def test_encodings_are_those_of_the_circuit(name):
    u = np.random.default_rng(0).normal(size=(20, 5))
    u[3] = 0.7
    for dtype in (np.float32, np.float64):
        given = u.astype(dtype)
        found = module.ENCODINGS[name](given)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, make_encoding(name)(torch.tensor(given)).numpy(), atol=1e-6)


@pytest.mark.parametrize("instruction_set", instruction_sets())
@pytest.mark.parametrize("batch", [1, 7, 40])
def test_the_kernel_computes_what_numpy_does(surrogate, instruction_set, batch):
    angles = np.random.default_rng(0).uniform(-9, 9, size=(batch, surrogate.form.n_variables))
    expected = Evaluator(surrogate.form, "numpy")(angles)
    kernel = Evaluator(surrogate.form, "kernel", instruction_set)
    np.testing.assert_allclose(kernel(angles), expected, atol=1e-13)
    np.testing.assert_allclose(kernel(angles.astype(np.float32)), expected, atol=1e-4)


def test_what_was_saved_is_loaded(surrogate, features, tmp_path):
    surrogate.save_pretrained(tmp_path / "saved")
    again = Surrogate.from_pretrained(tmp_path / "saved")
    assert np.array_equal(again.decision_logits(features), surrogate.decision_logits(features))
    assert np.array_equal(again.predict(features), surrogate.predict(features))
    np.testing.assert_allclose(again.predict_proba(features).sum(axis=1), 1)
    assert again.certificate == surrogate.certificate
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert (config["schema"], config["type"]) == ({"name": "qdllm.surrogate", "version": 1}, "surrogate")


def test_a_saved_surrogate_predicts_with_numpy_alone(surrogate, features, tmp_path):
    surrogate.save_pretrained(tmp_path / "saved")
    np.save(tmp_path / "x.npy", features)
    script = (
        "import sys, numpy as np\n"
        "before = {name.split('.')[0] for name in sys.modules}\n"
        "from qdllm import Surrogate\n"
        "found = Surrogate.from_pretrained('saved').predict(np.load('x.npy'))\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules} - before - sys.stdlib_module_names))\n"
        "print(*found, sep='|')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    packages, found = ran.stdout.splitlines()
    assert set(packages.split()) <= {"qdllm", "nanobind"}
    assert found.split("|") == surrogate.predict(features).tolist()


@pytest.mark.parametrize("name", ["formula.npz", "projection.npz", "config.json"])
def test_a_damaged_folder_is_refused_in_one_line(surrogate, tmp_path, name):
    surrogate.save_pretrained(tmp_path / "saved")
    file = tmp_path / "saved" / name
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(SavedModelError, match=r"truncated or altered"):
        Surrogate.from_pretrained(tmp_path / "saved")
    file.unlink()
    with pytest.raises(SavedModelError, match=r"missing|no saved surrogate"):
        Surrogate.from_pretrained(tmp_path / "saved")


def test_what_cannot_be_compiled_is_refused(make_student):
    with pytest.raises(ConfigError, match="not trained"):
        compile_student(Student())
    student = make_student()
    for wrong in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="above 0"):
            compile_student(student, wrong)
    with torch.no_grad():
        student.model_.theta[0] = float("nan")
    with pytest.raises(ConfigError, match="theta holds a number that is not finite"):
        compile_student(student)


def test_wrong_features_are_refused_in_one_line(surrogate):
    with pytest.raises(DataError, match=r"\(n, 6\) is needed"):
        surrogate.predict(np.zeros((3, 5)))
    with pytest.raises(DataError, match="row 2"):
        surrogate.predict(np.array([[0.0] * 6, [np.nan] * 6]))
    with pytest.raises(DataError, match="must be numbers"):
        surrogate.predict([["a"] * 6])
    with pytest.raises(DataError, match="angles are int64"):
        surrogate.logits(np.zeros((2, len(surrogate.bias)), dtype=int))


def test_the_classifier_is_one_of_scikit_learn(tmp_path):
    from sklearn.base import clone
    from sklearn.datasets import load_iris
    from sklearn.model_selection import GridSearchCV

    x, y = load_iris(return_X_y=True)
    student = Student(n_qubits=3, weight_decay=0.1, dropout=0.0)
    search = GridSearchCV(
        SurrogateClassifier(student), {"student__n_layers": [1], "max_error": [0.1]}, cv=2, refit=True
    )
    best = search.fit(x, y).best_estimator_
    assert best.score(x, y) > 0.8
    best.save_pretrained(tmp_path / "saved")
    again = SurrogateClassifier.from_pretrained(tmp_path / "saved")
    assert np.array_equal(again.predict_proba(x), best.predict_proba(x))
    assert clone(again).max_error == 0.1
