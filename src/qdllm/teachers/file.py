"""Probabilities that somebody else computed, from a Parquet file."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdllm.data import TextDataset, row_id
from qdllm.errors import DataError
from qdllm.models.contenthash import content_hash
from qdllm.teachers.base import Teacher
from qdllm.teachers.lesson import Lesson
from qdllm.teachers.softlabels import SoftLabels
from qdllm.teachers.task import Task, find_classes

__all__ = ["FileTeacher"]


class FileTeacher(Teacher):
    """The probabilities of a file, as they are: nothing is fitted, the temperature is 1.

    Parameters
    ----------
    path : str or Path
        Parquet with row_id and a column ``p:CLASS`` for each class; see `SoftLabels.read`.
    seed, cache, quiet
        See `Teacher`.

    Raises
    ------
    DataError
        If the file is missing or its rows are no probability distributions.
    """

    mode = "file"

    def __init__(
        self, path: str | Path, *, seed: int = 0, cache: str | Path | None = None, quiet: bool = False
    ) -> None:
        super().__init__(str(path), seed=seed, cache=cache, quiet=quiet)
        self.labels = SoftLabels.read(path)

    @property
    def settings(self) -> dict[str, Any]:
        """See `Teacher.settings`."""
        return {"teacher": "file", "sha256": self._content}

    def lessons(self) -> list[Lesson]:
        """See `Teacher.lessons`."""
        return [Lesson(self.labels.row_ids, self.labels.part, self.labels.meta)]

    def describe(self) -> dict[str, Any]:
        """See `Teacher.describe`."""
        return {"source": self.labels.meta}

    def _find_classes(self, dataset: TextDataset) -> tuple[str, ...]:
        if dataset.classes and dataset.classes != self.labels.classes:
            raise DataError(
                f"{self.name}: has the classes {', '.join(self.labels.classes)}; {dataset.name} has "
                f"{', '.join(dataset.classes)}"
            )
        return find_classes(dataset, self.labels.classes, "the file")

    def _fit(self, task: Task) -> None:
        """Nothing to fit."""

    def _logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        probabilities = self.labels.align([row_id(text) for text in texts], self.classes)
        return np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))

    def _calibrate(self, task: Task) -> None:
        super()._calibrate(task)
        self.temperature = 1.0

    @cached_property
    def _content(self) -> str:
        return content_hash(self.name)
