"""Every control learns, from the same rows and labels, and is what its name says."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors import safe_open
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from qdllm.circuits import make_ansatz
from qdllm.compare import Lesson, Rows, controls, fit_logistic_regression
from qdllm.compare.linear import fit_softmax, targets_of
from qdllm.errors import DataError, TooLargeError
from qdllm.student import Student

from .contenders import make_task

SMALL = {
    "n_qubits": 3,
    "n_layers": 1,
    "epochs": 30,
    "dropout": 0.0,
    "weight_decay": 0.01,
    "learning_rate": 0.03,
}
NAMES = [contender.name for contender in controls(SMALL)]
TRAINED = ["student", "paper", "frozen-circuit", "no-entanglement", "no-circuit", "no-teacher", "mlp"]


def control(name, parameters=SMALL):
    return {contender.name: contender for contender in controls(parameters)}[name]


def fit(name, lesson, seed=0, place=0):
    contender = control(name)
    return contender.fit(lesson, contender.settings(place + 1)[place], seed)


@pytest.fixture(scope="module")
def task():
    return make_task(n=180, classes=("a", "b", "c"))


@pytest.mark.parametrize("place", [0, 1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_it_learns_with_every_setting_and_gives_probabilities(task, name, place):
    proba = fit(name, task.lesson, place=place).predict_proba(task.take("test").inputs)
    assert proba.shape == (30, 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-6)
    assert (proba.argmax(axis=1) == task.truth[task.part == "test"]).mean() > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_model(task, name):
    inputs = task.take("test").inputs
    first, again = (fit(name, task.lesson).predict_proba(inputs) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    if name in (*TRAINED, "random-fourier"):
        assert not np.array_equal(fit(name, task.lesson, seed=1).predict_proba(inputs), first)


def without_labels(task):
    return Lesson(
        task.classes,
        *(
            Rows(rows.texts, rows.x, np.full(len(rows), -1), rows.soft)
            for rows in (task.lesson.train, task.lesson.validation)
        ),
    )


@pytest.mark.parametrize("name", [name for name in NAMES if name != "no-teacher"])
def test_it_learns_from_the_teacher_where_no_label_is_visible(task, name):
    proba = fit(name, without_labels(task)).predict_proba(task.take("test").inputs)
    assert (proba.argmax(axis=1) == task.truth[task.part == "test"]).mean() > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_without_a_teacher(name):
    task = make_task(n=360, soft=False)
    proba = fit(name, task.lesson).predict_proba(task.take("test").inputs)
    assert (proba.argmax(axis=1) == task.truth[task.part == "test"]).mean() > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_all_numbers_are_counted_and_saved(task, name, tmp_path):
    fitted = fit(name, task.lesson)
    fitted.save(tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        saved = sum(file.get_tensor(key).size for key in file.keys())  # noqa: SIM118
    beside = {"svm": 1 + len(task.classes)}.get(name, 0)  # temperature, support vectors of each class
    assert saved == fitted.n_parameters + beside
    assert 0 < fitted.n_trained <= fitted.n_parameters


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_as_many_as_the_budget_all_different_and_plain(name):
    settings = control(name).settings(4)
    assert len({json.dumps(setting, sort_keys=True) for setting in settings}) == 4
    assert control(name).settings(2) == settings[:2]
    assert pickle.loads(pickle.dumps(control(name))).identity == control(name).identity


def test_the_first_setting_is_the_student_as_it_was_configured():
    first = control("student", {**SMALL, "encoding": "tanh"}).settings(1)[0]
    assert first == {"encoding": "tanh", "dropout": 0.0, "weight_decay": 0.01, "alpha": 0.5}


def test_the_student_is_the_student(task):
    """The contender gives what `Student.fit` gives on the same rows."""
    lesson, inputs = task.lesson, task.take("test").inputs
    both = (lesson.train, lesson.validation)
    student = Student(**SMALL, seed=3).fit(
        np.concatenate([rows.x for rows in both]),
        np.concatenate([rows.y for rows in both]),
        soft_labels=np.concatenate([rows.soft for rows in both]),
        validation=np.repeat([False, True], [len(rows) for rows in both]),
    )
    np.testing.assert_array_equal(
        fit("student", lesson, seed=3).predict_proba(inputs), student.predict_proba(inputs.x)
    )


def test_without_entanglement_all_else_stays(task):
    options = {**SMALL, "noise": {"shots": 8}, "phases": 0.5}
    contenders = [control(name, options) for name in ("student", "no-entanglement")]
    found = [one.fit(task.lesson, one.settings(1)[0], seed=0).student for one in contenders]
    assert found[0].get_params() == found[1].get_params()
    assert found[0].model_.noise.extra_repr() == found[1].model_.noise.extra_repr() != ""
    assert (found[1].model_.projection.bias != 0).all()


def test_without_entanglement_no_gate_acts_on_two_qubits(task):
    model = fit("no-entanglement", task.lesson).student.model_
    whole = make_ansatz("qd_llm", 3, 1)
    assert {len(gate.qubits) for gate in model.circuit.gates} == {1}
    assert len(model.circuit.gates) == sum(len(gate.qubits) == 1 for gate in whole.gates)
    x = torch.zeros(2, 3, dtype=torch.float64)
    x[1, 0] = 1.0  # one angle moves: without entanglement only its own qubit feels it
    with torch.no_grad():
        z = model.simulator(x, model.theta)
    moved = (z[0] - z[1]).abs() > 1e-12
    assert moved.sum() <= 1


def test_a_frozen_circuit_keeps_its_random_angles(task):
    fitted, other = fit("frozen-circuit", task.lesson, seed=1), fit("frozen-circuit", task.lesson, seed=2)
    theta = fitted.student.model_.theta
    start = fitted.student._make_model(3, 3).theta
    np.testing.assert_array_equal(theta.detach().float(), start.detach())
    assert not torch.equal(theta, other.student.model_.theta)
    assert theta.abs().max() > 1.0  # far from where the student's own angles begin
    assert fitted.n_parameters - fitted.n_trained == theta.numel()


def test_the_papers_design_is_fixed_whatever_the_student_is():
    for parameters in (SMALL, {"ansatz": "tree", "encoding": "tanh", "readout": "zz"}):
        student = control("paper", parameters)
        made = student.estimator(**{**student.parameters, **student.settings(1)[0]})
        assert (made.ansatz, made.n_qubits, made.n_layers) == ("qd_llm", 11, 2)
        assert (made.encoding, made.readout) == ("minmax", "z")
        assert made.learning_rate == parameters.get("learning_rate", Student().learning_rate)


def test_without_its_teacher_the_student_learns_from_visible_labels_alone(task):
    with pytest.raises(DataError, match="no training row has a visible label"):
        fit("no-teacher", without_labels(task))
    few = [
        Rows(rows.texts, rows.x, np.where(np.arange(len(rows)) < n, rows.y, -1), rows.soft)
        for rows, n in ((task.lesson.train, 30), (task.lesson.validation, 0))
    ]
    inputs = task.take("test").inputs
    proba = fit("no-teacher", Lesson(task.classes, *few)).predict_proba(inputs)
    labels = few[0].take(np.arange(30))
    student = Student(**{**SMALL, "alpha": 0.0}).fit(
        np.concatenate([labels.x] * 2), np.tile(labels.y, 2), validation=np.repeat([False, True], 30)
    )
    np.testing.assert_array_equal(proba, student.predict_proba(inputs.x))


def test_without_its_circuit_the_readout_takes_the_angles(task):
    model = fit("no-circuit", task.lesson).student.model_
    x = torch.as_tensor(task.take("test").x, dtype=torch.float64)
    with torch.no_grad():
        angles = torch.pi / 2 + model.projection(x)
        np.testing.assert_allclose(model(x), model.readout(angles))


@pytest.mark.parametrize("parameters", [SMALL, {}, {"n_qubits": 5, "n_layers": 3, "readout": "zz"}])
@pytest.mark.parametrize(("n_features", "n_classes"), [(3, 2), (384, 5)])
def test_the_mlp_has_the_fewest_units_that_give_as_many_parameters(parameters, n_features, n_classes):
    def count(name):
        contender = control(name, parameters)
        student = contender.estimator(**{**parameters, "encoding": contender.settings(1)[0]["encoding"]})
        return sum(p.numel() for p in student._make_model(n_features, n_classes).parameters())

    one_unit = n_features + 1 + n_classes
    assert count("student") <= count("mlp") < count("student") + one_unit


def test_softmax_regression_is_scikit_learns_on_gold_labels(task):
    rows = task.lesson.train
    _, targets = targets_of(rows, "gold", 3)
    ours = fit_softmax(rows.x.astype(float), targets, 0.1)
    theirs = LogisticRegression(C=0.1, tol=1e-8).fit(rows.x, rows.y)
    np.testing.assert_allclose(ours[:-1].T, theirs.coef_, atol=2e-3)
    np.testing.assert_allclose(
        ours[-1] - ours[-1].mean(), theirs.intercept_ - theirs.intercept_.mean(), atol=2e-3
    )


def test_softmax_regression_on_probabilities_is_scikit_learns_on_weighted_copies(task):
    rows = task.lesson.train
    soft = np.random.default_rng(0).dirichlet(np.ones(3), len(rows))
    ours = fit_softmax(rows.x.astype(float), soft, 0.1)
    copies = LogisticRegression(C=0.1, tol=1e-8).fit(
        np.repeat(rows.x, 3, axis=0), np.tile(np.arange(3), len(rows)), sample_weight=soft.ravel()
    )
    np.testing.assert_allclose(ours[:-1].T, copies.coef_, atol=2e-3)


def test_the_machine_chooses_as_scikit_learns_does(task):
    rows, inputs = task.lesson.train, task.take("test").inputs
    mean, scale = rows.x.mean(axis=0), rows.x.std(axis=0)
    theirs = SVC(C=1.0).fit((rows.x - mean) / scale, rows.y)
    chosen = fit("svm", task.lesson).predict_proba(inputs).argmax(axis=1)
    assert (chosen == theirs.predict((inputs.x - mean) / scale)).mean() == 1.0


def test_random_features_come_near_the_kernel_that_they_sample(task):
    cosines = fit("random-fourier", task.lesson).cosines
    x = task.take("test").x
    gamma = control("random-fourier").settings(1)[0]["gamma"] / 3
    scaled = x / task.lesson.train.x.std(axis=0)
    distance = ((scaled[:, None] - scaled[None]) ** 2).sum(axis=2)
    sampled = cosines(x) @ cosines(x).T / 1024
    assert np.abs(sampled - np.exp(-gamma * distance)).max() < 0.2


def test_targets():
    rows = Rows(
        ("a", "b", "c"), np.zeros((3, 1), np.float32), np.array([0, 1, -1]), np.array([[0.6, 0.4]] * 3)
    )
    usable, targets = targets_of(rows, "gold", 2)
    assert usable.tolist() == [0, 1]
    assert targets.tolist() == [[1, 0], [0, 1]]
    assert targets_of(rows, "gold", 2, others=True)[1].tolist() == [[1, 0], [0, 1], [0.6, 0.4]]
    np.testing.assert_allclose(targets_of(rows, "both", 2)[1], [[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    assert targets_of(rows, "teacher", 2)[1].tolist() == [[0.6, 0.4]] * 3


@pytest.mark.parametrize("name", ["svm", "random-fourier", "logistic-regression"])
def test_a_class_without_a_row_is_said(name):
    task = make_task(soft=False)
    train = task.lesson.train
    one_class = Rows(train.texts, train.x, np.where(train.y == 1, -1, train.y))
    with pytest.raises(DataError, match="no training row"):
        fit(name, Lesson(task.classes, one_class, task.lesson.validation))


def test_a_class_with_one_row_needs_no_cross_validation():
    X = np.array([[0.0, 1.0], [0.1, 0.9], [1.0, 0.0]])
    y = np.array(["a", "a", "b"])
    model = fit_logistic_regression(X, y, np.zeros(3, dtype=bool))
    assert model.predict_proba(X)[:, 1].argmax() == 2


def test_the_paper_keeps_its_own_optimiser():
    kept = control("paper", {**SMALL, "epsilon": 0.01, "phases": 1.0, "noise": {"shots": 8}}).parameters
    assert (kept["epsilon"], kept["phases"], kept["noise"], kept["dropout"]) == (1e-8, 0.0, None, 0.4)


def test_without_its_teacher_it_is_also_trained_as_by_default():
    changed = {**SMALL, "epsilon": 0.01, "phases": 1.0, "dropout": 0.0, "weight_decay": 1.5}
    first, second = control("no-teacher", changed).settings(2)
    assert first == {"encoding": "linear", "dropout": 0.0, "weight_decay": 1.5, "alpha": 0.0}
    usual = {"epsilon": 1e-8, "phases": 0.0, "dropout": 0.4, "weight_decay": 3.0}
    assert second == {**first, **usual}
    assert all(Student().get_params()[name] == value for name, value in usual.items())
    plain = control("no-teacher", {"n_qubits": 3}).settings(2)
    assert plain[1] == {"encoding": "linear", "dropout": 0.2, "weight_decay": 0.1, "alpha": 0.0}


def test_a_kernel_matrix_that_does_not_fit_is_refused(task, monkeypatch):
    n = len(task.lesson.train)
    monkeypatch.setattr("qdllm.compare.linear.available_memory", lambda: 8 * n * n)
    fit("svm", task.lesson)
    monkeypatch.setattr("qdllm.compare.linear.available_memory", lambda: 8 * n * n - 1)
    with pytest.raises(TooLargeError, match=f"the kernel matrix of {n} rows needs"):
        fit("svm", task.lesson)
    fit("svm", task.lesson, place=1)  # a linear one needs no matrix
