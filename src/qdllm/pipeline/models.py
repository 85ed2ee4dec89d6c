"""The models of a run that answer texts, uncached: student, surrogate and teacher."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from qdllm.errors import ConfigError
from qdllm.pipeline.config import RunConfig
from qdllm.pipeline.run_folder import RunFolder, student_folder
from qdllm.pipeline.sources import load_texts, teacher_of
from qdllm.pipeline.surrogate import saved_type
from qdllm.serve import TextModel
from qdllm.student import TextStudent
from qdllm.surrogate import TextSurrogate
from qdllm.teachers import SoftLabels

__all__ = ["MODELS", "available_models", "load_model"]

MODELS = ("student", "surrogate", "teacher")
"""What of a run answers texts."""


def available_models(path: str | Path) -> list[str]:
    """Return the names of the models that a run has, or of the one that a saved model is.

    Raises
    ------
    SavedModelError
        If it is neither.
    """
    folder, run = student_folder(path), RunFolder(path)
    if folder == Path(path):
        return ["surrogate" if saved_type(folder) == "surrogate" else "student"]
    there = {"student": True, "surrogate": run.surrogate.is_dir(), "teacher": run.labels.is_file()}
    return [name for name in MODELS if there[name]]


def load_model(path: str | Path, name: str, *, quiet: bool = False) -> TextModel:
    """Load a model of a run.

    The teacher is fitted again as it was chosen; what it computed then is taken from the cache.

    Parameters
    ----------
    path : path
        A finished run, a saved student or a saved surrogate.
    name : {"student", "surrogate", "teacher"}
    quiet : bool
        Show no progress bars.

    Raises
    ------
    SavedModelError
        If there is no student, it is damaged, or it takes features alone.
    ConfigError
        If the run has no such model, or its teacher is a file.
    QdllmError
        Whatever making or fitting a teacher raises.
    """
    if name not in (there := available_models(path)):
        wanted = "; make one with qdllm compile" if name == "surrogate" else ""
        raise ConfigError(f"{path}: has no {name}, only {', '.join(there)}{wanted}")
    if name == "student":
        return _student(path)
    if name == "teacher":
        return _teacher(RunFolder(path), quiet=quiet)
    return _surrogate(Path(path) if there == ["surrogate"] else RunFolder(path).surrogate)


def _student(path: str | Path) -> TextModel:
    student = TextStudent.from_pretrained(student_folder(path))

    def predict_proba(texts: Sequence[str]) -> NDArray[np.float64]:
        torch.set_num_threads(1)  # on few texts more cost more time than they save
        return student.student_.predict_proba(student.encoder_.encode(texts, cached=False))

    return TextModel("student", tuple(map(str, student.classes_)), predict_proba)


def _teacher(run: RunFolder, *, quiet: bool) -> TextModel:
    config = RunConfig.from_toml(run.config, {})
    if config.teacher.labels is not None or config.teacher.source.endswith(".parquet"):
        raise ConfigError(f"{run.path}: its teacher is a file of probabilities, which answers no new texts")
    texts = load_texts(config.data, config.seed)
    teacher = teacher_of(config.with_teacher_as(SoftLabels.read(run.labels).meta), texts)
    teacher.quiet = quiet
    teacher.fit(texts.dataset, texts.split)

    def predict_proba(texts: Sequence[str]) -> NDArray[np.float64]:
        with tempfile.TemporaryDirectory() as folder:  # nothing of a text is kept
            teacher.cache = Path(folder)
            return teacher.predict_proba(texts)

    return TextModel("teacher", teacher.classes, predict_proba)


def _surrogate(folder: Path) -> TextModel:
    found = TextSurrogate.from_pretrained(folder)

    def predict_proba(texts: Sequence[str]) -> NDArray[np.float64]:
        proba = found.surrogate.predict_proba(found.encoder.encode(texts, cached=False))
        return np.asarray(proba, dtype=np.float64)

    return TextModel("surrogate", tuple(map(str, found.classes_)), predict_proba)
