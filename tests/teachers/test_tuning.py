"""Fine-tuning: it learns, it goes on where it stopped, and what it has seen is remembered."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("peft")
import torch

from qdllm.data import Split, TextDataset, split_dataset
from qdllm.errors import DataError
from qdllm.models import load_causal_lm, loading
from qdllm.teachers import ClassifierTeacher, Lesson, TuningSettings, fine_tune, make_teacher, tuning

FAST = {"learning_rate": 1e-2, "batch_size": 8, "epochs": 6, "rank": 8, "dropout": 0.0, "patience": 20}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module", autouse=True)
def in_32_bit() -> Iterator[None]:
    """Small models are faster so, and exact."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (tuning, loading):
            patch.setattr(module, "preferred_dtype", lambda: torch.float32)
        yield


@pytest.fixture(scope="module")
def taught(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("taught") / "teacher"
    fine_tune(tiny_llama, reviews, split, out, TuningSettings(**FAST), about={"data": "tiny"}, quiet=True)
    return out


def test_it_learns_and_is_an_ordinary_classifier(
    taught: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    report = json.loads((taught / "teacher.json").read_text())
    losses = [look["loss"] for look in report["looks"]]
    assert report["best"]["loss"] == min(losses) < 0.62 < losses[0]  # ln 2 is what knows nothing
    teacher = make_teacher(taught, cache_dir=tmp_path, quiet=True)
    assert isinstance(teacher, ClassifierTeacher)
    labels = teacher.fit(reviews, split).soft_labels(reviews, split)
    test = split.indices("test")
    truth = np.array([reviews.classes.index(reviews.labels[row]) for row in test])  # type: ignore[index,arg-type]
    assert (labels.probabilities[test].argmax(axis=1) == truth).mean() > 0.6
    assert teacher.validation is not None
    assert teacher.validation.accuracy == pytest.approx(
        report["best"]["accuracy"], abs=0.06
    )  # rounded weights


def test_adapters_of_a_low_rank_were_merged_into_frozen_weights(taught: Path, tiny_llama: Path) -> None:
    before = dict(load_causal_lm(tiny_llama, dtype=torch.float32)[0].named_parameters())
    after = weights(taught)
    assert torch.equal(after["model.embed_tokens.weight"].float(), before["model.embed_tokens.weight"].cpu())
    name = "model.layers.0.mlp.gate_proj.weight"
    values = torch.linalg.svdvals(after[name].float() - before[name].cpu())
    assert values[0] > 0.01 and values[8] < 1e-4 * values[0]  # rank 8


def test_an_interrupted_run_goes_on_to_the_same_result(
    taught: Path,
    tiny_llama: Path,
    reviews: TextDataset,
    split: Split,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps: list[int] = []
    step = tuning._Tuning._step

    def limited(self: Any, *arguments: Any) -> None:
        steps.append(self.state.step)
        if len(steps) == 14:
            raise KeyboardInterrupt
        step(self, *arguments)

    monkeypatch.setattr(tuning._Tuning, "_step", limited)
    again = (tiny_llama, reviews, split, tmp_path / "teacher", TuningSettings(**FAST))
    with pytest.raises(KeyboardInterrupt):
        fine_tune(*again, about={"data": "tiny"}, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["teacher.checkpoint.safetensors"]
    fine_tune(*again, about={"data": "tiny"}, quiet=True)
    assert steps[13] > steps[14] > 0  # back to the last look, not to the start
    own, other = weights(taught), weights(tmp_path / "teacher")
    assert all(torch.equal(own[name], other[name]) for name in own)
    assert (taught / "teacher.json").read_text() == (tmp_path / "teacher" / "teacher.json").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["teacher"]


def test_gradients_do_not_depend_on_how_many_tokens_go_at_once(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    found = []
    for tokens in (1, 4096):
        settings = TuningSettings(**{**FAST, "epochs": 1, "step_tokens": tokens})
        report = fine_tune(tiny_llama, reviews, split, tmp_path / str(tokens), settings, quiet=True)
        found.append([look["loss"] for look in report["looks"]])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3)


def test_it_stops_when_nothing_gets_better(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    settings = TuningSettings(**{**FAST, "learning_rate": 1e-9, "epochs": 50, "patience": 2})
    report = fine_tune(tiny_llama, reviews, split, tmp_path / "teacher", settings, quiet=True)
    assert len(report["looks"]) < 20


def test_an_encoder_can_be_taught(
    tiny_bert: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    settings = TuningSettings(**{**FAST, "epochs": 1})
    with pytest.MonkeyPatch.context() as patch:
        for module in (tuning, loading):
            patch.setattr(module, "preferred_dtype", lambda: torch.bfloat16)
        report = fine_tune(tiny_bert, reviews, split, tmp_path / "teacher", settings, quiet=True)
    assert report["rows"] == {"train": 60, "validation": 36}
    assert make_teacher(tmp_path / "teacher", cache_dir=tmp_path).mode == "classifier"


def test_its_lesson_is_kept(taught: Path, reviews: TextDataset, split: Split) -> None:
    lesson = Lesson.read(taught)
    assert lesson is not None and lesson.part is not None
    assert lesson.row_ids == reviews.row_ids and lesson.part.tolist() == split.part.tolist()
    assert make_teacher(taught).lessons()[0].meta["seed"] == 0
    (taught / "copy").mkdir(exist_ok=True)
    (taught / "copy" / "lesson.parquet").write_text("nothing")
    with pytest.raises(DataError, match="teach the model again"):
        Lesson.read(taught / "copy")


def test_too_few_labels_are_refused(tiny_llama: Path, reviews: TextDataset, tmp_path: Path) -> None:
    few = split_dataset(reviews, seed=0, validation=0.3, test=0.2, labels_per_class=5)
    with pytest.raises(DataError, match="fine-tuning needs 30 there"):
        fine_tune(tiny_llama, reviews, few, tmp_path / "teacher")
    bare = TextDataset.from_lists(reviews.texts)
    with pytest.raises(DataError, match="needs at least two classes"):
        fine_tune(tiny_llama, bare, split_dataset(bare, seed=0), tmp_path / "teacher")
