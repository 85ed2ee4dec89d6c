import numpy as np
import pytest
from sklearn.base import clone

from qdllm import Student, TextStudent
from qdllm.data import TextDataset
from qdllm.encoders import TfidfEncoder
from qdllm.errors import ConfigError, DataError, SavedModelError
from qdllm.teachers import SoftLabels

SPORT = "match team goal season player coach win league cup striker"
MARKET = "shares profit bank oil price stock trade investor euro loss"


@pytest.fixture(scope="module")
def corpus():
    rng = np.random.default_rng(0)
    labels = ["sport" if i % 2 else "market" for i in range(160)]
    words = {"sport": SPORT.split(), "market": MARKET.split()}
    return [f"{' '.join(rng.choice(words[name], 6))} {i}" for i, name in enumerate(labels)], labels


def _text_student(**options):
    return TextStudent(**{"teacher": None, "encoder": "tfidf", "student": Student(n_qubits=3), **options})


@pytest.fixture(scope="module")
def fitted(corpus):
    return _text_student().fit(*corpus)


def test_it_classifies_texts(fitted):
    assert fitted.predict(["the striker and his team", "the bank and the oil price"]).tolist() == [
        "sport",
        "market",
    ]
    proba = fitted.predict_proba(["the striker", "the bank"])
    assert proba.shape == (2, 2)
    assert np.allclose(proba.sum(axis=1), 1)
    assert fitted.predict_proba([]).shape == (0, 2)


def test_saved_and_loaded_it_gives_identical_probabilities(fitted, corpus, tmp_path):
    fitted.save_pretrained(tmp_path / "s")
    loaded = TextStudent.from_pretrained(tmp_path / "s")
    assert np.array_equal(loaded.predict_proba(corpus[0]), fitted.predict_proba(corpus[0]))
    assert "tfidf" in (tmp_path / "s" / "README.md").read_text()


def test_a_student_of_features_is_not_loaded_as_one_of_texts(tmp_path):
    Student(n_qubits=2, epochs=1).fit(np.eye(8), [0, 1] * 4).save_pretrained(tmp_path / "s")
    with pytest.raises(SavedModelError, match="takes features, not texts"):
        TextStudent.from_pretrained(tmp_path / "s")


def test_a_language_model_teaches_texts_without_labels(corpus, tiny_llama, fresh_cache):
    texts, labels = corpus
    some = [label if i % 4 else None for i, label in enumerate(labels)]
    student = _text_student(teacher=str(tiny_llama)).fit(texts, some)
    assert np.mean(student.predict(texts) == labels) > 0.8


def test_it_learns_from_a_file_of_probabilities_alone(corpus, tmp_path):
    texts, labels = corpus
    soft = np.array([[0.9, 0.1] if name == "market" else [0.1, 0.9] for name in labels])
    SoftLabels(TextDataset.from_lists(texts).row_ids, ("market", "sport"), soft).write(tmp_path / "p.parquet")
    student = _text_student(teacher=str(tmp_path / "p.parquet")).fit(texts)
    assert np.mean(student.predict(texts) == labels) > 0.9


def test_equal_texts_count_once_and_contradictions_not_at_all(corpus, fitted):
    texts, labels = corpus
    again = _text_student().fit(
        [*texts, texts[0], "stock match", "stock match"], [*labels, labels[0], "sport", "market"]
    )
    assert np.array_equal(again.predict_proba(texts), fitted.predict_proba(texts))


def test_fitting_changes_no_parameter(corpus):
    encoder = TfidfEncoder()
    student = clone(_text_student()).set_params(encoder=encoder, student__n_qubits=2).fit(*corpus)
    assert student.student_.n_qubits == 2
    assert student.encoder is encoder
    with pytest.raises(ConfigError):
        encoder.encode(["never fitted"])


def test_neither_teacher_nor_label_is_refused(corpus):
    with pytest.raises(ConfigError, match="neither a teacher nor a label"):
        _text_student().fit(corpus[0])


def test_a_single_string_is_refused(fitted):
    with pytest.raises(DataError, match="single string"):
        fitted.predict("the striker")
