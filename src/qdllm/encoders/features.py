"""Features as a file: one row a text, named by the text's row_id."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qdllm.data import TextDataset
from qdllm.encoders.base import Encoder
from qdllm.errors import DataError
from qdllm.files import atomic_path

__all__ = ["Features", "embed"]

_SCHEMA = {"name": "qdllm.features", "version": 1}
_META = b"qdllm"
_ROWS = 8192  # a row group: what is in memory twice at most


@dataclass(frozen=True, eq=False)
class Features:
    """Feature vectors of texts.

    Parameters
    ----------
    row_ids : tuple of str, length n
        `qdllm.data.row_id` of each text.
    x : ndarray of float32, shape (n, d)
        All finite.
    meta : dict
        JSON values that say how they were made.

    Raises
    ------
    DataError
        If the shapes differ or a number is not finite; rows are counted from 1.
    """

    row_ids: tuple[str, ...]
    x: NDArray[np.float32]
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self.row_ids, self.x, "features")

    def __len__(self) -> int:
        return len(self.row_ids)

    def align(self, row_ids: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of these rows in this order, shape (len(row_ids), d).

        Raises
        ------
        DataError
            If rows are missing, or a row stands there twice with different vectors.
        """
        position: dict[str, int] = {}
        for i, key in enumerate(self.row_ids):
            first = position.setdefault(key, i)
            if first != i and not np.array_equal(self.x[first], self.x[i]):
                raise DataError(
                    f"features: rows {first + 1} and {i + 1} have the same row_id and different vectors"
                )
        if missing := [row for row, key in enumerate(row_ids, start=1) if key not in position]:
            raise DataError(
                f"features: {len(missing)} of {len(row_ids)} texts have none, the first is row {missing[0]}; "
                "make them for this data with `qdllm embed`"
            )
        return self.x[[position[key] for key in row_ids]]

    def write(self, path: str | Path) -> None:
        """Write a Parquet file of what `to_table` returns, atomically, a part at a time."""
        pieces = (
            Features(self.row_ids[start : start + _ROWS], self.x[start : start + _ROWS], self.meta).to_table()
            for start in range(0, len(self), _ROWS)
        )
        first = next(pieces)
        with (
            atomic_path(path) as temporary,
            pq.ParquetWriter(temporary, first.schema, use_dictionary=False) as writer,
        ):
            for table in chain([first], pieces):
                writer.write_table(table)

    def to_table(self) -> pa.Table:
        """Return the columns row_id and x (list of float32), with `meta` in the schema's metadata."""
        meta = json.dumps({"schema": _SCHEMA, **self.meta}, ensure_ascii=False, allow_nan=False)
        schema = pa.schema(
            {"row_id": pa.string(), "x": pa.list_(pa.float32())}, metadata={_META: meta.encode()}
        )
        x = np.ascontiguousarray(self.x, dtype=np.float32)
        offsets = np.arange(len(x) + 1, dtype=np.int32) * x.shape[1]
        vectors = pa.ListArray.from_arrays(offsets, x.ravel())
        return pa.table([pa.array(self.row_ids, pa.string()), vectors], schema=schema)

    @classmethod
    def read(cls, path: str | Path) -> "Features":
        """Read what `write` wrote, or any Parquet with row_id and x (lists of numbers, of one length).

        Raises
        ------
        DataError
            Naming the file and the row, counted from 1, or the column that cannot be used.
        """
        try:
            with pq.ParquetFile(path) as file:
                _check_columns(file.schema_arrow, path)
                meta = _read_meta(file.schema_arrow.metadata or {}, path)
                ids: list[str] = []
                blocks: list[NDArray[np.float32]] = []
                for batch in file.iter_batches(_ROWS, columns=["row_id", "x"]):
                    block = _vectors(
                        batch.column("x"), len(ids), blocks[0].shape[1] if blocks else None, path
                    )
                    _check(batch.column("row_id").to_pylist(), block, str(path), len(ids))
                    ids += batch.column("row_id").to_pylist()
                    blocks.append(block)
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                f"{path}: not a Parquet file that can be read ({str(error).splitlines()[0]})"
            ) from error
        if not ids:
            raise DataError(f"{path}: no rows; make the features again")
        return cls(tuple(ids), np.concatenate(blocks), meta)


def embed(encoder: Encoder, dataset: TextDataset) -> Features:
    """Encode every text of a dataset.

    Raises
    ------
    ConfigError
        If the encoder has to be fitted first.
    """
    meta = {"encoder": encoder.name, "fingerprint": encoder.fingerprint}
    return Features(dataset.row_ids, encoder.encode(dataset.texts), meta)


def _check(row_ids: Sequence[str | None], x: NDArray[np.float32], where: str, before: int = 0) -> None:
    """Check rows `before` + 1 and on."""
    if x.ndim != 2 or x.shape[1] == 0 or len(row_ids) != len(x):
        raise DataError(f"{where}: {len(row_ids)} row ids but vectors of shape {x.shape}")
    if not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])
        raise DataError(
            f"{where}: row {before + row + 1}: x has NaN or infinite numbers; make the features again"
        )
    if None in row_ids:
        raise DataError(f"{where}: row {before + list(row_ids).index(None) + 1}: no row_id")


def _check_columns(schema: pa.Schema, path: str | Path) -> None:
    for name in ("row_id", "x"):
        if schema.names.count(name) != 1:
            found = ", ".join(map(repr, schema.names[:20])) or "none"
            raise DataError(f"{path}: no single column {name!r}; the columns are {found}")
    kind = schema.field("x").type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise DataError(f"{path}: column 'x' holds {kind}, not lists of numbers")
    kind = schema.field("row_id").type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise DataError(f"{path}: column 'row_id' holds {kind}, not strings")


def _read_meta(metadata: dict[bytes, bytes], path: str | Path) -> dict[str, Any]:
    if _META not in metadata:
        return {}
    try:
        meta = dict(json.loads(metadata[_META]))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: its metadata is not JSON; make the features again") from error
    if meta.pop("schema", None) != _SCHEMA:
        raise DataError(f"{path}: not features of a version this qdllm reads; make them again")
    return meta


def _vectors(column: Any, before: int, width: int | None, path: str | Path) -> NDArray[np.float32]:
    """Turn a column of lists into an array (n, d), `width` being that of earlier rows."""
    if column.null_count:
        row = column.is_null().index(True).as_py()
        raise DataError(f"{path}: row {before + row + 1}: no vector in column 'x'")
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    width = int(lengths[0]) if width is None else width
    if (lengths != width).any():
        row = int(np.flatnonzero(lengths != width)[0])
        raise DataError(
            f"{path}: row {before + row + 1}: {lengths[row]} features where the first row has {width}"
        )
    values = column.flatten().to_numpy(zero_copy_only=False)  # a missing number becomes NaN
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        return np.asarray(values, dtype=np.float32).reshape(len(column), width)
