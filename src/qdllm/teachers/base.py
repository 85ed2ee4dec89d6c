"""What every teacher is: fitted to what is visible, calibrated, honest about rows it has seen."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

import qdllm
from qdllm.data import Split, TextDataset, cache_dir, row_id
from qdllm.errors import ConfigError
from qdllm.teachers.calibration import fit_temperature, softened
from qdllm.teachers.lesson import Lesson
from qdllm.teachers.softlabels import SoftLabels
from qdllm.teachers.task import Task

__all__ = ["Teacher", "Validation", "label_dataset"]


@dataclass(frozen=True)
class Validation:
    """A teacher's accuracy on rows that neither it nor its training has seen.

    Attributes
    ----------
    accuracy : float
        0 to 1.
    rows : int
        On how many rows.
    source : str
        "validation", or where too few labels are visible there "held-out": training rows out of fold.
    """

    accuracy: float
    rows: int
    source: str


class Teacher(ABC):
    """Gives texts class probabilities.

    Parameters
    ----------
    name : str
        What the teacher is called in reports: a model's name or path.
    seed : int
        Of every random choice it makes.
    cache : path, optional
        Folder of what is expensive; by default ``teachers`` in the user's cache.
    quiet : bool
        Show no progress.

    Attributes
    ----------
    classes : tuple of str
        Sorted; known once fitted.
    temperature : float
        Fitted on rows that it has not seen.
    validation : Validation or None
        None where no label is visible.
    """

    mode: str

    def __init__(self, name: str, *, seed: int, cache: str | Path | None = None, quiet: bool = False) -> None:
        self.name = name
        self.seed = seed
        self.quiet = quiet
        self.cache = Path(cache) if cache is not None else cache_dir() / "teachers"
        self.classes: tuple[str, ...] = ()
        self.temperature = 1.0
        self.validation: Validation | None = None
        self._held_out: dict[str, NDArray[np.float64]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is loaded or opened again when it is needed: models, connections."""
        own = type(self)
        return {k: v for k, v in vars(self).items() if not isinstance(getattr(own, k, None), cached_property)}

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything but the data that the probabilities depend on, as JSON; known before it is fitted."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 (first 32 hexadecimal digits) of the settings."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:32]

    def fit(self, dataset: TextDataset, split: Split) -> Self:
        """Fit whatever there is to fit on the visible labels, the temperature on rows not seen by it.

        Raises
        ------
        DataError
            If the classes do not suit the teacher, or there are too few visible labels.
        """
        classes = self._find_classes(dataset)
        self._learn(Task.of(dataset, split, classes, seed=self.seed))
        return self

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return class probabilities, shape (n, C); of texts it was fitted on as well as any.

        Raises
        ------
        ConfigError
            If it has not been fitted.
        """
        if not self.classes:
            raise ConfigError(f"teacher {self.name}: call fit before predict_proba")
        if not texts:
            return np.empty((0, len(self.classes)))
        return softened(self._logits(texts), self.temperature)

    def label(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return class probabilities, shape (n, C); texts it was fitted on are predicted out of fold.

        Raises
        ------
        ConfigError
            If it has not been fitted.
        """
        if not self.classes:
            raise ConfigError(f"teacher {self.name}: call fit before label")
        return softened(self._honest_logits(texts, [row_id(text) for text in texts]), self.temperature)

    def soft_labels(self, dataset: TextDataset, split: Split) -> SoftLabels:
        """Return the probabilities of all rows; those it was fitted on are predicted out of fold."""
        if not self.classes:
            raise ConfigError(f"teacher {self.name}: call fit before soft_labels")
        logits = self._honest_logits(dataset.texts, dataset.row_ids)
        meta = {
            "schema": "qdllm.soft-labels/1",
            "teacher": self.name,
            "mode": self.mode,
            "fingerprint": self.fingerprint,
            "seed": self.seed,
            "classes": list(self.classes),
            "temperature": self.temperature,
            "validation": None if self.validation is None else asdict(self.validation),
            "out_of_fold_rows": len(self._held_out),
            "qdllm": qdllm.__version__,
            **self.describe(),
        }
        probabilities = softened(logits, self.temperature)
        return SoftLabels(dataset.row_ids, self.classes, probabilities, split.part, meta, name=dataset.name)

    def lessons(self) -> list[Lesson]:
        """Return which rows it learned from before, where that is known."""
        return []

    def describe(self) -> dict[str, Any]:
        """Return what fitting has chosen, as JSON, for the meta of the soft labels."""
        return {}

    @abstractmethod
    def _find_classes(self, dataset: TextDataset) -> tuple[str, ...]:
        """Return the sorted classes, or say why there are none."""

    @abstractmethod
    def _fit(self, task: Task) -> None:
        """Learn from visible labels; put the out-of-fold logits of fitted rows into `_held_out` by row_id."""

    @abstractmethod
    def _logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return uncalibrated logits of at least one text, shape (n, C)."""

    def _learn(self, task: Task) -> None:
        self.classes = task.classes
        self._held_out = {}
        self._fit(task)
        self._calibrate(task)

    def _calibrate(self, task: Task) -> None:
        self.temperature, self.validation = 1.0, None
        if not len(task.calibration):
            return
        ids = [task.row_ids[row] for row in task.calibration]
        logits = self._honest_logits(task.take(task.calibration), ids)
        codes = task.codes[task.calibration]
        self.temperature = fit_temperature(logits, codes)
        accuracy = float((logits.argmax(axis=1) == codes).mean())
        self.validation = Validation(accuracy, len(codes), task.source)

    def _honest_logits(self, texts: Sequence[str], row_ids: Sequence[str]) -> NDArray[np.float64]:
        """Return out-of-fold logits where the row was fitted on, ordinary ones elsewhere, shape (n, C)."""
        fresh = [i for i, key in enumerate(row_ids) if key not in self._held_out]
        logits = np.empty((len(texts), len(self.classes)))
        if fresh:
            logits[fresh] = self._logits([texts[i] for i in fresh])
        for i, key in enumerate(row_ids):
            if key in self._held_out:
                logits[i] = self._held_out[key]
        return logits


def label_dataset(teacher: Teacher, dataset: TextDataset, split: Split) -> SoftLabels:
    """Fit a teacher and label a dataset, or read the labels of an earlier run on the same.

    They are kept under the teacher's fingerprint, the texts and groups in their order, the visible labels and
    the split; a repeated call neither loads a model nor fits anything.

    Raises
    ------
    QdllmError
        Whatever fitting or labelling raises.
    """
    shown = [
        label if visible and part != "test" else None
        for label, visible, part in zip(
            dataset.labels or [None] * len(dataset), split.labelled, split.part, strict=True
        )
    ]
    content = [dataset.row_ids, dataset.groups, dataset.classes, shown, split.digest, qdllm.__version__]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
    path = teacher.cache / "labels" / f"{teacher.fingerprint}-{digest}.parquet"
    if path.is_file():
        return SoftLabels.read(path)
    labels = teacher.fit(dataset, split).soft_labels(dataset, split)
    labels.write(path)
    return labels
