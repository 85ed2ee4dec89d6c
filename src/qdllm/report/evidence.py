"""What a report is made of: the files of a run, read once. What was not run is None."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qdllm.data import DuplicateReport
from qdllm.errors import DataError

__all__ = ["Evidence", "Predictions"]


@dataclass(frozen=True, eq=False)
class Predictions:
    """The rows of predictions.parquet.

    Parameters
    ----------
    classes : tuple of str, length C
    row_ids : list of str, length n
    part : ndarray of str, shape (n,)
        "train", "validation" or "test".
    labels : list of (str or None), length n
        Gold labels, where known.
    student : ndarray, shape (n, C)
        Probabilities.
    teacher : ndarray, shape (n, C), optional
    """

    classes: tuple[str, ...]
    row_ids: list[str]
    part: NDArray[np.str_]
    labels: list[str | None]
    student: NDArray[np.float64]
    teacher: NDArray[np.float64] | None

    @classmethod
    def read(cls, path: Path, classes: tuple[str, ...]) -> Predictions:
        """Read predictions.parquet of a run.

        Raises
        ------
        DataError
            If the file is missing, no Parquet, or lacks a column.
        """
        try:
            table = pq.read_table(path)
            names = table.column_names
            student = np.stack([table[f"p:{name}"].to_numpy() for name in classes], axis=1)
            has_teacher = all(f"teacher:{name}" in names for name in classes)
            return cls(
                classes,
                table["row_id"].to_pylist(),
                np.array(table["part"].to_pylist(), dtype=np.str_),
                table["label"].to_pylist(),
                student,
                np.stack([table[f"teacher:{name}"].to_numpy() for name in classes], axis=1)
                if has_teacher
                else None,
            )
        except (OSError, pa.ArrowException, KeyError) as error:
            reason = str(error).strip("'\"").splitlines()[0]
            raise DataError(f"{path}: not a run's predictions ({reason}); run distill again") from error

    @cached_property
    def codes(self) -> NDArray[np.int64]:
        """Gold classes by number, -1 where there is none, shape (n,)."""
        number = {name: code for code, name in enumerate(self.classes)}
        return np.array([-1 if label is None else number.get(label, -1) for label in self.labels])

    @cached_property
    def tested(self) -> NDArray[np.int64]:
        """Positions of the test rows that have a gold label."""
        return np.flatnonzero((self.part == "test") & (self.codes >= 0))


@dataclass(frozen=True, eq=False)
class Evidence:
    """Everything that is known of a run.

    Parameters
    ----------
    name : str
        What the run is called: the name of its folder.
    student : Path
        Folder of the saved student.
    metrics : mapping
        metrics.json.
    config : mapping
        config.toml.
    predictions : Predictions
    texts : mapping of row_id to text, optional
        None where the data are not at hand any more.
    duplicates : DuplicateReport, optional
    compare : mapping, optional
        compare.json.
    devices : list of mapping
        What `qdllm.report.devices.read_devices` found.
    surrogate : mapping, optional
        What `qdllm.report.surrogate.read_surrogate` found.
    timing : mapping, optional
        timing.json.
    """

    name: str
    student: Path
    metrics: Mapping[str, Any]
    config: Mapping[str, Any]
    predictions: Predictions
    texts: Mapping[str, str] | None = None
    duplicates: DuplicateReport | None = None
    compare: Mapping[str, Any] | None = None
    devices: list[dict[str, Any]] = field(default_factory=list)
    surrogate: Mapping[str, Any] | None = None
    timing: Mapping[str, Any] | None = None
