"""`qdllm distill`: from texts to a run folder, and what the student in it is worth."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import qdllm
from qdllm.circuits import ENCODINGS
from qdllm.compare import fit_logistic_regression, scores
from qdllm.data import Part
from qdllm.encoders import Features, NgramEncoder
from qdllm.errors import ConfigError
from qdllm.files import atomic_folder, write_json
from qdllm.pipeline.config import RunConfig
from qdllm.pipeline.run_folder import RunFolder
from qdllm.pipeline.sources import Encoded, Texts, encode_texts, encode_with, label_texts, load_texts
from qdllm.student import Provenance, Student, fit_jointly
from qdllm.student.saving import write_student
from qdllm.student.text import ENCODER_FOLDER
from qdllm.teachers import SoftLabels

__all__ = ["distill", "fit_student", "fit_with_encoder", "part_scores"]

_PARTS: tuple[Part, ...] = ("train", "validation", "test")
_log = logging.getLogger(__name__)


def distill(config: RunConfig, out: str | Path, *, quiet: bool = False) -> dict[str, Any]:
    """Carry out a run and write its folder.

    Soft labels, features and training each continue where an interrupted call with the same configuration
    stopped. With the encoding `auto`, a student of each encoding is trained, and the one that is better on
    the validation rows is kept.

    Parameters
    ----------
    config : RunConfig
    out : path
        The run folder; an earlier run in it is replaced, file by file.
    quiet : bool
        Show no progress bars.

    Returns
    -------
    dict
        What metrics.json holds.
    """
    candidates = {name: _make_student(config, name) for name in _encodings(config)}
    run = RunFolder(out)
    texts = load_texts(config.data, config.seed)
    run.check_free()
    clock = _Clock()
    labels = label_texts(config, texts)
    classes = texts.dataset.classes if labels is None else labels.classes
    if not classes:
        raise ConfigError("neither a teacher nor a label: name a label column, or a --teacher")
    soft = None if labels is None else labels.align(texts.dataset.row_ids, classes)
    clock.lap("labelling")
    frozen = None if config.encoder.is_trained else encode_texts(config, texts)
    clock.lap("encoding")
    _log.info("%s", _describe(texts))
    run.metrics.unlink(missing_ok=True)  # a run is finished when it has them
    config.to_toml(run.config)
    if labels is not None:
        labels.write(run.labels)
    run.write_split(texts.dataset, texts.split)

    encodings: dict[str, Encoded] = {}
    probabilities: dict[str, NDArray[np.float64]] = {}
    results: dict[str, dict[str, Any]] = {}
    for name, student in candidates.items():
        _log.info("training the student (%s encoding)", name)
        checkpoint = run.checkpoint(name)
        if frozen is None:
            encodings[name] = fit_with_encoder(
                student, texts, classes, soft, checkpoint=checkpoint, quiet=quiet
            )
        else:
            encodings[name] = frozen
            fit_student(student, frozen.x, texts, classes, soft, checkpoint=checkpoint, quiet=quiet)
        probabilities[name] = student.predict_proba(encodings[name].x)
        results[name] = _scores(texts, classes, probabilities[name], soft)
    clock.lap("training")
    chosen = max(results, key=lambda name: _merit(results[name]["validation"]))
    student, encoded = candidates[chosen], encodings[chosen]
    Features(texts.dataset.row_ids, encoded.x, encoded.about).write(run.features)
    control = _control(encoded, texts, classes, soft)
    clock.lap("controls")
    metrics = {
        "schema": {"name": "qdllm.metrics", "version": 1},
        "qdllm_version": qdllm.__version__,
        "seed": config.seed,
        "classes": list(classes),
        "rows": {part: len(texts.split.indices(part)) for part in _PARTS}
        | {"labelled_train": int(texts.split.labelled[texts.split.indices("train")].sum())},
        "teacher": _teacher_metrics(texts, labels, classes, soft),
        "chosen_encoding": chosen,
        "student": results[chosen],
        "students": results,
        "controls": {"logistic_regression": control},
        "parameters": _count_parameters(student, encoded),
        "seconds": clock.laps,
    }
    run.write_predictions(texts.dataset, texts.split, student.classes_, probabilities[chosen], soft)
    _save_student(run, student, encoded, config, texts, labels, metrics)
    write_json(run.metrics, metrics)
    run.remove_checkpoints()
    return metrics


def _encodings(config: RunConfig) -> list[str]:
    chosen = config.student.encoding
    return sorted(ENCODINGS) if chosen == "auto" else [chosen]


def _make_student(config: RunConfig, encoding: str) -> Student:
    student = Student(**{**config.student.parameters(), "encoding": encoding}, seed=config.seed)
    student.check_parameters()
    return student


def fit_student(
    student: Student,
    X: NDArray[np.float32],
    texts: Texts,
    classes: tuple[str, ...],
    soft: NDArray[np.float64] | None,
    *,
    checkpoint: Path | None = None,
    quiet: bool = True,
) -> Student:
    """Train on the training rows, choose the epoch on the validation rows; test rows are left out."""
    rows = texts.split.indices("train", "validation")
    return student.fit(X[rows], **_lesson(texts, rows, classes, soft), checkpoint=checkpoint, quiet=quiet)


def fit_with_encoder(
    student: Student,
    texts: Texts,
    classes: tuple[str, ...],
    soft: NDArray[np.float64] | None,
    *,
    checkpoint: Path | None = None,
    quiet: bool = True,
) -> Encoded:
    """Train a student as `fit_student` does, together with an encoder; return what that makes of the rows."""
    rows = texts.split.indices("train", "validation")
    encoder = NgramEncoder()
    fit_jointly(
        student,
        encoder,
        [texts.dataset.texts[i] for i in rows],
        **_lesson(texts, rows, classes, soft),
        checkpoint=checkpoint,
        quiet=quiet,
    )
    return encode_with(encoder, texts)


def _lesson(
    texts: Texts, rows: NDArray[np.int64], classes: tuple[str, ...], soft: NDArray[np.float64] | None
) -> dict[str, Any]:
    labels = texts.dataset.labels
    return {
        "y": None if labels is None else [labels[i] or "" for i in rows],
        "soft_labels": None if soft is None else soft[rows],
        "labelled": texts.split.labelled[rows],
        "validation": texts.split.part[rows] == "validation",
        "classes": classes,
    }


def part_scores(
    texts: Texts,
    part: Part,
    classes: tuple[str, ...],
    proba: NDArray[np.float64],
    soft: NDArray[np.float64] | None,
) -> dict[str, float] | None:
    """Scores on the rows of a part that have a gold label, and agreement with the teacher on all of them."""
    rows = np.flatnonzero(texts.split.part == part)
    known = rows[texts.split.labelled[rows]]
    found: dict[str, float] = {}
    if len(known) and texts.dataset.labels is not None:
        found |= scores([texts.dataset.labels[i] for i in known], proba[known], classes)
    if soft is not None and len(rows):
        same = proba[rows].argmax(axis=1) == soft[rows].argmax(axis=1)
        found["agreement_with_teacher"] = float(same.mean())
    return found or None


def _scores(
    texts: Texts, classes: tuple[str, ...], proba: NDArray[np.float64], soft: NDArray[np.float64] | None
) -> dict[str, Any]:
    return {part: part_scores(texts, part, classes, proba, soft) for part in _PARTS[1:]}


def _merit(found: dict[str, float] | None) -> float:
    """Accuracy where labels are visible, agreement with the teacher where they are not."""
    found = found or {}
    return found.get("accuracy", found.get("agreement_with_teacher", 0.0))


def _teacher_metrics(
    texts: Texts, labels: SoftLabels | None, classes: tuple[str, ...], soft: NDArray[np.float64] | None
) -> dict[str, Any] | None:
    if labels is None or soft is None:
        return None
    return {"about": labels.meta, **_scores(texts, classes, soft, None)}


def _control(
    encoded: Encoded, texts: Texts, classes: tuple[str, ...], soft: NDArray[np.float64] | None
) -> dict[str, Any] | None:
    """Logistic regression on the same features, or n-grams, and the same visible labels."""
    rows = texts.split.indices("train", "validation")
    rows = rows[texts.split.labelled[rows]]
    if texts.dataset.labels is None or len({texts.dataset.labels[i] for i in rows}) < len(classes):
        return None
    y = np.array([texts.dataset.labels[i] for i in rows])
    X = (
        encoded.encoder.weighted_bags(texts.dataset.texts)
        if isinstance(encoded.encoder, NgramEncoder)
        else encoded.x
    )
    model = fit_logistic_regression(X[rows], y, texts.split.part[rows] == "validation")
    return _scores(texts, classes, model.predict_proba(X), soft)


def _count_parameters(student: Student, encoded: Encoded) -> dict[str, int | None]:
    counts, extra = student.parameter_counts(), encoded.n_parameters
    inference = None if extra is None else counts["trained"] + extra
    trained = counts["trained"] + encoded.n_trained
    return {**counts, "trained": trained, "encoder": extra, "inference": inference}


def _save_student(
    run: RunFolder,
    student: Student,
    encoded: Encoded,
    config: RunConfig,
    texts: Texts,
    labels: SoftLabels | None,
    metrics: dict[str, Any],
) -> None:
    rows = metrics["rows"]
    tested = {k: v for k, v in (metrics["student"]["test"] or {}).items() if k != "rows"}
    provenance = Provenance(
        data=f"{texts.dataset.name}: {rows['train']} rows to train ({rows['labelled_train']} labelled), "
        f"{rows['validation']} to choose by, {rows['test']} to test",
        teacher="none" if labels is None else str(labels.meta.get("teacher", config.teacher.source)),
        encoder=encoded.name,
        encoder_parameters=encoded.n_parameters,
        encoder_trained=encoded.n_trained,
        metrics=tested,
    )
    with atomic_folder(run.student) as folder:
        about = encoded.save_encoder(folder / ENCODER_FOLDER)
        write_student(student, folder, provenance=provenance, encoder=about)


def _describe(texts: Texts) -> str:
    counts = [f"{len(texts.split.indices(part))} {part}" for part in ("train", "validation", "test")]
    return f"{texts.dataset.name}: {', '.join(counts)} rows, {len(texts.dataset.classes)} classes"


class _Clock:
    """Wall time of each step."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._last = round(now - self._last, 3), now
