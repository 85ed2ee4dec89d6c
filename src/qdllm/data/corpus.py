"""Texts by the block, however many there are: what is in memory is one block.

A block has a number and always the same rows, so that work on a corpus can be interrupted, resumed and
shared out.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import IO, Any

from qdllm.data.dataset import check_text, missing_column
from qdllm.data.readers import DELIMITERS, JSON_LINES, PARQUET, decode, unlimited_fields
from qdllm.errors import DataError

__all__ = ["BLOCK_ROWS", "Block", "Corpus", "Piece"]

BLOCK_ROWS = 8192


@dataclass(frozen=True)
class Piece:
    """Where a block's rows lie in Parquet files: some rows of one row group.

    Attributes
    ----------
    number : int
        Of the block, from 0.
    path : Path
    group : int
        Row group in the file.
    start, stop : int
        Rows of the group.
    first : int
        Row of the file, from 1, that the block begins with.
    """

    number: int
    path: Path
    group: int
    start: int
    stop: int
    first: int


@dataclass(frozen=True)
class Block:
    """Some texts.

    Attributes
    ----------
    number : int
        From 0, in the order of the corpus.
    texts : list of str
        Checked; at least one.
    """

    number: int
    texts: list[str]


class Corpus:
    """A file or folder of texts, read block by block.

    Parameters
    ----------
    path : path
        What `read_dataset` takes, or a folder of Parquet files.
    text : str
        Name of the column of texts.
    encoding : str
        Of CSV, TSV, JSON lines and text files.
    block_rows : int
        Rows of a block, at most.

    Raises
    ------
    DataError
        If the path is missing or of an unknown kind, a Parquet file cannot be read or lacks the column.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        text: str = "text",
        encoding: str = "utf-8",
        block_rows: int = BLOCK_ROWS,
    ) -> None:
        self.path = Path(path)
        self.text = text
        self.encoding = encoding
        self.block_rows = block_rows
        self._files = _files(self.path)
        self.pieces = self._find_pieces() if self._files[0].suffix.lower() in PARQUET else None
        """Of a Parquet corpus, its blocks; None of others, which can only be read from the start."""

    @property
    def identity(self) -> str:
        """32 hexadecimal digits that change when a file, the column or the blocks do."""
        files = [(file.name, (status := file.stat()).st_size, status.st_mtime_ns) for file in self._files]
        content = [str(self.path.resolve()), self.text, self.encoding, self.block_rows, files]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]

    @property
    def n_rows(self) -> int | None:
        """How many texts there are, where that is known without reading them."""
        return None if self.pieces is None else sum(piece.stop - piece.start for piece in self.pieces)

    def blocks(self, wanted: Callable[[int], bool] = lambda _: True) -> Iterator[Block]:
        """Yield the blocks whose numbers are wanted, in order.

        Raises
        ------
        DataError
            Naming file and row, counted from 1, of what cannot be used.
        """
        if self.pieces is not None:
            for (path, group), of_group in groupby(self.pieces, key=lambda piece: (piece.path, piece.group)):
                pieces = list(of_group)
                if any(wanted(piece.number) for piece in pieces):
                    for piece, column in zip(pieces, self._columns(path, group), strict=True):
                        if wanted(piece.number):
                            yield self._block(piece, column)
            return
        rows = self._rows()
        number = 0
        while texts := list(islice(rows, self.block_rows)):
            if wanted(number):
                yield Block(number, [check_text(value or "", where) for where, value in texts])
            number += 1
        if not number:
            raise DataError(f"{self.path}: no texts")

    def read(self, piece: Piece) -> Block:
        """Read one block of a Parquet corpus.

        Raises
        ------
        DataError
            As `blocks` does.
        """
        columns = self._columns(piece.path, piece.group)
        return self._block(piece, next(islice(columns, piece.start // self.block_rows, None)))

    def _columns(self, path: Path, group: int) -> Iterator[Any]:
        """Yield the texts of a row group's blocks, decoded one after the other from its start."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(
                    self.block_rows, row_groups=[group], columns=[self.text], use_threads=False
                ):
                    yield batch.column(0)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from error

    def _block(self, piece: Piece, column: Any) -> Block:
        texts = column.to_pylist()
        if len(texts) != piece.stop - piece.start:
            raise DataError(
                f"{piece.path}: {len(texts)} rows where {piece.stop - piece.start} were announced"
            )
        for row, value in enumerate(texts, start=piece.first):
            check_text(value or "", f"{piece.path}: row {row}")
        return Block(piece.number, texts)

    def _find_pieces(self) -> list[Piece]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        found: list[Piece] = []
        for path in self._files:
            try:
                with pq.ParquetFile(path) as file:
                    metadata, names = file.metadata, file.schema_arrow.names
            except (pa.ArrowException, OSError) as error:
                raise _unreadable(path, error) from error
            if self.text not in names:
                raise missing_column(str(path), self.text, names)
            first = 1
            for group in range(metadata.num_row_groups):
                rows = metadata.row_group(group).num_rows
                for start in range(0, rows, self.block_rows):
                    stop = min(rows, start + self.block_rows)
                    found.append(Piece(len(found), path, group, start, stop, first + start))
                first += rows
        if not found:
            raise DataError(f"{self.path}: no texts")
        return found

    def _rows(self) -> Iterator[tuple[str, Any]]:
        """Yield the place and the value of every text of files that are read from the start."""
        kind = self._files[0].suffix.lower()
        if self.path.is_dir():
            for file in self._files:
                yield str(file), decode(file, self.encoding).strip()
        elif kind in DELIMITERS:
            yield from self._delimited(DELIMITERS[kind])
        else:
            yield from self._json_lines()

    def _delimited(self, delimiter: str) -> Iterator[tuple[str, Any]]:
        with unlimited_fields(), self._open() as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = [name.strip() for name in next(reader, [])]
            if self.text not in header:
                raise missing_column(str(self.path), self.text, header)
            place = header.index(self.text)
            for row, cells in enumerate(reader, start=1):
                if cells and len(cells) != len(header):
                    raise DataError(
                        f"{self.path}: row {row} (to line {reader.line_num}): {len(cells)} cells under "
                        f"{len(header)} columns; put a text that holds {delimiter!r} in double quotes"
                    )
                if cells:
                    yield f"{self.path}: row {row}", cells[place]

    def _json_lines(self) -> Iterator[tuple[str, Any]]:
        with self._open() as file:
            for row, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise DataError(f"{self.path}: row {row}: not valid JSON ({error})") from error
                if not isinstance(value, dict) or self.text not in value:
                    raise DataError(f"{self.path}: row {row}: no column {self.text!r}")
                yield f"{self.path}: row {row}", value[self.text]

    @contextmanager
    def _open(self) -> Iterator[IO[str]]:
        """Open a text file; what its bytes or quotes break is told as `read_dataset` tells it."""
        encoding = "utf-8-sig" if self.encoding.lower() in ("utf-8", "utf8") else self.encoding
        try:
            with self.path.open(encoding=encoding, newline="\n") as file:
                yield file
        except (UnicodeError, LookupError):
            decode(self.path, self.encoding)  # says where
            raise
        except csv.Error as error:
            raise DataError(f"{self.path}: {error}; double a quote inside a quoted text") from error


def _files(path: Path) -> list[Path]:
    """Return the files of a corpus: one, a folder's Parquet files, or a folder's folders' text files."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_file():
        if path.suffix.lower() not in (*DELIMITERS, *JSON_LINES, *PARQUET):
            raise DataError(
                f"{path}: unknown kind of file {path.suffix!r}; use .csv, .tsv, .jsonl, .parquet or a folder"
            )
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in PARQUET)
    files = files or sorted(path.glob("*/*.txt"))
    if not files:
        raise DataError(f"{path}: neither Parquet files nor folders with .txt files")
    return files


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: not readable as Parquet ({str(error).splitlines()[0]})")
