import sqlite3
import sys

import pytest

from qdllm import Student
from qdllm.compare import Lesson
from qdllm.errors import ConfigError, MissingExtraError, TrainingError, WorkError
from qdllm.search import check_search, search, study

from .lessons import CLASSES, LESSON, make_rows

pytest.importorskip("optuna")

FIXED = {"n_qubits": 3, "epochs": 3}
TRIALS = 13  # ten at random, three by the sampler


def _search(path, trials=TRIALS, lesson=LESSON, seed=5, fixed=FIXED, **kwargs):
    return search(lesson, path / "study.db", trials=trials, seed=seed, fixed=fixed, quiet=True, **kwargs)


def _outcome(found):
    return found.candidates, found.front, found.chosen, found.pruned, found.digest


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return _search(tmp_path_factory.mktemp("whole"))


def _break_off_at(monkeypatch, calls, error=KeyboardInterrupt):
    """Let training end in an error, as if the process were killed, at some of its calls."""
    left, train = iter(calls), study.fit_design

    def fit(*arguments):
        if next(left):
            raise error("the loss is no longer finite")
        return train(*arguments)

    monkeypatch.setattr(study, "fit_design", fit)


def test_a_search_trains_as_many_designs_as_asked_and_chooses_of_its_front(whole):
    assert len(whole.candidates) + len(whole.pruned) == TRIALS
    assert whole.chosen in whole.front
    assert all(member in whole.candidates for member in whole.front)
    assert whole.interrupted == 0
    assert whole.n_rows == 60


def test_an_interrupted_search_ends_as_one_that_was_not(whole, tmp_path, monkeypatch):
    for calls in ([1], [0, 0, 0, 1], [0] * 8 + [1]):  # at trials 0, 3 and 11
        _break_off_at(monkeypatch, calls)
        with pytest.raises(KeyboardInterrupt):
            _search(tmp_path)
        monkeypatch.undo()
    again = _search(tmp_path)
    assert _outcome(again) == _outcome(whole)
    assert again.interrupted == 3


def test_a_search_goes_on_to_more_trials_and_repeats_none(whole, tmp_path, monkeypatch):
    first = _search(tmp_path, 4)
    assert first.candidates == tuple(c for c in whole.candidates if c.trial < 4)
    assert _outcome(_search(tmp_path)) == _outcome(whole)
    monkeypatch.setattr(study, "fit_design", None)
    assert _outcome(_search(tmp_path)) == _outcome(_search(tmp_path, 2)) == _outcome(whole)


def test_another_seed_draws_other_designs(whole, tmp_path):
    other = _search(tmp_path, 2, seed=6)
    assert other.candidates[0].design == whole.candidates[0].design  # the student's default
    assert other.candidates[1].design != whole.candidates[1].design


def test_what_diverges_counts_as_a_trial_and_is_not_tried_again(tmp_path, monkeypatch):
    _break_off_at(monkeypatch, [0, 1, 0], TrainingError)
    found = _search(tmp_path, 3)
    assert found.pruned[1] == "the loss is no longer finite"
    assert len(found.candidates) + len(found.pruned) == 3
    _break_off_at(monkeypatch, [1], TrainingError)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(TrainingError, match=r"none of 1 designs could be trained.*no longer finite"):
        _search(other, 1)


def test_a_design_far_behind_a_cheaper_one_is_recorded_as_pruned(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "costs_of", lambda design, *_: (0, 100))
    # Without dropout, α, T and with the default's step, only the encoding is left: minmax is far behind.
    fixed = {**FIXED, "ansatz": "brick", "readout": "z", "n_layers": 1, "learning_rate": 0.03, "epochs": 9}
    found = _search(tmp_path, 8, fixed=fixed)
    assert found.pruned
    assert all("trial" in reason for reason in found.pruned.values())
    assert len(found.candidates) == 8 - len(found.pruned)


def test_time_ends_a_search_and_the_next_call_goes_on(whole, tmp_path):
    assert len(_search(tmp_path, minutes=1e-9).candidates) == 1
    assert _outcome(_search(tmp_path)) == _outcome(whole)


def test_without_labels_accuracy_is_agreement_with_the_teacher(tmp_path):
    taught = Lesson(CLASSES, make_rows(96, 1, labelled=False), make_rows(60, 2, labelled=False))
    found = _search(tmp_path, 1, lesson=taught)
    assert found.n_rows == 60
    assert found.candidates[0].accuracy > 1 / 3


def test_without_a_teacher_there_is_no_alpha_in_a_design(tmp_path):
    labels_alone = Lesson(CLASSES, make_rows(96, 1, taught=False), make_rows(60, 2, taught=False))
    found = _search(tmp_path, 2, lesson=labels_alone)
    assert not {"alpha", "temperature"} & set(found.candidates[-1].design)


def test_rows_of_unknown_class_alone_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no validation row"):
        _search(tmp_path, lesson=Lesson(CLASSES, LESSON.train, make_rows(9, 3, taught=False, labelled=False)))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"seed": 6}, "its seed"),
        ({"lesson": Lesson(CLASSES, LESSON.train, make_rows(60, 4))}, "data, labels or features"),
        ({"lesson": Lesson(("a", "b", "d"), LESSON.train, LESSON.validation)}, "data, labels or features"),
        ({"fixed": {**FIXED, "n_layers": 1}}, "fixed settings"),
    ],
    ids=["seed", "rows", "classes", "fixed"],
)
def test_a_study_of_something_else_is_refused_by_name(tmp_path, change, name):
    _search(tmp_path, 1)
    with pytest.raises(ConfigError, match=f"study.db: the search in it differs in .*{name}"):
        _search(tmp_path, 2, **change)


def test_a_file_that_is_no_study_is_refused_and_left_alone(tmp_path):
    file = tmp_path / "study.db"
    file.write_text("my notes on SQLite, which are long enough to be no header of a database" * 20)
    before = file.read_bytes()
    with pytest.raises(ConfigError, match="no study"):
        _search(tmp_path)
    assert file.read_bytes() == before


def test_two_searches_in_one_place_are_refused(tmp_path, monkeypatch):
    train, refused = study.fit_design, []

    def fit(*arguments):
        with pytest.raises(ConfigError, match="another search is at work here") as error:
            _search(tmp_path)
        refused.append(error)
        return train(*arguments)

    monkeypatch.setattr(study, "fit_design", fit)
    _search(tmp_path, 1)
    assert len(refused) == 1


def test_a_database_that_fails_under_way_is_an_error_of_one_line(tmp_path, monkeypatch):
    train = study.fit_design

    def fit(*arguments):
        with sqlite3.connect(tmp_path / "study.db") as other:
            other.execute("DROP TABLE trial_user_attributes")
        other.close()
        return train(*arguments)

    monkeypatch.setattr(study, "fit_design", fit)
    with pytest.raises(WorkError, match=r"study.db: cannot be read or written any more \(.*\)$"):
        _search(tmp_path, 1)


@pytest.mark.parametrize(
    ("fixed", "trials", "minutes", "message"),
    [
        ({}, 0, None, "trials is 0"),
        ({}, 1, 0.0, "timeout is 0.0"),
        ({}, 1, float("nan"), "timeout is nan"),
        ({"n_qubits": 11, "readout": "strings"}, 1, None, "too wide"),
        ({"ansatz": "qft"}, 1, None, "unknown ansatz"),
        (Student().get_params(), 1, None, "sets every field"),
    ],
)
def test_a_search_that_cannot_work_is_refused_before_it_begins(fixed, trials, minutes, message):
    with pytest.raises(ConfigError, match=message):
        check_search(fixed, trials, minutes)


def test_without_optuna_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"qdllm\[search\]"):
        check_search({}, 1, None)
