"""CSV, TSV, JSON lines, Parquet, or a folder per class: from a path to a checked dataset."""

import codecs
import csv
import io
import json
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdllm.data.dataset import TextDataset, as_cell, check_text, missing_column
from qdllm.errors import DataError

__all__ = ["read_dataset"]

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
_GUESSES = ("cp932", "euc_jp", "gb18030", "cp1252")  # most likely first; cp1252 takes nearly anything
_NAMES = {
    "cp932": "Japanese Windows",
    "euc_jp": "Japanese Unix",
    "gb18030": "Chinese",
    "cp1252": "Western Windows",
}


@dataclass(frozen=True)
class _Table:
    """Rows as dictionaries, each with the number a user knows it by."""

    columns: list[str]
    rows: list[tuple[int, dict[str, Any]]]


def read_dataset(
    path: str | Path,
    *,
    text: str = "text",
    label: str = "label",
    group: str | None = None,
    encoding: str = "utf-8",
    require_labels: bool = False,
) -> TextDataset:
    """Read texts, and where known their labels and groups.

    Parameters
    ----------
    path : path
        ``.csv``, ``.tsv``, ``.jsonl`` (or ``.ndjson``), ``.parquet``, or a folder with a folder of ``*.txt``
        files for each class.
    text, label : str
        Names of the columns. A label column that is not there gives a dataset without labels, unless it was
        named (other than "label") or `require_labels`; an empty cell is a label not known.
    group : str, optional
        Name of the column of groups, which a split keeps together.
    encoding : str
        Of text files, any that Python knows: "utf-8" (with or without byte order mark), "cp932", "utf-16", …
    require_labels : bool
        Refuse rows without a label.

    Raises
    ------
    DataError
        In one line, with the file, the row (from 1, a header not counted; in JSON lines the line) and what to
        do: the path is missing, empty or of an unknown kind; a column is missing; bytes are not in the
        encoding; a row is ragged, or its text empty, too long, not a string or with a NUL character.
    """
    source = Path(path)
    if source.is_dir():
        if group is not None:
            raise DataError(f"{source}: a folder per class has no column {group!r} of groups")
        return _read_folder(source, encoding)
    if not source.exists():
        raise DataError(f"{source}: no such file or folder")
    table = _read_table(source, encoding, [name for name in (text, label, group) if name is not None])
    if not table.rows:
        raise DataError(f"{source}: has no rows")
    for name in (text, group, label if require_labels or label != "label" else None):
        if name is not None and name not in table.columns:
            raise missing_column(str(source), name, table.columns)

    texts: list[str] = []
    labels: list[str | None] = []
    groups: list[str | None] = []
    for number, row in table.rows:
        where = f"{source}: row {number}"
        texts.append(check_text("" if row.get(text) is None else row[text], where))
        labels.append(as_cell(row.get(label), where, f"label ({label!r})"))
        if require_labels and labels[-1] is None:
            raise DataError(f"{where}: no label in column {label!r}; fill it in or remove the row")
        if group is not None:
            groups.append(as_cell(row.get(group), where, f"group ({group!r})"))
            if groups[-1] is None:
                raise DataError(f"{where}: no group in column {group!r}; fill it in or remove the row")
    return TextDataset.from_lists(texts, labels, groups if group is not None else None, name=source.name)


def decode(source: Path, encoding: str) -> str:
    """Read a text file, without its byte order mark.

    Raises
    ------
    DataError
        If it cannot be read, is empty, or is not in `encoding`; then with the encodings that would do.
    """
    try:
        content = source.read_bytes()
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({error.strerror})") from error
    try:
        decoded = content.decode(encoding)
    except LookupError as error:
        raise DataError(
            f"{source}: unknown encoding {encoding!r}; for example utf-8, cp932, utf-16"
        ) from error
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = content.count(b"\n", 0, start) + 1
        raise DataError(
            f"{source}: line {line}: byte 0x{content[start]:02x} is not {encoding}; {_advice(content)}"
        ) from error
    decoded = decoded.removeprefix("\ufeff")
    if not decoded.strip():
        raise DataError(f"{source}: the file is empty")
    return decoded


def _advice(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "try --encoding utf-16"
    fitting = []
    for guess in _GUESSES:
        try:
            content.decode(guess)
        except UnicodeDecodeError:
            continue
        fitting.append(f"{guess} ({_NAMES[guess]})")
    return (
        f"try --encoding {' or '.join(fitting)}"
        if fitting
        else "is it a text file? if so, name its --encoding"
    )


def _read_table(source: Path, encoding: str, wanted: list[str]) -> _Table:
    kind = source.suffix.lower()
    if kind in DELIMITERS:
        return _read_delimited(source, decode(source, encoding), DELIMITERS[kind])
    if kind in JSON_LINES:
        return _read_json_lines(source, decode(source, encoding))
    if kind in PARQUET:
        return _read_parquet(source, wanted)
    raise DataError(
        f"{source}: unknown kind of file {kind!r}; use .csv, .tsv, .jsonl, .parquet or a folder per class"
    )


def _read_delimited(source: Path, content: str, delimiter: str) -> _Table:
    with unlimited_fields():
        reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
        records = _records(source, reader)
        _, header = next(records)
        columns = [unicodedata.normalize("NFC", name).strip() for name in header]
        if repeated := sorted({name for name in columns if columns.count(name) > 1}):
            raise DataError(f"{source}: two columns are called {repeated[0]!r}; rename one")
        rows: list[tuple[int, dict[str, Any]]] = []
        for number, cells in records:
            if not cells:  # a blank line
                continue
            if len(cells) != len(columns):
                raise DataError(
                    f"{source}: row {number} (to line {reader.line_num}): {len(cells)} cells under "
                    f"{len(columns)} columns; put a text that holds {delimiter!r} or a quote in double quotes"
                )
            rows.append((number, dict(zip(columns, cells, strict=True))))
    return _Table(columns, rows)


def _records(source: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield the records of a CSV reader with their numbers; the header is 0."""
    number = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            place = f"row {number}" if number else "the header"
            raise DataError(
                f"{source}: {place} (to line {reader.line_num}): {error}; double a quote inside a quoted text"
            ) from error
        yield number, cells
        number += 1


@contextmanager
def unlimited_fields() -> Iterator[None]:
    """Let the csv module pass long cells, so that the one check of a text's length speaks for all formats."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _read_json_lines(source: Path, content: str) -> _Table:
    columns: dict[str, None] = {}
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(content.split("\n"), start=1):  # splitlines would cut at U+2028 in a text
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{source}: row {number}: not valid JSON ({error})") from error
        if not isinstance(row, dict):
            raise DataError(f"{source}: row {number}: a JSON {type(row).__name__}, not an object of columns")
        columns.update(dict.fromkeys(row))
        rows.append((number, row))
    return _Table(list(columns), rows)


def _read_parquet(source: Path, wanted: list[str]) -> _Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not source.stat().st_size:
        raise DataError(f"{source}: the file is empty")
    try:
        columns = pq.read_schema(source).names
        found = pq.read_table(source, columns=[name for name in wanted if name in columns])
        rows = list(enumerate(found.to_pylist(), start=1))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{source}: not readable as Parquet ({str(error).splitlines()[0]})") from error
    return _Table(columns, rows)


def _read_folder(source: Path, encoding: str) -> TextDataset:
    files = sorted(p for p in source.glob("*/*.txt") if not p.parent.name.startswith("."))
    if not files:
        raise DataError(
            f"{source}: no texts; expected a folder for each class with .txt files, CLASS/NAME.txt"
        )
    texts = [check_text(decode(file, encoding).strip(), str(file)) for file in files]
    return TextDataset.from_lists(texts, [file.parent.name for file in files], name=source.name)
