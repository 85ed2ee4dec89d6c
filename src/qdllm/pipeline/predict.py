"""`qdllm predict` and `evaluate`: what a saved student or surrogate is used for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qdllm.compare import scores
from qdllm.data import Corpus, TextDataset, row_id
from qdllm.errors import DataError
from qdllm.files import file_sha256
from qdllm.pipeline.blocks import run_job
from qdllm.pipeline.run_folder import RunFolder, student_folder
from qdllm.pipeline.surrogate import load_text_model
from qdllm.progress import progress
from qdllm.student import TextStudent
from qdllm.surrogate import TextSurrogate
from qdllm.teachers import SoftLabels

__all__ = ["check_labels", "count_seen", "evaluate", "predict", "predict_corpus"]

_BATCH = 4096


def predict(path: str | Path, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Classify texts with the student of a run, or a saved student or surrogate.

    Returns
    -------
    list of dict
        ``{"text": …, "label": …, "proba": {class: …}}`` for each text, in order.
    """
    student = load_text_model(path)
    return [
        {"text": text, "label": label, "proba": dict(zip(map(str, student.classes_), row, strict=True))}
        for batch, proba in _in_batches(student, texts, quiet=True)
        for text, label, row in zip(batch, _choose(student, proba), proba.tolist(), strict=True)
    ]


def predict_corpus(
    path: str | Path, corpus: Corpus, out: str | Path, *, ray: str | None = None, quiet: bool = False
) -> int:
    """Classify a corpus block by block into Parquet: row_id, text, label, `p:CLASS`.

    Memory does not grow with the corpus. An interrupted call goes on from its last block when it is repeated.

    Parameters
    ----------
    path : path
        A run, or a saved student.
    corpus : Corpus
    out : path
        A Parquet file, or a folder of them.
    ray : str, optional
        Address of a Ray cluster.
    quiet : bool
        Show no progress bar.

    Returns
    -------
    int
        How many texts were classified.
    """
    return run_job(_Prediction(student_folder(path)), corpus, out, ray=ray, quiet=quiet)


class _Prediction:
    """Classifies blocks; the student is loaded by the first."""

    description = "predicting"

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    @property
    def identity(self) -> str:
        return file_sha256(self._folder / "config.json")  # it holds the hashes of all other files

    def __call__(self, texts: list[str]) -> pa.Table:
        proba = self._student.predict_proba(texts)
        columns = {"row_id": [row_id(text) for text in texts], "text": texts}
        columns["label"] = _choose(self._student, proba)
        classes = [str(name) for name in self._student.classes_]
        return pa.table(columns | {f"p:{name}": proba[:, i] for i, name in enumerate(classes)})

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder}

    @cached_property
    def _student(self) -> TextStudent | TextSurrogate:
        return load_text_model(self._folder)


def evaluate(path: str | Path, dataset: TextDataset, labels: str | Path | None = None) -> dict[str, Any]:
    """Score the student of a run on rows with gold labels.

    Parameters
    ----------
    path : path
        A run, a saved student or a saved surrogate.
    dataset : TextDataset
    labels : path, optional
        The teacher's soft labels of these rows; the run's own are used where they cover the rows.

    Returns
    -------
    dict
        What `qdllm.compare.scores` returns; ``agreement_with_teacher``, None where the teacher's soft labels
        do not cover the rows; and ``rows_seen_in_training``, on which no score is honest: None where only the
        student is at hand, not its run.

    Raises
    ------
    DataError
        If a row has no label, or one that the student does not know.
    """
    student = load_text_model(path)
    check_labels(dataset, [str(name) for name in student.classes_])
    proba = np.concatenate([p for _, p in _in_batches(student, dataset.texts, quiet=True)])
    truth = [str(label) for label in dataset.labels or ()]
    classes = [str(name) for name in student.classes_]
    agreement = None
    soft = _teacher_probabilities(RunFolder(path), dataset, tuple(classes), labels)
    if soft is not None:
        agreement = float((proba.argmax(axis=1) == soft.argmax(axis=1)).mean())
    return {
        **scores(truth, proba, classes),
        "agreement_with_teacher": agreement,
        "rows_seen_in_training": count_seen(RunFolder(path), dataset),
    }


def check_labels(dataset: TextDataset, classes: Sequence[str]) -> None:
    """Refuse rows that cannot be scored.

    Raises
    ------
    DataError
        If a row has no label, or one that is not among the classes.
    """
    for row, label in enumerate(dataset.labels or (None,) * len(dataset), start=1):
        if label is None:
            raise DataError(f"{dataset.name}: row {row}: no label, so nothing to score against")
        if label not in classes:
            raise DataError(
                f"{dataset.name}: row {row}: label {label!r} is unknown to the student, "
                f"whose classes are {', '.join(sorted(classes))}"
            )


def _in_batches(
    student: TextStudent | TextSurrogate, texts: Sequence[str], *, quiet: bool
) -> Iterator[tuple[Sequence[str], NDArray[np.float64]]]:
    with progress("predicting", len(texts), quiet=quiet) as advance:
        for start in range(0, len(texts), _BATCH):
            batch = texts[start : start + _BATCH]
            yield batch, student.predict_proba(batch)
            advance(len(batch))


def _choose(student: TextStudent | TextSurrogate, proba: NDArray[np.float64]) -> list[str]:
    return [str(name) for name in student.classes_[proba.argmax(axis=1)]]


def count_seen(run: RunFolder, dataset: TextDataset) -> int | None:
    """Count the rows that are no test rows of the run; None where only the student is at hand."""
    if not run.split.is_file():
        return None
    split = pq.read_table(run.split, columns=["row_id", "part"]).to_pydict()
    seen = {row for row, part in zip(split["row_id"], split["part"], strict=True) if part != "test"}
    return sum(row in seen for row in dataset.row_ids)


def _teacher_probabilities(
    run: RunFolder, dataset: TextDataset, classes: tuple[str, ...], path: str | Path | None
) -> NDArray[np.float64] | None:
    if path is not None:
        return SoftLabels.read(path).align(dataset.row_ids, classes)
    if not run.labels.is_file():
        return None
    soft = SoftLabels.read(run.labels)
    return soft.align(dataset.row_ids, classes) if set(dataset.row_ids) <= set(soft.row_ids) else None
