"""`qdllm predict`, `evaluate` and `export`: what a saved student is used for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from qdllm.circuits import to_qasm2, to_qasm3
from qdllm.compare import scores
from qdllm.data import TextDataset
from qdllm.errors import DataError
from qdllm.files import atomic_path, write_text
from qdllm.pipeline.run_folder import RunFolder, student_folder
from qdllm.progress import progress
from qdllm.student import Student, TextStudent
from qdllm.teachers import SoftLabels

__all__ = ["check_labels", "count_seen", "evaluate", "export_qasm", "predict", "write_predictions"]

_BATCH = 4096


def predict(path: str | Path, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Classify texts with the student of a run.

    Returns
    -------
    list of dict
        ``{"text": …, "label": …, "proba": {class: …}}`` for each text, in order.
    """
    student = TextStudent.from_pretrained(student_folder(path))
    return [
        {"text": text, "label": label, "proba": dict(zip(map(str, student.classes_), row, strict=True))}
        for batch, proba in _in_batches(student, texts, quiet=True)
        for text, label, row in zip(batch, _choose(student, proba), proba.tolist(), strict=True)
    ]


def write_predictions(path: str | Path, dataset: TextDataset, out: str | Path, *, quiet: bool = False) -> int:
    """Classify a data set batch by batch into a Parquet file: row_id, text, label, `p:CLASS`.

    Returns
    -------
    int
        How many texts were classified.
    """
    student = TextStudent.from_pretrained(student_folder(path))
    classes = [str(name) for name in student.classes_]
    fields = [("row_id", pa.string()), ("text", pa.string()), ("label", pa.string())]
    schema = pa.schema(fields + [(f"p:{name}", pa.float64()) for name in classes])
    done = 0
    with atomic_path(out) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for batch, proba in _in_batches(student, dataset.texts, quiet=quiet):
            ids = dataset.row_ids[done : done + len(batch)]
            columns = [ids, batch, _choose(student, proba), *proba.T]
            writer.write_table(pa.table([pa.array(column) for column in columns], schema=schema))
            done += len(batch)
    return done


def evaluate(path: str | Path, dataset: TextDataset, labels: str | Path | None = None) -> dict[str, Any]:
    """Score the student of a run on rows with gold labels.

    Parameters
    ----------
    path : path
        A run, or a saved student.
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
    student = TextStudent.from_pretrained(student_folder(path))
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


def export_qasm(path: str | Path, version: int, out: str | Path, text: str | None = None) -> str:
    """Write the student's circuit as OpenQASM, its trained parameters bound.

    Parameters
    ----------
    path : path
        A run, or a saved student.
    version : {2, 3}
        OpenQASM 3 declares the inputs as ``input float[64] x_0``; OpenQASM 2 has no symbols, so its inputs
        are bound to the angles of `text`, or to 0.
    out : path
    text : str, optional
        Bind the inputs to the angles of this text.

    Returns
    -------
    str
        What the inputs were bound to, in a sentence.
    """
    folder = student_folder(path)
    student = Student.from_pretrained(folder)
    circuit, theta = student.model_.circuit, student.model_.theta.tolist()
    angles: list[float] | None = None
    if text is not None:
        x = TextStudent.from_pretrained(folder).encoder_.encode([text])
        with torch.no_grad():
            angles = student.model_.angles(torch.as_tensor(x, dtype=torch.float64))[0].tolist()
    if version == 3:
        write_text(out, to_qasm3(circuit, angles, theta, measure=True))
        return (
            "inputs are declared as input float[64]" if text is None else "inputs bound to the text's angles"
        )
    write_text(out, to_qasm2(circuit, angles or [0.0] * circuit.n_inputs, theta, measure=True))
    return (
        "inputs bound to 0: give --text to bind a text's angles"
        if text is None
        else ("inputs bound to the text's angles")
    )


def _in_batches(
    student: TextStudent, texts: Sequence[str], *, quiet: bool
) -> Iterator[tuple[Sequence[str], NDArray[np.float64]]]:
    with progress("predicting", len(texts), quiet=quiet) as advance:
        for start in range(0, len(texts), _BATCH):
            batch = texts[start : start + _BATCH]
            yield batch, student.predict_proba(batch)
            advance(len(batch))


def _choose(student: TextStudent, proba: NDArray[np.float64]) -> list[str]:
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
