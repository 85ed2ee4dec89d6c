import codecs
import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdllm.data import MAX_TEXT_CHARS, TextDataset, read_dataset
from qdllm.errors import DataError


@pytest.fixture
def write(tmp_path: Path):
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def refused(path: Path, message: str, **options: object) -> None:
    """The file is refused in one line that names it and matches `message`."""
    with pytest.raises(DataError, match=message) as caught:
        read_dataset(path, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert caught.value.exit_status == 2


def test_csv_with_quoted_newlines_commas_and_quotes(write) -> None:
    path = write("a.csv", 'id,label,text\r\n1,x,"one\ntwo, ""three"""\r\n\r\n2,,plain\r\n')
    assert read_dataset(path) == TextDataset(('one\ntwo, "three"', "plain"), ("x", None), None, "a.csv")


def test_csv_with_byte_order_mark_and_chosen_columns(write) -> None:
    path = write("a.csv", codecs.BOM_UTF8 + "body, film ,mood\nhi,f,1\nyo,g,2\n".encode("ascii"))
    data = read_dataset(path, text="body", label="mood", group="film")
    assert (data.texts, data.labels, data.groups) == (("hi", "yo"), ("1", "2"), ("f", "g"))


@pytest.mark.parametrize("suffix", [".tsv", ".tab", ".TSV"])
def test_tsv(write, suffix: str) -> None:
    assert read_dataset(write("a" + suffix, "text\tlabel\na, b\tx\n")).texts == ("a, b",)


def test_json_lines_keep_line_separators_inside_texts(write) -> None:
    path = write("a.jsonl", '{"text": "a\u2028b", "label": 1}\n\n{"text": "c", "extra": []}\r\n')
    data = read_dataset(path)
    assert (data.texts, data.labels) == (("a\u2028b", "c"), ("1", None))


def test_parquet_with_labels_that_are_not_strings(tmp_path: Path) -> None:
    texts = pa.array(["a", "b", "c"]).dictionary_encode()
    for labels, expected in [
        (pa.array([1, None, 3]), ("1", None, "3")),
        (pa.array([1.0, None, 2.5]), ("1", None, "2.5")),
        (pa.array([True, False, None]), ("True", "False", None)),
    ]:
        pq.write_table(
            pa.table({"text": texts, "label": labels, "n": pa.array([1, 2, 3])}), tmp_path / "a.parquet"
        )
        assert read_dataset(tmp_path / "a.parquet").labels == expected


def test_parquet_with_texts_that_are_not_strings(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", "row 1: the text is not a string but int")
    pq.write_table(pa.table({"text": ["a", None]}), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", "row 2: the text is empty")


def test_folder_per_class(tmp_path: Path) -> None:
    for name, text in [("b/1.txt", "bee\n"), ("a/2.txt", "two"), ("a/1.txt", "one"), (".git/x.txt", "no")]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "README.txt").write_text("not a text of a class")
    data = read_dataset(tmp_path)
    assert (data.texts, data.labels) == (("one", "two", "bee"), ("a", "a", "b"))
    refused(tmp_path, "no column 'film' of groups", group="film")
    (tmp_path / "a/3.txt").write_text(" \n")
    with pytest.raises(DataError, match=r"a/3\.txt: the file is empty"):
        read_dataset(tmp_path)


def test_japanese_in_cp932(write) -> None:
    path = write("映画.csv", "text,label\n映画は素晴らしい,良い\n退屈だった,悪い\n".encode("cp932"))
    data = read_dataset(path, encoding="cp932")
    assert data.texts == ("映画は素晴らしい", "退屈だった")
    assert data.classes == ("悪い", "良い")
    refused(path, r"line 2: byte 0x89 is not utf-8; try --encoding cp932 \(Japanese Windows\)")


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        ("text\ncafé\n".encode("cp1252"), r"line 2: byte 0xe9 .*--encoding .*cp1252 \(Western Windows\)"),
        ("text\nhello\n".encode("utf-16"), "line 1: byte 0xff .*--encoding utf-16"),
        (b"text\n\x81\xff\x81\xff", "is it a text file"),
    ],
)
def test_bytes_in_another_encoding_say_which_to_try(write, content: bytes, advice: str) -> None:
    refused(write("a.csv", content), advice)


def test_utf_16_and_unknown_encodings(write) -> None:
    path = write("a.csv", "text\nhello\n".encode("utf-16"))
    assert read_dataset(path, encoding="utf-16").texts == ("hello",)
    refused(path, "unknown encoding 'utf-99'", encoding="utf-99")
    refused(path, "unknown encoding 'hex'", encoding="hex")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "the file is empty"),
        ("a.csv", "\ufeff \n", "the file is empty"),
        ("a.parquet", "", "the file is empty"),
        ("a.csv", "text,label\n", "has no rows"),
        ("a.csv", "body,mood\na,b\n", "no column 'text'; the columns are 'body', 'mood'"),
        ("a.jsonl", '{"body": "a"}\n', "no column 'text'; the columns are 'body'"),
        ("a.csv", "text,text\na,b\n", "two columns are called 'text'"),
        ("a.csv", "text,label\na,x\n  ,x\n", "row 2: the text is empty"),
        ("a.csv", "text,label\na,x\nb,x,y\n", r"row 2 \(to line 3\): 3 cells under 2 columns; put .* ','"),
        ("a.csv", 'text,label\n"a\nb",x\nb\n', r"row 2 \(to line 4\): 1 cells under 2 columns"),
        ("a.csv", 'text,label\na,x\n"b,x\nc,x\n', "row 2 .*unexpected end of data"),
        ("a.csv", 'text,label\n"a" b,x\n', "row 1 .*expected after"),
        ("a.csv", "text,label\na,x\nb\0c,x\n", "row 2: the text has a NUL character at position 2"),
        ("a.csv", "text,label\na,x\nb,x\0\n", "row 2: the label .*NUL"),
        ("a.jsonl", '{"text": "a"}\n\n{"text": b}\n', "row 3: not valid JSON"),
        ("a.jsonl", '{"text": "a"}\n' + "[" * 100_000, "row 2: not valid JSON"),
        ("a.jsonl", '["a"]\n', "row 1: a JSON list, not an object"),
        ("a.jsonl", '{"text": "a"}\n{"label": "x"}\n', "row 2: the text is empty"),
        ("a.jsonl", '{"text": ["a"]}\n', "row 1: the text is not a string but list"),
        ("a.jsonl", '{"text": "a", "label": {}}\n', "row 1: the label .* is a dict"),
        ("a.jsonl", '{"text": "\\ud83d"}\n', "row 1: the text has half a surrogate pair"),
        ("a.parquet", "PAR1 and then nothing", "not readable as Parquet"),
        ("a.xlsx", "PK", r"unknown kind of file '\.xlsx'"),
    ],
)  # fmt: skip
def test_bad_files_say_what_and_where_in_one_line(write, name: str, content: str, message: str) -> None:
    refused(write(name, content), message)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "folder"])
def test_a_text_of_a_megabyte_is_refused_alike_in_every_format(tmp_path: Path, name: str) -> None:
    path, text, limit = tmp_path / name, "x" * 1_000_000, csv.field_size_limit()
    if name == "folder":
        (path / "a").mkdir(parents=True)
        (path / "a/1.txt").write_text(text)
    elif name == "a.parquet":
        pq.write_table(pa.table({"text": [text]}), path)
    else:
        path.write_text(json.dumps({"text": text}) if name == "a.jsonl" else f"text\n{text}\n")
    with pytest.raises(
        DataError, match=r"(row 1|1\.txt): the text has 1,000,000 characters, at most 100,000"
    ):
        read_dataset(path)
    assert csv.field_size_limit() == limit


def test_the_longest_text_is_read(write) -> None:
    text = "x" * MAX_TEXT_CHARS * 2
    assert read_dataset(write("a.csv", f"text,other\nx,{text}\n")).texts == ("x",)


def test_missing_file_and_folder_without_texts(tmp_path: Path) -> None:
    refused(tmp_path / "none.csv", "no such file")
    refused(tmp_path, "no texts; expected a folder for each class")


def test_labels_and_groups_are_asked_for(write) -> None:
    path = write("a.csv", "text,label,film\na,x,f\nb,,\n")
    assert read_dataset(path).labels == ("x", None)
    refused(path, "row 2: no label in column 'label'", require_labels=True)
    refused(path, "row 2: no group in column 'film'", group="film")
    refused(path, "no column 'mood'; the columns are", label="mood")
    refused(path, "no column 'movie'", group="movie")
    bare = write("b.csv", "text\na\n")
    assert read_dataset(bare).labels is None
    refused(bare, "no column 'label'; the columns are 'text'", require_labels=True)


def test_a_header_that_is_a_text_is_shown_shortened(write) -> None:
    refused(write("a.csv", "x" * 500 + "\nb\n"), f"the columns are '{'x' * 39}…'$")


_texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
).filter(lambda text: not text.isspace())


@given(st.lists(st.tuples(_texts, st.sampled_from(["x", "y"])), min_size=1, max_size=8))
def test_what_python_writes_as_csv_is_read_back(tmp_path_factory, rows: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    data = read_dataset(path)
    assert list(zip(data.texts, data.labels or (), strict=True)) == rows
