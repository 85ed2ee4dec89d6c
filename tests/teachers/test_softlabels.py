"""Soft labels as a file: a round trip, and every way that a foreign file can be wrong."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qdllm.errors import DataError
from qdllm.teachers import SoftLabels


def write(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(values=arrays(np.float64, st.tuples(st.integers(1, 6), st.just(3)), elements=st.floats(1e-9, 1)))
def test_what_is_written_is_read(values: np.ndarray, tmp_path: Path) -> None:
    rows = tuple(f"{i:064x}" for i in range(len(values)))
    part = np.array(["train", "validation", "test"] * 2)[: len(values)]
    labels = SoftLabels(
        rows, ("a b", "b", "ニュース"), values / values.sum(1, keepdims=True), part, {"teacher": "x"}
    )
    labels.write(tmp_path / "labels.parquet")
    read = SoftLabels.read(tmp_path / "labels.parquet")
    assert (read.row_ids, read.classes, read.meta) == (labels.row_ids, labels.classes, labels.meta)
    np.testing.assert_array_equal(read.part, part)
    np.testing.assert_array_equal(read.probabilities, labels.probabilities)


def test_align_orders_rows_and_classes() -> None:
    labels = SoftLabels(("r", "s"), ("a", "b"), np.array([[0.9, 0.1], [0.3, 0.7]]))
    np.testing.assert_allclose(
        labels.align(["s", "r", "s"], ["b", "a"]), [[0.7, 0.3], [0.1, 0.9], [0.7, 0.3]]
    )


def test_a_foreign_files_columns_are_sorted_and_rounded_rows_accepted(tmp_path: Path) -> None:
    path = write(tmp_path / "f.parquet", **{"p:b": [0.333, 1], "row_id": ["r", "s"], "p:a": [0.6666, 0]})
    labels = SoftLabels.read(path)
    assert labels.classes == ("a", "b") and labels.part is None and labels.meta == {}
    np.testing.assert_allclose(labels.probabilities.sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"p:a": [0.5], "p:b": [0.5]}, "needs a column 'row_id'"),
        ({"row_id": ["r"], "a": [1.0]}, "'p:CLASS'"),
        ({"row_id": ["r"], "p:a": [1.0]}, "two or more"),
        (
            {"row_id": ["r", "s"], "p:a": [0.5, 0.5], "p:b": [0.5, 0.6]},
            r"row 2: 0\.5, 0\.6 is no probability",
        ),
        ({"row_id": ["r"], "p:a": [float("nan")], "p:b": [0.5]}, "row 1: nan"),
        ({"row_id": ["r"], "p:a": [None], "p:b": [1.0]}, "row 1: nan"),
        ({"row_id": ["r"], "p:a": [1.5], "p:b": [-0.5]}, "numbers from 0 to 1"),
        ({"row_id": ["r", "r"], "p:a": [0.5, 0.4], "p:b": [0.5, 0.6]}, "there twice"),
        ({"row_id": ["r"], "p:a": ["much"], "p:b": ["little"]}, "other than numbers"),
    ],
)
def test_a_wrong_file_is_one_clear_line(
    tmp_path: Path, columns: dict[str, list[object]], message: str
) -> None:
    path = write(tmp_path / "wrong.parquet", **columns)
    with pytest.raises(DataError, match=message) as caught:
        SoftLabels.read(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_no_file_and_no_parquet_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("no parquet")
    for name in ("missing.parquet", "text.parquet"):
        with pytest.raises(DataError, match="not a Parquet file"):
            SoftLabels.read(tmp_path / name)


def test_missing_rows_and_other_classes_are_refused() -> None:
    labels = SoftLabels(("r",), ("a", "b"), np.array([[0.9, 0.1]]))
    with pytest.raises(DataError, match="no probabilities for 1 of 2 texts"):
        labels.align(["r", "s"], ["a", "b"])
    with pytest.raises(DataError, match=r"classes a, b; needed are a, c"):
        labels.align(["r"], ["a", "c"])
