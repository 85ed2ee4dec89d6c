"""A corpus by the block gives the texts that reading it whole gives, whatever the format."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qdllm.data import Corpus, read_dataset
from qdllm.errors import DataError

TEXTS = [f"{i}: said “{i % 7}”,\nand <b>left</b>\u2028so" for i in range(25)]


def written(kind: str, folder: Path) -> Path:
    path = folder / f"texts.{kind}"
    if kind == "csv":
        quoted = "".join('{},"{}"\r\n'.format(i, t.replace('"', '""')) for i, t in enumerate(TEXTS))
        path.write_bytes(b"\xef\xbb\xbf" + f"n,text\r\n{quoted}\r\n".encode())
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps({"text": t}, ensure_ascii=False) for t in TEXTS) + "\n\n")
    elif kind == "parquet":
        pq.write_table(pa.table({"text": TEXTS, "n": range(25)}), path, row_group_size=10)
    elif kind == "folder of parquet":
        path.mkdir()
        pq.write_table(pa.table({"text": TEXTS[:9]}), path / "a.parquet")
        pq.write_table(pa.table({"text": TEXTS[9:]}), path / "b.parquet", row_group_size=11)
    else:
        (path / "one").mkdir(parents=True)
        for i, text in enumerate(TEXTS):
            (path / "one" / f"{i:03d}.txt").write_text(text + "\n")
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "folder of parquet", "folder of folders"])
def test_blocks_hold_every_text_once_and_in_order(kind: str, tmp_path: Path) -> None:
    path = written(kind, tmp_path)
    corpus = Corpus(path, block_rows=4)
    blocks = list(corpus.blocks())
    assert [block.number for block in blocks] == list(range(len(blocks)))
    assert [text for block in blocks for text in block.texts] == TEXTS
    assert max(len(block.texts) for block in blocks) == 4
    if kind != "folder of parquet":
        assert list(read_dataset(path).texts) == TEXTS
    some = list(corpus.blocks(lambda number: number % 3 == 1))
    assert some == [block for block in blocks if block.number % 3 == 1]
    if corpus.pieces is not None:
        assert corpus.n_rows == 25 and [corpus.read(piece) for piece in corpus.pieces] == blocks


def test_its_identity_changes_with_files_column_and_blocks(tmp_path: Path) -> None:
    path = written("parquet", tmp_path)
    before = {Corpus(path).identity, Corpus(path, block_rows=5).identity, Corpus(path, text="n").identity}
    assert len(before) == 3
    pq.write_table(pa.table({"text": TEXTS[:5]}), path)
    assert Corpus(path).identity not in before


def test_a_corrupt_file_of_a_folder_is_named_before_any_work(tmp_path: Path) -> None:
    path = written("folder of parquet", tmp_path)
    (path / "b.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match=r"b\.parquet: not readable as Parquet"):
        Corpus(path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "text\nfine\n\n", None),
        ("a.csv", "text,n\nfine,1\nonly one\n", r"row 2 \(to line 3\): 1 cells under 2 columns"),
        ("a.csv", 'text\n"open\n', "double a quote"),
        ("a.csv", "words\nfine\n", "no column 'text'; the columns are 'words'"),
        ("a.csv", "text\nfine\n \n", "row 2: the text is empty"),
        ("a.csv", "text\n", "no texts"),
        ("a.csv", b"text\nf\xe9e\n", "line 2: byte 0xe9 is not utf-8; try --encoding"),
        ("a.jsonl", '{"text": "fine"}\n{"text": 3}\n', "row 2: the text is not a string but int"),
        ("a.jsonl", '{"text": "fine"}\n{"words": "x"}\n', "row 2: no column 'text'"),
        ("a.jsonl", '{"text": "fine"}\nnot JSON\n', "row 2: not valid JSON"),
        ("a.doc", "fine", "unknown kind of file '.doc'"),
    ],
)
def test_what_cannot_be_used_is_named(
    tmp_path: Path, name: str, content: str | bytes, said: str | None
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    if said is None:
        assert [block.texts for block in Corpus(tmp_path / name).blocks()] == [["fine"]]
        return
    with pytest.raises(DataError, match=said):
        list(Corpus(tmp_path / name).blocks())


def test_a_missing_text_in_parquet_is_named_by_its_row_of_the_file(tmp_path: Path) -> None:
    values = [*TEXTS[:12], None]
    pq.write_table(
        pa.table({"text": pa.array(values, pa.string())}), tmp_path / "a.parquet", row_group_size=5
    )
    with pytest.raises(DataError, match=r"a\.parquet: row 13: the text is empty"):
        list(Corpus(tmp_path / "a.parquet", block_rows=2).blocks())


def test_a_corpus_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        Corpus(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="neither Parquet files nor folders"):
        Corpus(tmp_path)
