"""The folder of a run: where each part lies, and the tables in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qdllm.data import Split, TextDataset
from qdllm.errors import ConfigError, SavedModelError
from qdllm.files import atomic_path, read_json

__all__ = ["RunFolder", "student_folder", "write_table"]


class RunFolder:
    """Paths and tables of one run.

    Parameters
    ----------
    path : path
        The folder; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.student = self.path / "student"
        self.config = self.path / "config.toml"
        self.split = self.path / "split.parquet"
        self.labels = self.path / "labels.parquet"
        self.features = self.path / "features.parquet"
        self.predictions = self.path / "predictions.parquet"
        self.metrics = self.path / "metrics.json"
        self.comparison = self.path / "compare"
        self.surrogate = self.path / "surrogate"
        self.devices = self.path / "devices"

    def checkpoint(self, encoding: str) -> Path:
        """Where an interrupted training of the student with this encoding lies."""
        return self.path / f"checkpoint-{encoding}.safetensors"

    def remove_checkpoints(self) -> None:
        """Remove what only an interrupted training needs."""
        for path in self.path.glob("checkpoint-*.safetensors"):
            path.unlink()

    def check_free(self) -> None:
        """Look before anything costly is done that a run may be written here.

        Raises
        ------
        ConfigError
            If something else than a run stands there.
        """
        if self.path.exists() and (
            not self.path.is_dir() or (any(self.path.iterdir()) and not self.config.is_file())
        ):
            raise ConfigError(f"{self.path}: holds something else than a run; give another --out")

    def read_metrics(self) -> dict[str, Any]:
        """Read metrics.json.

        Raises
        ------
        SavedModelError
            If the run has not finished.
        """
        if not self.metrics.is_file():
            raise SavedModelError(
                f"{self.path}: not a finished run (no {self.metrics.name}); run distill first"
            )
        metrics: dict[str, Any] = read_json(self.metrics)
        return metrics

    def write_split(self, dataset: TextDataset, split: Split) -> None:
        """Write split.parquet: row_id, label, part, and whether teacher and student could see the label."""
        labels = dataset.labels or (None,) * len(dataset)
        write_table(
            self.split,
            {
                "row_id": pa.array(dataset.row_ids),
                "label": pa.array(labels, pa.string()),
                "part": pa.array(split.part.tolist()),
                "labelled": pa.array(split.labelled.tolist()),
            },
        )

    def write_predictions(
        self,
        dataset: TextDataset,
        split: Split,
        classes: NDArray[Any],
        student: NDArray[np.float64],
        teacher: NDArray[np.float64] | None,
    ) -> None:
        """Write predictions.parquet: row_id, part, label, the chosen class, and probabilities of both."""
        labels = dataset.labels or (None,) * len(dataset)
        columns: dict[str, pa.Array] = {
            "row_id": pa.array(dataset.row_ids),
            "part": pa.array(split.part.tolist()),
            "label": pa.array(labels, pa.string()),
            "predicted": pa.array(classes[student.argmax(axis=1)].tolist()),
        }
        columns |= {f"p:{name}": pa.array(student[:, i]) for i, name in enumerate(classes)}
        if teacher is not None:
            columns |= {f"teacher:{name}": pa.array(teacher[:, i]) for i, name in enumerate(classes)}
        write_table(self.predictions, columns)


def student_folder(path: str | Path) -> Path:
    """Find the saved student in a run folder, or take the folder as a saved student itself.

    Raises
    ------
    SavedModelError
        If there is neither.
    """
    folder = Path(path)
    if (folder / "config.json").is_file():
        return folder
    if (folder / "student" / "config.json").is_file():
        return folder / "student"
    if not folder.exists():
        raise SavedModelError(f"{folder}: no such folder")
    raise SavedModelError(f"{folder}: neither a finished run nor a saved student")


def write_table(path: Path, columns: dict[str, pa.Array]) -> None:
    """Write columns of equal length as Parquet, atomically."""
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns), temporary)
