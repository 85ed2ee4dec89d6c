import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from qdllm import Student, TextStudent
from qdllm.encoders import NgramEncoder, make_encoder
from qdllm.errors import ConfigError, DataError, TrainingError
from qdllm.student import fit_jointly

SPORT = "match team goal season player coach win league cup striker"
MARKET = "shares profit bank oil price stock trade investor euro loss"
SMALL = {"n_qubits": 3, "n_layers": 1}
WITHOUT = """
import sys
sys.modules["transformers"] = None
from qdllm import TextStudent
print(TextStudent.from_pretrained(sys.argv[1]).predict_proba(sys.argv[2:]).tolist())
"""


@pytest.fixture(scope="module")
def corpus():
    rng = np.random.default_rng(0)
    labels = ["sport" if i % 2 else "market" for i in range(160)]
    words = {"sport": SPORT.split(), "market": MARKET.split()}
    return [f"{' '.join(rng.choice(words[name], 6))} {i}" for i, name in enumerate(labels)], labels


def fit(corpus, checkpoint=None, **options):
    texts, labels = corpus
    student, encoder = Student(**{**SMALL, **options}), NgramEncoder()
    validation = np.arange(len(texts)) % 5 == 0
    fit_jointly(student, encoder, texts, labels, validation=validation, checkpoint=checkpoint)
    return student, encoder


@pytest.fixture(scope="module")
def fitted(corpus):
    return fit(corpus)


def test_texts_are_told_apart_by_words_met_in_training(fitted):
    student, encoder = fitted
    unseen = ["the striker and his coach", "the bank and the oil price"]
    assert student.predict(encoder.encode(unseen)).tolist() == ["sport", "market"]


def test_features_are_the_angles_but_for_a_constant(fitted):
    student, encoder = fitted
    x = torch.as_tensor(encoder.encode(["goal of the season", "oil", "未知"]), dtype=torch.float64)
    assert x.shape == (3, 3)
    offset = student.model_.angles(x) - x
    assert torch.allclose(offset, offset[:1].expand(3, 3))
    assert student.n_features_in_ == 3


def test_the_table_learns_nothing_from_validation_rows(corpus):
    texts, labels = corpus
    validation = np.arange(len(texts)) % 5 == 0
    strange = [text + " zebra giraffe" * int(held) for text, held in zip(texts, validation, strict=True)]
    student, encoder = Student(**SMALL, epochs=2), NgramEncoder()
    fit_jointly(student, encoder, strange, labels, validation=validation)
    assert not encoder.encode(["zebra giraffe"]).any()


def test_one_seed_one_student(corpus):
    (first, one), (second, two) = fit(corpus, epochs=3), fit(corpus, epochs=3)
    other, _ = fit(corpus, epochs=3, seed=1)
    assert one.fingerprint == two.fingerprint
    weights = [student.model_.readout.weight for student in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_an_interrupted_training_goes_on_bit_for_bit(corpus, tmp_path, monkeypatch):
    straight, table = fit(corpus, epochs=6)
    from qdllm.distill import training

    run_epoch, done = training._run_epoch, []

    def stop_after_three(*arguments):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(None)
        return run_epoch(*arguments)

    monkeypatch.setattr(training, "_run_epoch", stop_after_three)
    with pytest.raises(KeyboardInterrupt):
        fit(corpus, tmp_path / "c", epochs=6)
    monkeypatch.undo()
    resumed, again = fit(corpus, tmp_path / "c", epochs=6)
    assert len(resumed.history_.loss) == 6
    assert resumed.history_.loss == straight.history_.loss
    assert again.fingerprint == table.fingerprint


def test_a_checkpoint_of_other_texts_is_not_continued(corpus, tmp_path):
    texts, labels = corpus
    fit(corpus, tmp_path / "c", epochs=3)
    others = ([f"{text} match" for text in texts], labels)
    straight, table = fit(others, epochs=3)
    resumed, again = fit(others, tmp_path / "c", epochs=3)
    assert again.fingerprint == table.fingerprint
    assert resumed.history_.loss == straight.history_.loss


def test_all_epochs_are_run_unless_patience_is_set(corpus):
    everything, _ = fit(corpus, epochs=30)
    assert len(everything.history_.loss) == 30
    hasty, _ = fit(corpus, epochs=300, patience=1)
    assert len(hasty.history_.loss) < 300


def test_it_learns_from_a_teacher_alone(corpus):
    texts, labels = corpus
    soft = np.array([[0.9, 0.1] if name == "market" else [0.2, 0.8] for name in labels])
    student, encoder = Student(**SMALL), NgramEncoder()
    fit_jointly(student, encoder, texts, soft_labels=soft, classes=["market", "sport"])
    assert np.mean(student.predict(encoder.encode(texts)) == labels) > 0.9


@pytest.mark.parametrize("ansatz", ["qd_llm", "reuploading"])
@pytest.mark.parametrize("encoding", ["linear", "tanh", "minmax"])
def test_any_circuit_and_encoding_can_be_trained(corpus, ansatz, encoding):
    student, encoder = fit(corpus, ansatz=ansatz, encoding=encoding, epochs=60)
    assert encoder.dim == student.model_.circuit.n_inputs
    assert np.mean(student.predict(encoder.encode(corpus[0])) == corpus[1]) > 0.9


def test_what_student_refuses_is_refused(corpus):
    texts, labels = corpus
    with pytest.raises(DataError, match="y is None"):
        fit_jointly(Student(**SMALL), NgramEncoder(), texts)
    with pytest.raises(DataError, match="one label a row"):
        fit_jointly(Student(**SMALL), NgramEncoder(), texts, labels[:-1])
    with pytest.raises(ConfigError, match="learning_rate"):
        fit_jointly(Student(**SMALL, learning_rate=-1.0), NgramEncoder(), texts, labels)
    with pytest.raises(TrainingError, match="learning rate"):
        fit_jointly(Student(**SMALL, learning_rate=1e30), NgramEncoder(), texts, labels)


def test_a_text_student_trains_it_and_saves_it_and_needs_no_transformers(corpus, tmp_path):
    texts, labels = corpus
    student = TextStudent(teacher=None, encoder="ngrams", student=Student(**SMALL)).fit(texts, labels)
    assert np.mean(student.predict(texts) == labels) > 0.9
    student.save_pretrained(tmp_path / "s")
    loaded = TextStudent.from_pretrained(tmp_path / "s")
    assert np.array_equal(loaded.predict_proba(texts), student.predict_proba(texts))
    files = [file for file in (tmp_path / "s").rglob("*") if file.is_file()]
    assert {file.suffix for file in files} == {".json", ".safetensors", ".md"}
    card = (tmp_path / "s" / "README.md").read_text()
    assert f"| … encoder | {student.encoder_.n_trained:,} |" in card
    said = subprocess.run(
        [sys.executable, "-c", WITHOUT, tmp_path / "s", *texts[:3]],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"QDLLM_CACHE": str(tmp_path / "nothing")},
    )
    assert said.stdout.strip() == str(student.predict_proba(texts[:3]).tolist())


def test_fitting_changes_no_parameter(corpus):
    encoder = make_encoder("ngrams")
    student = TextStudent(teacher=None, encoder=encoder, student=Student(**SMALL, epochs=2)).fit(*corpus)
    assert student.encoder is encoder
    with pytest.raises(ConfigError, match="not fitted"):
        encoder.bags(["never fitted"])
