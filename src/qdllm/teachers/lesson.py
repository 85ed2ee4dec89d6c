"""Which rows a teacher learned from before it came here: a student's test rows must not be among them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qdllm.errors import DataError

__all__ = ["Lesson"]

_FILE = "lesson.parquet"
_META = b"qdllm"
_SCHEMA = {"name": "qdllm.lesson", "version": 1}


@dataclass(frozen=True, eq=False)
class Lesson:
    """The split that a teacher was made with.

    Attributes
    ----------
    row_ids : tuple of str, length n
    part : ndarray of str, shape (n,), or None
        "train", "validation" or "test"; None where that is not known.
    meta : dict
        JSON values: seed, labels_per_class.
    """

    row_ids: tuple[str, ...]
    part: NDArray[np.str_] | None
    meta: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write lesson.parquet into a teacher's folder."""
        assert self.part is not None  # noqa: S101 - who teaches knows the split
        meta = {_META: json.dumps({"schema": _SCHEMA, **self.meta}).encode()}
        columns = {"row_id": pa.array(self.row_ids), "part": pa.array(self.part.tolist())}
        pq.write_table(pa.table(columns).replace_schema_metadata(meta), folder / _FILE)

    @classmethod
    def read(cls, folder: Path) -> Lesson | None:
        """Read it; None where the folder has none.

        Raises
        ------
        DataError
            If the file cannot be read.
        """
        path = folder / _FILE
        if not path.is_file():
            return None
        try:
            table = pq.read_table(path)
            meta = json.loads(table.schema.metadata[_META])
            part = np.array(table["part"].to_pylist(), dtype=np.str_)
            return cls(tuple(table["row_id"].to_pylist()), part, meta)
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise DataError(f"{path}: cannot be read; teach the model again") from error
