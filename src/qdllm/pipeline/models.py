"""The models of a run that answer texts, uncached: student, surrogate and teacher."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from qdllm.encoders import load_encoder
from qdllm.errors import ConfigError
from qdllm.pipeline.config import RunConfig
from qdllm.pipeline.run_folder import RunFolder, student_folder
from qdllm.pipeline.sources import load_texts, teacher_of
from qdllm.serve import TextModel
from qdllm.student import TextStudent
from qdllm.student.text import ENCODER_FOLDER
from qdllm.surrogate import Surrogate
from qdllm.teachers import SoftLabels

__all__ = ["MODELS", "load_model"]

MODELS = ("student", "surrogate", "teacher")
"""What of a run answers texts."""


def load_model(path: str | Path, name: str, *, quiet: bool = False) -> TextModel:
    """Load a model of a run.

    The teacher is fitted again as it was chosen; what it computed then is taken from the cache.

    Parameters
    ----------
    path : path
        A finished run; a saved student has no other model.
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
    if name == "student":
        return _student(path)
    run = RunFolder(path)
    return _surrogate(run) if name == "surrogate" else _teacher(run, quiet=quiet)


def _student(path: str | Path) -> TextModel:
    student = TextStudent.from_pretrained(student_folder(path))

    def predict_proba(texts: Sequence[str]) -> NDArray[np.float64]:
        torch.set_num_threads(1)  # on few texts more cost more time than they save
        return student.student_.predict_proba(student.encoder_.encode(texts, cached=False))

    return TextModel("student", tuple(map(str, student.classes_)), predict_proba)


def _teacher(run: RunFolder, *, quiet: bool) -> TextModel:
    config = RunConfig.from_toml(run.config, {})
    if not run.labels.is_file():
        raise ConfigError(f"{run.path}: has no teacher")
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


def _surrogate(run: RunFolder) -> TextModel:
    folder = run.surrogate
    if not folder.is_dir():
        raise ConfigError(f"{run.path}: has no surrogate; make one with qdllm compile")
    surrogate = Surrogate.from_pretrained(folder)
    encoder = load_encoder(run.student / ENCODER_FOLDER)

    def predict_proba(texts: Sequence[str]) -> NDArray[np.float64]:
        found = surrogate.predict_proba(encoder.encode(texts, cached=False))
        return np.asarray(found, dtype=np.float64)

    return TextModel("surrogate", tuple(map(str, surrogate.classes_)), predict_proba)
