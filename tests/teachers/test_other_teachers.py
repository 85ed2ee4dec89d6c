"""Classifiers, files, the choice between modes, and labels kept between runs."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")
import torch

from qdllm.data import Split, TextDataset, split_dataset
from qdllm.errors import ConfigError, DataError
from qdllm.models import load_classifier
from qdllm.teachers import (
    AutoTeacher,
    ClassifierTeacher,
    FileTeacher,
    ProbeTeacher,
    PromptTeacher,
    SoftLabels,
    label_dataset,
    make_teacher,
)

WORDS = {"fresh": "positive", "rotten": "Negative"}


def renamed(dataset: TextDataset, names: dict[str, str]) -> TextDataset:
    return TextDataset.from_lists(dataset.texts, [names[label or ""] for label in dataset.labels or ()])


def test_a_classifiers_labels_match_whatever_their_case(
    tiny_classifier: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    dataset = renamed(reviews, {"fresh": "positive", "rotten": "negative"})
    teacher = ClassifierTeacher(tiny_classifier, cache=tmp_path).fit(dataset, split)
    assert teacher.classes == ("negative", "positive")
    model, tokenizer = load_classifier(tiny_classifier)
    with torch.no_grad():
        logits = model(**tokenizer(dataset.texts[0], return_tensors="pt").to(model.device)).logits.float()
    expected = torch.softmax(logits / teacher.temperature, dim=1).cpu().numpy()
    np.testing.assert_allclose(teacher.predict_proba(dataset.texts[:1]), expected, atol=0.02)
    assert teacher.validation is not None and teacher.validation.rows == len(split.indices("validation"))


def test_label_words_say_which_of_the_classifiers_labels_is_a_class(
    tiny_classifier: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    mapped = ClassifierTeacher(tiny_classifier, label_words=WORDS, cache=tmp_path).fit(reviews, split)
    named = renamed(reviews, {"fresh": "positive", "rotten": "negative"})
    plain = ClassifierTeacher(tiny_classifier, cache=tmp_path).fit(named, split)
    assert mapped.classes == ("fresh", "rotten")
    np.testing.assert_allclose(
        mapped.predict_proba(reviews.texts)[:, ::-1], plain.predict_proba(reviews.texts)
    )


def test_a_classifier_of_other_classes_is_refused(
    tiny_classifier: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    message = r"has the labels NEGATIVE, POSITIVE; tiny reviews has the classes fresh, rotten"
    with pytest.raises(DataError, match=message):
        ClassifierTeacher(tiny_classifier, cache=tmp_path).fit(reviews, split)


def test_a_classifier_needs_no_label(tiny_classifier: Path, reviews: TextDataset, tmp_path: Path) -> None:
    bare = TextDataset.from_lists(reviews.texts)
    labels = label_dataset(
        make_teacher(tiny_classifier, cache_dir=tmp_path), bare, split_dataset(bare, seed=0)
    )
    assert labels.classes == ("NEGATIVE", "POSITIVE") and labels.meta["validation"] is None


@pytest.fixture
def file(reviews: TextDataset, tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    SoftLabels(reviews.row_ids, reviews.classes, rng.dirichlet([1, 1], len(reviews))).write(
        tmp_path / "p.parquet"
    )
    return tmp_path / "p.parquet"


def test_a_files_probabilities_are_taken_as_they_are(file: Path, reviews: TextDataset, split: Split) -> None:
    teacher = make_teacher(file).fit(reviews, split)
    assert isinstance(teacher, FileTeacher) and teacher.temperature == 1.0
    labels = teacher.soft_labels(reviews, split)
    np.testing.assert_allclose(labels.probabilities, SoftLabels.read(file).probabilities, rtol=1e-12)
    assert teacher.validation is not None and 0 < teacher.validation.accuracy < 1
    with pytest.raises(DataError, match="no probabilities for 1 of 1 texts"):
        teacher.predict_proba(["never labelled"])


def test_a_file_of_other_classes_is_refused(file: Path, reviews: TextDataset, split: Split) -> None:
    dataset = renamed(reviews, {"fresh": "good", "rotten": "bad"})
    with pytest.raises(DataError, match=r"classes fresh, rotten; data has bad, good"):
        make_teacher(file).fit(dataset, split)


def test_auto_takes_the_more_accurate_and_names_both(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    teacher = make_teacher(tiny_llama, cache_dir=tmp_path).fit(reviews, split)
    assert isinstance(teacher, AutoTeacher)
    labels = teacher.soft_labels(reviews, split)
    compared = labels.meta["compared"]
    assert set(compared) == {"few-shot", "probe"}
    assert compared["few-shot"]["rows"] == compared["probe"]["rows"] == len(split.indices("validation"))
    best = max(compared, key=lambda mode: compared[mode]["accuracy"])
    assert labels.meta["mode"] == best and labels.meta["validation"] == compared[best]
    alone = make_teacher(tiny_llama, mode=best, cache_dir=tmp_path).fit(reviews, split)
    np.testing.assert_array_equal(labels.probabilities, alone.soft_labels(reviews, split).probabilities)


def test_auto_follows_the_kind_of_model(
    tiny_llama: Path, tiny_bert: Path, tiny_classifier: Path, file: Path
) -> None:
    found = [type(make_teacher(spec)) for spec in (tiny_llama, tiny_bert, tiny_classifier, file)]
    assert found == [AutoTeacher, ProbeTeacher, ClassifierTeacher, FileTeacher]
    modes = [make_teacher(tiny_llama, mode=mode) for mode in ("zero-shot", "few-shot", "probe")]
    assert [type(teacher) for teacher in modes] == [PromptTeacher, PromptTeacher, ProbeTeacher]
    assert [teacher.mode for teacher in modes] == ["zero-shot", "few-shot", "probe"]
    probe = make_teacher(tiny_llama, mode="probe", layer=3)
    assert isinstance(probe, ProbeTeacher)
    assert probe.layers == [3]


def test_wrong_requests_are_one_clear_line(tiny_llama: Path, reviews: TextDataset, split: Split) -> None:
    with pytest.raises(ConfigError, match="mode 'best': not one of auto"):
        make_teacher(tiny_llama, mode="best")
    with pytest.raises(ConfigError, match="shots 0"):
        make_teacher(tiny_llama, mode="few-shot", shots=0)
    with pytest.raises(ConfigError, match="layer 3 is for mode probe; the mode is few-shot"):
        make_teacher(tiny_llama, mode="few-shot", layer=3)
    with pytest.raises(ConfigError, match="no such file or folder"):
        make_teacher("/no/such/model")
    teacher = make_teacher(tiny_llama, mode="probe")
    for call in (lambda: teacher.predict_proba(["x"]), lambda: teacher.soft_labels(reviews, split)):
        with pytest.raises(ConfigError, match="call fit before"):
            call()
    with pytest.raises(DataError, match="a split of 120 rows for 3 texts"):
        teacher.fit(reviews.take([0, 1, 2]), split)


def test_one_class_is_refused(tiny_llama: Path) -> None:
    dataset = TextDataset.from_lists(["a", "b", "c", "d"], ["x"] * 4)
    split = Split(np.array(["train", "train", "validation", "test"]), np.ones(4, dtype=bool))
    with pytest.raises(DataError, match="only the class 'x'"):
        make_teacher(tiny_llama, mode="probe").fit(dataset, split)


def test_labels_of_an_earlier_run_are_read_without_any_model(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = label_dataset(make_teacher(tiny_llama, mode="probe", cache_dir=tmp_path), reviews, split)
    fitted: list[str] = []
    real = ProbeTeacher.fit

    def noted(self: ProbeTeacher, dataset: TextDataset, split: Split) -> ProbeTeacher:
        fitted.append(dataset.name)
        return real(self, dataset, split)

    monkeypatch.setattr(ProbeTeacher, "fit", noted)
    again = label_dataset(make_teacher(tiny_llama, mode="probe", cache_dir=tmp_path), reviews, split)
    np.testing.assert_array_equal(first.probabilities, again.probabilities)
    assert fitted == [] and first.meta == again.meta
    label_dataset(make_teacher(tiny_llama, mode="probe", seed=1, cache_dir=tmp_path), reviews, split)
    fewer = split_dataset(reviews, seed=0, validation=0.3, test=0.2, labels_per_class=8)
    label_dataset(make_teacher(tiny_llama, mode="probe", cache_dir=tmp_path), reviews, fewer)
    assert len(fitted) == 2
