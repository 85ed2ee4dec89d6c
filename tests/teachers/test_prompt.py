"""Prompt teachers: examples by seed, no row judged by a prompt that shows it, no label string ambiguous."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")

from qdllm.data import Split, TextDataset, split_dataset
from qdllm.errors import ConfigError, DataError
from qdllm.teachers import PromptTeacher

WORDS = {"fresh": "fresh", "rotten": "rotten to the core"}


def test_few_shot_gives_calibrated_probabilities(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    teacher = PromptTeacher(tiny_llama, shots=2, label_words=WORDS, cache=tmp_path).fit(reviews, split)
    labels = teacher.soft_labels(reviews, split)
    assert labels.classes == ("fresh", "rotten")
    assert labels.row_ids == reviews.row_ids
    np.testing.assert_allclose(labels.probabilities.sum(axis=1), 1)
    assert labels.part is not None and labels.part.tolist() == split.part.tolist()
    meta = labels.meta
    assert (meta["mode"], meta["examples"], meta["out_of_fold_rows"]) == ("few-shot", 4, 4)
    assert meta["label_words"] == WORDS and meta["fingerprint"] == teacher.fingerprint
    rows = split.indices("validation")
    truth = np.array([reviews.classes.index(reviews.labels[row]) for row in rows])  # type: ignore[index,arg-type]
    assert meta["validation"] == {
        "accuracy": float((labels.probabilities[rows].argmax(axis=1) == truth).mean()),
        "rows": len(rows),
        "source": "validation",
    }


def test_an_example_is_scored_by_a_prompt_without_it(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    teacher = PromptTeacher(tiny_llama, shots=2, batch_calibration=False, cache=tmp_path).fit(reviews, split)
    labels = teacher.soft_labels(reviews, split)
    shown = [text for text, _ in teacher._examples]
    assert len(shown) == 4 and {split.part[reviews.texts.index(text)] for text in shown} == {"train"}
    seen = teacher.predict_proba(shown)
    out_of_fold = labels.probabilities[[reviews.texts.index(text) for text in shown]]
    assert (abs(seen - out_of_fold) > 1e-6).any()
    others = [i for i, text in enumerate(reviews.texts) if text not in shown]
    np.testing.assert_allclose(
        teacher.predict_proba([reviews.texts[i] for i in others]), labels.probabilities[others], atol=1e-6
    )


def test_batch_calibration_takes_the_preference_for_a_class_away(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    train = [reviews.texts[i] for i in split.indices("train")]
    means = []
    for calibration in (False, True):
        teacher = PromptTeacher(tiny_llama, shots=0, batch_calibration=calibration, cache=tmp_path)
        teacher.fit(reviews, split)
        log_p = np.log(teacher.predict_proba(train)) * teacher.temperature
        means.append(abs((log_p[:, 0] - log_p[:, 1]).mean()))
    assert means[1] < 1e-4 < means[0]


def test_zero_shot_needs_no_label_where_label_words_name_the_classes(
    tiny_llama: Path, reviews: TextDataset, tmp_path: Path
) -> None:
    bare = TextDataset.from_lists(reviews.texts)
    split = split_dataset(bare, seed=0)
    teacher = PromptTeacher(tiny_llama, shots=0, label_words=WORDS, cache=tmp_path).fit(bare, split)
    assert (teacher.classes, teacher.temperature, teacher.validation) == (("fresh", "rotten"), 1.0, None)
    with pytest.raises(DataError, match="no labels"):
        PromptTeacher(tiny_llama, shots=0, cache=tmp_path).fit(bare, split)


def test_few_labels_calibrate_by_held_out_training_rows(
    tiny_llama: Path, reviews: TextDataset, tmp_path: Path
) -> None:
    split = split_dataset(reviews, seed=0, labels_per_class=3)
    teacher = PromptTeacher(tiny_llama, shots=2, cache=tmp_path).fit(reviews, split)
    assert teacher.validation is not None
    assert (teacher.validation.rows, teacher.validation.source) == (6, "held-out")
    assert teacher.temperature != 1.0


def test_examples_follow_the_seed_and_show_each_class_alike(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    shown = [
        PromptTeacher(tiny_llama, shots=3, seed=seed, cache=tmp_path).fit(reviews, split)._examples
        for seed in (0, 0, 1)
    ]
    assert shown[0] == shown[1] != shown[2]
    assert sorted(words for _, words in shown[0]) == ["fresh"] * 3 + ["rotten"] * 3


def test_hidden_labels_are_never_shown(tiny_llama: Path, reviews: TextDataset, tmp_path: Path) -> None:
    split = split_dataset(reviews, seed=0, labels_per_class=2)
    teacher = PromptTeacher(tiny_llama, shots=4, cache=tmp_path).fit(reviews, split)
    visible = {reviews.texts[i] for i in np.flatnonzero(split.labelled & (split.part == "train"))}
    assert {text for text, _ in teacher._examples} == visible


def test_classes_whose_label_strings_are_the_same_are_refused(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    teacher = PromptTeacher(tiny_llama, label_words={"fresh": "good", "rotten": "good"}, cache=tmp_path)
    with pytest.raises(DataError, match=r"class 'rotten': .* same tokens as that of 'fresh'"):
        teacher.fit(reviews, split)


def test_label_words_for_an_unknown_class_are_refused(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="label words for 'splat'"):
        PromptTeacher(tiny_llama, label_words={"splat": "bad"}, cache=tmp_path).fit(reviews, split)


def test_a_label_that_begins_another_is_told_from_it(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    words = {"fresh": "very good", "rotten": "very good bad"}
    teacher = PromptTeacher(tiny_llama, shots=0, label_words=words, cache=tmp_path).fit(reviews, split)
    end = teacher._tokens("\n\n")
    assert [answer[-len(end) :] for answer in teacher._answers] == [end, end]
    assert np.isfinite(teacher.predict_proba(["A joy."])).all()


def test_examples_without_room_in_the_context_are_left_out(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    teacher = PromptTeacher(tiny_llama, shots=20, max_tokens=100, cache=tmp_path).fit(reviews, split)
    scorer = teacher._scorer(teacher._examples)
    assert len(scorer.prefix) + scorer.max_tokens + len(scorer.suffix) <= 512
    assert scorer.max_tokens == 100


def test_the_template_writes_the_prompt(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    teacher = PromptTeacher(
        tiny_llama,
        shots=1,
        template="Review: {text}\nSentiment={label}",
        instruction="Reviews",
        label_words=WORDS,
        cache=tmp_path,
    ).fit(reviews, split)
    scorer = teacher._scorer(teacher._examples)
    shown = "".join(f"Review: {text}\nSentiment={words}\n\n" for text, words in teacher._examples)
    assert scorer.tokenizer.decode(scorer.prefix) == f"Reviews\n\n{shown}Review: "
    assert scorer.tokenizer.decode(scorer.suffix) == "\nSentiment="
    assert [scorer.tokenizer.decode(answer) for answer in scorer.answers] == list(WORDS.values())
    other = PromptTeacher(tiny_llama, shots=1, cache=tmp_path)
    assert other.fingerprint != teacher.fingerprint
    assert other._space == " "


@pytest.mark.parametrize(
    "options",
    [
        {"shots": -1},
        {"max_tokens": 7},
        {"template": "{text}"},
        {"template": "{text}{label}"},
        {"template": "{label} {text}"},
        {"template": "{text} is {label}."},
    ],
)
def test_options_out_of_range_are_refused(tiny_llama: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"at least|needs \{text\}"):
        PromptTeacher(tiny_llama, **options)
