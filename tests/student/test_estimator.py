import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris, make_moons
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

from qdllm import Student
from qdllm.errors import CircuitError, ConfigError, DataError, TooLargeError

SMALL = {"n_qubits": 3, "epochs": 15, "learning_rate": 0.03}


@pytest.fixture(scope="module")
def moons():
    return make_moons(300, noise=0.15, random_state=0)


def test_student_passes_scikit_learns_checks():
    with warnings.catch_warnings():
        # Casts of NaN inside scikit-learn's own checks; a skipped check is one for another array library.
        warnings.simplefilter("ignore")
        student = Student(n_qubits=4, epochs=30, learning_rate=0.03, weight_decay=0.1, dropout=0.0)
        results = check_estimator(student, on_fail=None, on_skip=None)
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert not failed
    assert sum(r["status"] == "passed" for r in results) > 40


def test_the_circuit_learns_what_a_linear_model_cannot(moons):
    X, y = moons
    student = Student(n_qubits=4, epochs=60, learning_rate=0.05, dropout=0.0, weight_decay=0.0).fit(X, y)
    assert student.score(X, y) > 0.93


def test_probabilities_are_softmax_of_logits_and_sum_to_one():
    X, y = load_iris(return_X_y=True)
    student = Student(**SMALL).fit(X, y)
    proba = student.predict_proba(X)
    assert proba.shape == (150, 3)
    assert np.allclose(proba.sum(axis=1), 1)
    expected = torch.softmax(torch.as_tensor(student.decision_logits(X)), dim=1)
    assert np.allclose(proba, expected.numpy())
    assert (student.predict(X) == student.classes_[proba.argmax(axis=1)]).all()


def test_one_seed_one_student(moons):
    X, y = moons
    first, second = (Student(**SMALL, seed=5).fit(X, y).predict_proba(X) for _ in range(2))
    other = Student(**SMALL, seed=6).fit(X, y).predict_proba(X)
    assert np.array_equal(first, second)
    assert not np.allclose(first, other)


def test_scaling_of_features_does_not_matter(moons):
    X, y = moons
    plain = Student(**SMALL).fit(X, y).predict_proba(X)
    scaled = Student(**SMALL).fit(X * 1000 + 5, y).predict_proba(X * 1000 + 5)
    assert np.abs(plain - scaled).max() < 1e-2


def test_circuit_decay_pulls_the_angles_of_the_circuit_to_zero_and_nothing_else(moons):
    X, y = moons
    free, pulled = (Student(**SMALL, circuit_decay=decay).fit(X, y) for decay in (0.0, 10.0))
    size = [student.model_.theta.pow(2).mean().sqrt().item() for student in (free, pulled)]
    assert size[1] < size[0] / 3
    weights = [student.model_.readout.weight.abs().mean().item() for student in (free, pulled)]
    assert weights[1] > weights[0] / 2
    assert pulled.score(X, y) > 0.8


def test_phases_let_a_qubit_tell_the_middle_from_both_ends():
    X = np.linspace(-1, 1, 200)[:, None]
    y = np.abs(X[:, 0]) < 0.5
    options = {"n_qubits": 1, "n_layers": 1, "ansatz": "hardware_efficient", "dropout": 0.0, "batch_size": 16}
    plain, spread = (
        Student(**options, learning_rate=0.003, epochs=8, weight_decay=0.0, phases=phases).fit(X, y)
        for phases in (0.0, np.pi)
    )
    z = [student.model_.angles(torch.zeros(1, 1, dtype=torch.float64)).item() for student in (plain, spread)]
    assert abs(z[0] - np.pi / 2) < 0.3 < abs(z[1] - np.pi / 2)


def test_with_a_large_epsilon_steps_are_proportional_to_gradients(moons):
    X, y = moons
    apart = np.column_stack([X, 1e-3 * np.random.default_rng(5).standard_normal(len(X))])
    options = {**SMALL, "weight_decay": 0.0, "dropout": 0.0, "learning_rate": 0.01}
    moved = []
    for epsilon in (1e-8, 10.0):
        students = [
            Student(**{**options, "epochs": epochs, "epsilon": epsilon}).fit(apart, y) for epochs in (1, 15)
        ]
        change = students[1].model_.projection.weight - students[0].model_.projection.weight
        scale = torch.as_tensor(apart.std(axis=0))  # the steps were made on scaled features
        moved.append((change * scale).abs().mean(dim=0).detach().numpy())
    alike, proportional = (columns.max() / columns.min() for columns in moved)
    assert proportional > 2 * alike


def test_it_learns_from_the_teacher_alone(moons):
    X, y = moons
    soft = np.where(y[:, None] == [0, 1], 0.9, 0.1)
    student = Student(n_qubits=4, epochs=60, learning_rate=0.05, dropout=0.0, weight_decay=0.0)
    student.fit(X, soft_labels=soft, classes=["lower", "upper"])
    assert student.classes_.tolist() == ["lower", "upper"]
    assert ((student.predict(X) == "upper") == (y == 1)).mean() > 0.93


def test_hidden_labels_are_not_used(moons):
    X, y = moons
    labelled = np.arange(len(y)) % 3 == 0
    soft = np.where(y[:, None] == [0, 1], 0.8, 0.2)
    garbage = np.where(labelled, y, 1 - y)
    fits = [
        Student(**SMALL).fit(X, labels, soft_labels=soft, labelled=labelled).predict_proba(X)
        for labels in (y, garbage)
    ]
    assert np.array_equal(*fits)


def test_validation_rows_are_not_learned_from(moons):
    X, y = moons
    validation = np.arange(len(y)) % 4 == 0
    one_epoch = {**SMALL, "epochs": 1}
    changed = X.copy()
    changed[validation] *= -3
    fits = [
        Student(**one_epoch).fit(rows, y, validation=validation).predict_proba(X) for rows in (X, changed)
    ]
    assert np.array_equal(*fits)


@pytest.mark.parametrize(("rounds", "stopped_in"), [(0, 7), (1, 22)])
def test_an_interrupted_fit_goes_on_bit_for_bit(moons, tmp_path, monkeypatch, rounds, stopped_in):
    X, y = moons
    patient = {**SMALL, "patience": 15, "self_training": rounds}
    straight = Student(**patient).fit(X, y)
    from qdllm.distill import training

    calls, original = [], training._run_epoch

    def stop(*args):
        calls.append(1)
        if len(calls) == stopped_in:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(training, "_run_epoch", stop)
    with pytest.raises(KeyboardInterrupt):
        Student(**patient).fit(X, y, checkpoint=tmp_path / "c")
    before = len(calls)
    resumed = Student(**patient).fit(X, y, checkpoint=tmp_path / "c")
    assert len(calls) - before == 15 * (rounds + 1) - stopped_in + 1
    assert np.array_equal(resumed.predict_proba(X), straight.predict_proba(X))


def test_a_round_of_self_training_learns_from_the_students_own_squared_probabilities(moons):
    X, y = moons
    lesson = {
        "labelled": np.arange(len(y)) < 20,
        "validation": np.arange(len(y)) % 5 == 4,
        "soft_labels": np.where(y[:, None] == [0, 1], 0.6, 0.4),
    }
    first = Student(**SMALL).fit(X, y, **lesson)
    own = first.predict_proba(X) ** 2
    second = Student(**SMALL).fit(X, y, **{**lesson, "soft_labels": own / own.sum(axis=1, keepdims=True)})
    both = Student(**SMALL, self_training=1).fit(X, y, **lesson)
    assert np.allclose(both.predict_proba(X), second.predict_proba(X), atol=1e-4)
    assert not np.allclose(both.predict_proba(X), first.predict_proba(X), atol=1e-2)


@pytest.mark.parametrize("change", [{"n_qubits": 4}, {"n_layers": 2}, {"encoding": "tanh"}])
def test_a_checkpoint_of_another_student_is_not_continued(moons, tmp_path, change):
    X, y = moons
    small = {**SMALL, "epochs": 2}
    Student(**small).fit(X, y, checkpoint=tmp_path / "c")
    other = Student(**{**small, **change}).fit(X, y, checkpoint=tmp_path / "c")
    fresh = Student(**{**small, **change}).fit(X, y)
    assert np.array_equal(other.predict_proba(X), fresh.predict_proba(X))


def test_it_can_be_cloned_and_grid_searched():
    X, y = load_iris(return_X_y=True)
    search = GridSearchCV(Student(n_qubits=2, epochs=8), {"encoding": ["linear", "minmax", "tanh"]}, cv=2)
    search.fit(X, y)
    assert len(search.cv_results_["params"]) == 3
    assert clone(Student(alpha=0.25)).alpha == 0.25


def test_parameter_counts_of_the_papers_student():
    X = np.random.default_rng(0).normal(size=(40, 768))
    student = Student(epochs=1).fit(X, np.arange(40) % 2)
    assert student.parameter_counts() == {
        "projection": 8459,
        "circuit": 144,
        "readout": 24,
        "trained": 8627,
    }


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"alpha": 1.5}, ConfigError, "alpha"),
        ({"temperature": 0.0}, ConfigError, "temperature"),
        ({"epochs": 0}, ConfigError, "epochs"),
        ({"encoding": "amplitude"}, ConfigError, "encoding"),
        ({"n_qubits": 0}, CircuitError, "qubit"),
        ({"n_qubits": 40}, TooLargeError, "40 qubits"),
        ({"validation_fraction": 1.0}, ConfigError, "validation_fraction"),
        ({"self_training": -1}, ConfigError, "self_training"),
        ({"phases": -0.1}, ConfigError, "phases"),
        ({"epsilon": 0.0}, ConfigError, "epsilon"),
        ({"circuit_decay": -1.0}, ConfigError, "circuit_decay"),
    ],
)
def test_parameters_out_of_range_are_refused(moons, wrong, error, says):
    with pytest.raises(error, match=says):
        Student(**wrong).fit(*moons)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda k: k | {"y": np.zeros(300)}, "only one class"),
        (lambda k: k | {"y": k["y"][:-1]}, "y has shape"),
        (lambda k: k | {"y": None}, "requires y"),
        (lambda k: k | {"soft_labels": np.full((300, 2), 0.6)}, "row 1.*sum to 1"),
        (lambda k: k | {"soft_labels": np.full((300, 3), 1 / 3)}, "soft_labels has shape"),
        (lambda k: k | {"soft_labels": np.full((300, 2), np.nan)}, "row 1"),
        (lambda k: k | {"labelled": np.ones(300)}, "labelled must be 300 booleans"),
        (lambda k: k | {"validation": np.ones(300, dtype=bool)}, "validation holds every row"),
        (lambda k: k | {"classes": [0, 2]}, "is not one of the classes"),
        (lambda k: k | {"classes": [1, 0]}, "must be sorted"),
        (lambda k: {"y": None, "soft_labels": np.ones((300, 1))}, "only one class"),
    ],
)
def test_data_that_does_not_fit_is_refused(moons, change, says):
    X, y = moons
    with pytest.raises(DataError, match=says):
        Student(**SMALL).fit(X, **change({"y": y}))


def test_features_that_are_not_finite_are_refused(moons):
    X, y = moons[0].copy(), moons[1]
    X[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        Student(**SMALL).fit(X, y)


@pytest.mark.parametrize(("n_qubits", "expected"), [(3, 1), (14, 2)])
def test_small_circuits_are_trained_with_one_thread(monkeypatch, n_qubits, expected):
    seen = []
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        student = Student(n_qubits=n_qubits, n_layers=1, epochs=1)
        student.fit(
            np.random.default_rng(0).normal(size=(12, 3)),
            np.arange(12) % 2,
            after_epoch=lambda _: seen.append(torch.get_num_threads()),
        )
        assert seen == [expected]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
