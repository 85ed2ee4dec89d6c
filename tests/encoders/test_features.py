from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qdllm.data import TextDataset
from qdllm.encoders import Features, TfidfEncoder, embed
from qdllm.encoders import features as module
from qdllm.errors import ConfigError, DataError

DATA = TextDataset.from_lists(["one text", "another text", "a third"])


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 30), st.integers(1, 5)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, x: np.ndarray) -> None:
    file = tmp_path_factory.mktemp("features") / "x.parquet"
    written = Features(tuple(f"id{i}" for i in range(len(x))), x, {"encoder": "テスト"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_ROWS", 7)  # several row groups
        written.write(file)
        read = Features.read(file)
    assert read.row_ids == written.row_ids
    assert read.meta == written.meta
    assert read.x.dtype == np.float32
    np.testing.assert_array_equal(read.x, x)


def test_the_file_is_what_the_design_says(tmp_path: Path) -> None:
    features = embed(TfidfEncoder(dim=2).fit(DATA.texts), DATA)
    features.write(tmp_path / "f.parquet")
    table = pq.read_table(tmp_path / "f.parquet")
    assert table.column_names == ["row_id", "x"]
    assert table.schema.field("x").type == pa.list_(pa.float32())
    assert table["row_id"].to_pylist() == list(DATA.row_ids)
    assert features.meta["encoder"] == "tfidf"
    np.testing.assert_array_equal(features.x, TfidfEncoder(dim=2).fit(DATA.texts).encode(DATA.texts))


def test_an_unfitted_encoder_embeds_nothing() -> None:
    with pytest.raises(ConfigError, match="fit"):
        embed(TfidfEncoder(), DATA)


def test_rows_come_in_the_order_asked_for() -> None:
    features = Features(("a", "b", "c"), np.eye(3, dtype=np.float32))
    np.testing.assert_array_equal(features.align(["c", "a", "c"]), np.eye(3, dtype=np.float32)[[2, 0, 2]])


def test_missing_rows_are_counted() -> None:
    features = Features(("a", "b"), np.eye(2, dtype=np.float32))
    with pytest.raises(DataError, match=r"2 of 3 texts have none, the first is row 2; .*qdllm embed"):
        features.align(["a", "c", "d"])


def test_a_row_twice_is_fine_only_if_equal() -> None:
    x = np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32)
    np.testing.assert_array_equal(Features(("a", "b", "a"), x).align(["a"]), [[1, 0]])
    with pytest.raises(DataError, match="rows 1 and 2 have the same row_id"):
        Features(("a", "a", "b"), x).align(["b"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_with_their_row(value: float, tmp_path: Path) -> None:
    x = np.zeros((3, 2), dtype=np.float32)
    x[1, 1] = value
    with pytest.raises(DataError, match=r"row 2: x has NaN or infinite"):
        Features(("a", "b", "c"), x)
    write(tmp_path / "f.parquet", x=x.tolist())
    with pytest.raises(DataError, match=r"f\.parquet: row 2: x has NaN or infinite"):
        Features.read(tmp_path / "f.parquet")


def write(path: Path, **columns: object) -> None:
    rows = {"row_id": ["a", "b", "c"], "x": [[0.0, 1.0]] * 3} | columns
    pq.write_table(pa.table({name: value for name, value in rows.items() if value is not None}), path)


def test_row_numbers_count_through_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS", 2)
    for bad, message in [([1.0], "row 3: 1 features where the first row has 2"), (None, "row 3: no vector")]:
        write(tmp_path / "f.parquet", x=[[0.0, 1.0], [1.0, 0.0], bad])
        with pytest.raises(DataError, match=message):
            Features.read(tmp_path / "f.parquet")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [[0.0, 1.0], [1.0], [1.0, 2.0]]}, "row 2: 1 features where the first row has 2"),
        ({"x": [[0.0, 1.0], None, [1.0, 2.0]]}, "row 2: no vector"),
        ({"x": [[0.0, 1.0], [None, 2.0], [1.0, 2.0]]}, "row 2: x has NaN"),
        ({"x": [[0.0, 1.0], [1e39, 2.0], [1.0, 2.0]]}, "row 2: x has NaN or infinite"),
        ({"x": pa.array([[]] * 3, pa.list_(pa.float32()))}, "vectors of shape"),
        ({"x": ["[1, 2]"] * 3}, "column 'x' holds string, not lists of numbers"),
        ({"x": [["a"]] * 3}, "not lists of numbers"),
        ({"x": None}, "no single column 'x'; the columns are 'row_id'"),
        ({"row_id": None}, "no single column 'row_id'"),
        ({"row_id": [1, 2, 3]}, "column 'row_id' holds int64"),
        ({"row_id": ["a", None, "c"]}, "row 2: no row_id"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, columns: dict[str, object], message: str) -> None:
    write(tmp_path / "f.parquet", **columns)
    with pytest.raises(DataError, match=message) as caught:
        Features.read(tmp_path / "f.parquet")
    assert str(caught.value).startswith(f"{tmp_path / 'f.parquet'}: ")
    assert "\n" not in str(caught.value)


def test_other_list_types_and_widths_of_numbers_are_read(tmp_path: Path) -> None:
    for kind in (pa.list_(pa.float64(), 2), pa.large_list(pa.float16()), pa.list_(pa.int32())):
        write(tmp_path / "f.parquet", x=pa.array(np.eye(3)[:, :2].astype(int).tolist()).cast(kind))
        features = Features.read(tmp_path / "f.parquet")
        np.testing.assert_array_equal(features.x, np.eye(3)[:, :2])
        assert features.meta == {}


def test_no_file_an_empty_file_and_no_rows(tmp_path: Path) -> None:
    for content in (None, b"", b"PAR1 not at all"):
        if content is not None:
            (tmp_path / "f.parquet").write_bytes(content)
        with pytest.raises(DataError, match=r"f\.parquet: not a Parquet file"):
            Features.read(tmp_path / "f.parquet")
    pq.write_table(
        pa.table({"row_id": pa.array([], pa.string()), "x": pa.array([], pa.list_(pa.float32()))}),
        tmp_path / "f.parquet",
    )
    with pytest.raises(DataError, match="no rows"):
        Features.read(tmp_path / "f.parquet")


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    table = pa.table({"row_id": ["a"], "x": [[1.0]]})
    for meta in (b'{"schema": {"name": "qdllm.features", "version": 2}}', b"no json", b"[1]"):
        pq.write_table(table.replace_schema_metadata({b"qdllm": meta}), tmp_path / "f.parquet")
        with pytest.raises(DataError, match="make"):
            Features.read(tmp_path / "f.parquet")
