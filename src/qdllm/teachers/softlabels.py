"""Soft labels: a teacher's class probabilities, as a file that needs neither the teacher nor the texts."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdllm.errors import DataError
from qdllm.files import atomic_path

__all__ = ["SoftLabels"]

_SUM_TOLERANCE = 1e-3  # a file may hold rounded numbers
_META = b"qdllm"


@dataclass(frozen=True, eq=False)
class SoftLabels:
    """Class probabilities of texts.

    Parameters
    ----------
    row_ids : tuple of str, length n
        No two equal.
    classes : tuple of str, length C
        Sorted; at least two.
    probabilities : ndarray of float64, shape (n, C)
        Rows that sum to one within 0.001; they are divided by their sums where these are off by more than
        rounding.
    part : ndarray of str, shape (n,), optional
        "train", "validation" or "test", as the teacher saw the row.
    meta : dict
        JSON values: teacher, mode, fingerprint, temperature, validation, seed, …
    name : str
        What the labels are called in messages: the path of a file.

    Raises
    ------
    DataError
        If the shapes differ, a row or class is there twice, or a row is no probability distribution.
    """

    row_ids: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    part: NDArray[np.str_] | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    name: str = "soft labels"

    def __post_init__(self) -> None:
        values = np.asarray(self.probabilities, dtype=np.float64)
        if values.shape != (len(self.row_ids), len(self.classes)):
            expected = (len(self.row_ids), len(self.classes))
            raise DataError(f"{self.name}: probabilities of shape {values.shape}, expected {expected}")
        if len(self.classes) < 2 or list(self.classes) != sorted(set(self.classes)):
            raise DataError(f"{self.name}: classes {self.classes!r} must be two or more, distinct and sorted")
        if len(set(self.row_ids)) != len(self.row_ids):
            raise DataError(f"{self.name}: a row_id is there twice; remove one of the rows")
        if self.part is not None and len(self.part) != len(self.row_ids):
            raise DataError(f"{self.name}: {len(self.part)} parts for {len(self.row_ids)} rows")
        sums = values.sum(axis=1)
        sound = (
            np.isfinite(values).all(axis=1) & (values >= 0).all(axis=1) & (abs(sums - 1) <= _SUM_TOLERANCE)
        )
        if not sound.all():
            row = int(np.argmin(sound))
            numbers = ", ".join(f"{value:.4g}" for value in values[row])
            raise DataError(
                f"{self.name}: row {row + 1}: {numbers} is no probability distribution over "
                f"{', '.join(self.classes)}; each row needs numbers from 0 to 1 that sum to one"
            )
        # rounding alone is left as it is, so that a file reads back to the same numbers
        sums[abs(sums - 1) < 1e-9] = 1.0
        object.__setattr__(self, "probabilities", values / sums[:, None])

    def __len__(self) -> int:
        return len(self.row_ids)

    def align(self, row_ids: Sequence[str], classes: Iterable[str]) -> NDArray[np.float64]:
        """Return the probabilities of these rows and classes, in their order.

        Returns
        -------
        ndarray of float64, shape (len(row_ids), len(classes))

        Raises
        ------
        DataError
            If a row is missing or the classes are others.
        """
        wanted = tuple(classes)
        if set(wanted) != set(self.classes):
            raise DataError(
                f"{self.name}: has the classes {', '.join(self.classes)}; needed are {', '.join(wanted)}"
            )
        position = {row_id: row for row, row_id in enumerate(self.row_ids)}
        missing = [row_id for row_id in row_ids if row_id not in position]
        if missing:
            raise DataError(
                f"{self.name}: no probabilities for {len(missing)} of {len(row_ids)} texts, the first with "
                f"row_id {missing[0][:16]}…; label these texts too"
            )
        rows = np.array([position[row_id] for row_id in row_ids], dtype=np.int64)
        return self.probabilities[rows][:, [self.classes.index(name) for name in wanted]]

    def write(self, path: str | Path) -> None:
        """Write a Parquet file: row_id, one column ``p:CLASS`` each, part, and `meta` in its metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns: dict[str, Any] = {"row_id": pa.array(self.row_ids, pa.string())}
        columns |= {f"p:{name}": self.probabilities[:, i] for i, name in enumerate(self.classes)}
        if self.part is not None:
            columns["part"] = pa.array(self.part.tolist(), pa.string())
        meta = {_META: json.dumps(self.meta, sort_keys=True, ensure_ascii=False).encode()}
        with atomic_path(path) as temporary:
            pq.write_table(pa.table(columns).replace_schema_metadata(meta), temporary)

    @classmethod
    def read(cls, path: str | Path) -> "SoftLabels":
        """Read what `write` wrote, or any Parquet file with row_id and columns ``p:CLASS``.

        Raises
        ------
        DataError
            If the file is missing, no such Parquet, or its rows are no probability distributions.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                f"{path}: not a Parquet file that can be read ({str(error).splitlines()[0]})"
            ) from error
        columns = {name[2:]: name for name in table.column_names if name.startswith("p:")}
        if "row_id" not in table.column_names or not columns:
            raise DataError(f"{path}: needs a column 'row_id' and a column 'p:CLASS' for each class")
        classes = tuple(sorted(columns))
        try:
            values = [table[columns[name]].cast(pa.float64()).to_numpy() for name in classes]
        except pa.ArrowException as error:
            raise DataError(f"{path}: a column p:CLASS holds something other than numbers") from error
        part = np.array(table["part"].to_pylist(), dtype=np.str_) if "part" in table.column_names else None
        try:
            meta = json.loads((table.schema.metadata or {}).get(_META, b"{}"))
        except ValueError as error:
            raise DataError(f"{path}: its metadata is not JSON") from error
        row_ids = [str(row_id) for row_id in table["row_id"].to_pylist()]
        rows = _without_repeats(row_ids, probabilities := np.stack(values, axis=1))
        return cls(
            tuple(row_ids[row] for row in rows),
            classes,
            probabilities[rows],
            None if part is None else part[rows],
            meta,
            name=str(path),
        )


def _without_repeats(row_ids: Sequence[str], probabilities: NDArray[np.float64]) -> list[int]:
    """Return the rows to keep: a text may stand in a corpus twice, with the same probabilities."""
    first: dict[str, int] = {}
    return [
        row
        for row, key in enumerate(row_ids)
        if first.setdefault(key, row) == row
        or not np.allclose(probabilities[row], probabilities[first[key]], rtol=0, atol=1e-6)
    ]
