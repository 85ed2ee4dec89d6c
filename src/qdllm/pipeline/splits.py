"""A run's rows split anew, its teacher fitted anew, its features made anew: what a comparison repeats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qdllm.compare import ComparisonTask, Rows
from qdllm.data import split_dataset
from qdllm.encoders import Features
from qdllm.errors import DataError
from qdllm.pipeline.config import RunConfig
from qdllm.pipeline.run_folder import RunFolder
from qdllm.pipeline.sources import Texts, encode_texts, label_texts, load_texts
from qdllm.teachers import Lesson, SoftLabels

__all__ = ["join_task", "make_task"]


def make_task(run: RunFolder, number: int, n_train: int | None = None) -> ComparisonTask:
    """Return split `number` of a run; 0 is the run's own, with the labels and features that lie in it.

    Another split is drawn by the run's seed plus `number`. Test rows are redrawn too, unless the run has
    a file of test rows, or soft labels from a file, whose teacher may have learned from all other rows. The
    teacher is fitted anew, in the mode and layer that the run chose; so is an encoder that is fitted.

    Parameters
    ----------
    run : RunFolder
        Of a finished run.
    number : int
        At least 0.
    n_train : int, optional
        Keep at most so many training rows.

    Raises
    ------
    DataError
        If the data have changed since the run, or the split cannot be made.
    """
    config = RunConfig.from_toml(run.config, {})
    texts = load_texts(config.data, config.seed)
    _refuse_changed(run, texts)
    labels = SoftLabels.read(run.labels) if run.labels.is_file() else None
    features = Features.read(run.features)
    if number:
        config = _another(config, labels, number)
        texts = _resplit(config, texts, labels)
        labels = _relabel(config, texts, labels)
        features = _reencode(config, texts, features)
    task = join_task(config.seed, texts, labels, features)
    return task if n_train is None else task.limited(n_train)


def join_task(seed: int, texts: Texts, labels: SoftLabels | None, features: Features) -> ComparisonTask:
    """Put texts, split, soft labels and features together.

    Raises
    ------
    DataError
        If a row has no soft label or features, or a part of the split has no rows.
    """
    dataset, split = texts.dataset, texts.split
    classes = dataset.classes if labels is None else labels.classes
    test = split.part == "test"
    codes = _codes(dataset.labels, classes, len(dataset))
    rows = Rows(
        dataset.texts,
        features.align(dataset.row_ids),
        np.where(split.labelled & ~test, codes, -1),
        None if labels is None else labels.align(dataset.row_ids, classes),
    )
    about = {"data": dataset.name, "teacher": None if labels is None else labels.meta}
    return ComparisonTask(seed, classes, rows, split.part, np.where(test, codes, -1), about)


def _another(config: RunConfig, labels: SoftLabels | None, number: int) -> RunConfig:
    """Return the configuration of another split: its seed, and the teacher asked as the run's own was."""
    if labels is not None and not _from_file(config):
        config = config.with_teacher_as(labels.meta)
    return config.model_copy(update={"seed": config.seed + number})


def _resplit(config: RunConfig, own: Texts, labels: SoftLabels | None) -> Texts:
    data = config.data
    if labels is None or data.test is not None or not _from_file(config):
        return load_texts(data, config.seed)
    if (
        data.labels_per_class is not None
    ):  # other labels in view would be more than the teacher's file was made of
        return own
    split = split_dataset(
        own.dataset,
        seed=config.seed,
        validation=data.validation_share / (1 - data.test_share),
        test_ids={own.dataset.row_ids[i] for i in own.split.indices("test")},
    )
    return replace(own, split=split)


def _relabel(config: RunConfig, texts: Texts, labels: SoftLabels | None) -> SoftLabels | None:
    return labels if labels is None or _from_file(config) else label_texts(config, texts)


def _reencode(config: RunConfig, texts: Texts, features: Features) -> Features:
    if "fitted_on" not in features.meta:  # a pretrained encoder's, the same for every split
        return features
    encoded = encode_texts(config, texts)
    return Features(texts.dataset.row_ids, encoded.x, encoded.about)


def _codes(labels: tuple[str | None, ...] | None, classes: tuple[str, ...], count: int) -> NDArray[np.int64]:
    index = {name: code for code, name in enumerate(classes)}
    return np.array([-1 if label is None else index[label] for label in labels or [None] * count])


def _from_file(config: RunConfig) -> bool:
    """Whether the teacher is done learning: its labels are a file, or it was taught on the run's rows."""
    source = config.teacher.source
    taught = any(Lesson.read(Path(part)) is not None for part in source.split("+"))
    return config.teacher.labels is not None or source.endswith(".parquet") or taught


def _refuse_changed(run: RunFolder, texts: Texts) -> None:
    dataset = texts.dataset
    was = pq.read_table(run.split, columns=["row_id", "label", "part"]).to_pydict()
    labels = dataset.labels or (None,) * len(dataset)
    now = {"row_id": dataset.row_ids, "label": labels, "part": texts.split.part.tolist()}
    for column, kind in (("row_id", "rows"), ("label", "labels"), ("part", "groups")):
        if was[column] != list(now[column]):
            raise DataError(
                f"{run.path}: {dataset.name} has other {kind} than when this run was made; run distill again"
            )
