"""Ensembles: weights by validation, honest rows, disagreement."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

from qdllm.data import Split, TextDataset
from qdllm.errors import ConfigError, DataError
from qdllm.teachers import EnsembleTeacher, FileTeacher, SoftLabels, make_teacher
from qdllm.teachers.ensemble import mixture_weights


def file_of(dataset: TextDataset, right: float, path: Path, seed: int) -> Path:
    """A teacher that is right, and sure of itself, with a probability."""
    rng = np.random.default_rng(seed)
    truth = np.array([dataset.classes.index(label or "") for label in dataset.labels or ()])
    said = np.where(rng.random(len(truth)) < right, truth, 1 - truth)
    SoftLabels(dataset.row_ids, dataset.classes, np.eye(2)[said] * 0.8 + 0.1).write(path)
    return path


def test_weights_maximise_the_posterior() -> None:
    rng = np.random.default_rng(0)
    likelihoods = rng.uniform(0.05, 0.95, (3, 200))
    likelihoods[0] += 0.05

    def posterior(weights: np.ndarray) -> float:
        return float(np.log(weights @ likelihoods).sum() + 10 * np.log(weights).sum())

    best = mixture_weights(likelihoods)
    assert best.sum() == pytest.approx(1)
    for other in rng.dirichlet(50 * best, 300):
        assert posterior(other) <= posterior(best) + 1e-9


def test_the_better_teacher_weighs_more_and_both_together_are_reported(
    reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    good = file_of(reviews, 0.95, tmp_path / "good.parquet", 1)
    poor = file_of(reviews, 0.6, tmp_path / "poor.parquet", 2)
    ensemble = make_teacher(f"{good}+{poor}", cache_dir=tmp_path)
    labels = ensemble.fit(reviews, split).soft_labels(reviews, split)
    about = labels.meta
    weights = [member["weight"] for member in about["members"]]
    assert weights[0] > 0.6 and sum(weights) == pytest.approx(1)
    said = [SoftLabels.read(path).probabilities.argmax(axis=1) for path in (good, poor)]
    assert list(about["disagreement"].values()) == [pytest.approx((said[0] != said[1]).mean())]
    assert about["validation"]["accuracy"] >= about["members"][1]["validation"]["accuracy"]


def test_each_member_may_have_its_mode_and_no_row_is_judged_by_who_saw_it(
    tiny_llama: Path, reviews: TextDataset, split: Split, tmp_path: Path
) -> None:
    ensemble = make_teacher(f"{tiny_llama}@probe+{tiny_llama}@zero-shot", cache_dir=tmp_path, quiet=True)
    assert isinstance(ensemble, EnsembleTeacher)
    assert [member.mode for member in ensemble.members] == ["probe", "zero-shot"]
    labels = ensemble.fit(reviews, split).soft_labels(reviews, split)
    train = split.indices("train")
    assert labels.meta["out_of_fold_rows"] == len(train)
    seen = ensemble.predict_proba([reviews.texts[i] for i in train])
    assert (abs(seen - labels.probabilities[train]) > 1e-6).any()
    test = split.indices("test")
    np.testing.assert_allclose(
        ensemble.predict_proba([reviews.texts[i] for i in test]), labels.probabilities[test], atol=1e-6
    )


def test_members_of_other_classes_are_refused(reviews: TextDataset, split: Split, tmp_path: Path) -> None:
    own = file_of(reviews, 0.9, tmp_path / "own.parquet", 1)
    SoftLabels(reviews.row_ids, ("a", "b"), np.full((len(reviews), 2), 0.5)).write(tmp_path / "b.parquet")
    bare = TextDataset.from_lists(reviews.texts)
    with pytest.raises(DataError, match="needs teachers of the same classes"):
        make_teacher(f"{own}+{tmp_path / 'b.parquet'}", cache_dir=tmp_path).fit(bare, split)


def test_an_ensemble_of_one_is_refused(reviews: TextDataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two teachers or more"):
        EnsembleTeacher([FileTeacher(file_of(reviews, 0.9, tmp_path / "own.parquet", 1))])
