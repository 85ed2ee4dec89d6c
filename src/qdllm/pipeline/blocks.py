"""Work on a corpus block by block: each result is a file, so that an interrupted job loses one block.

A block's file is renamed into place when it is whole, and a block that has one is not computed again: every
row is in the output once, however often the job was killed, on one machine or on many.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from qdllm.data import Block, Corpus, Piece
from qdllm.errors import ConfigError, DataError
from qdllm.files import atomic_path, read_json, write_json
from qdllm.progress import progress

__all__ = ["BlockFolder", "BlockJob", "Worker", "run_job"]

_SCHEMA = {"name": "qdllm.blocks", "version": 1}
_ABOUT = "_blocks.json"  # readers of a folder of Parquet pass over such a name


class BlockJob(Protocol):
    """What is done to each block; it is sent to workers before it has loaded anything."""

    description: str
    """For the progress bar."""

    @property
    def identity(self) -> str:
        """What the results depend on besides the corpus."""

    def __call__(self, texts: list[str]) -> pa.Table:
        """Return one row a text, in order; the first call loads what is needed."""


class BlockFolder:
    """The files of blocks, and what they are blocks of.

    Parameters
    ----------
    out : path
        A Parquet file, whose blocks lie beside it until it is written; any other name is a folder that keeps
        them, ``part-000000.parquet`` and so on.
    identity : str
        Of job and corpus.

    Raises
    ------
    ConfigError
        If the folder holds something else.
    """

    def __init__(self, out: str | Path, identity: str) -> None:
        self.out = Path(out).resolve()
        self.is_file = self.out.suffix.lower() in (".parquet", ".pq")
        self.folder = self.out.with_name(f"{self.out.name}.blocks") if self.is_file else self.out
        about = self.folder / _ABOUT
        known = read_json(about) if about.is_file() else {}
        if known.get("identity") != identity:
            if self.is_file and known:  # of an interrupted job on other data
                shutil.rmtree(self.folder)
            elif self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
                raise ConfigError(
                    f"{self.folder}: holds something else than this job's blocks; give another --out"
                )
            write_json(about, {"schema": _SCHEMA, "identity": identity})

    def path(self, number: int) -> Path:
        """Where a block's result lies."""
        return self.folder / f"part-{number:06d}.parquet"

    def has(self, number: int) -> bool:
        """Whether it is there, whole."""
        return self.path(number).is_file()

    def write(self, number: int, table: pa.Table) -> None:
        """Write a block's result, atomically."""
        with atomic_path(self.path(number)) as temporary:
            pq.write_table(table, temporary, use_dictionary=False)

    def finish(self) -> int:
        """Join the blocks to the file that was asked for; return how many rows there are."""
        parts = sorted(self.folder.glob("part-*.parquet"))
        if not self.is_file:
            return sum(pq.read_metadata(part).num_rows for part in parts)
        rows = 0
        with atomic_path(self.out) as temporary:
            schema = pq.read_schema(parts[0])
            with pq.ParquetWriter(temporary, schema, use_dictionary=False) as writer:
                for part in parts:
                    table = pq.read_table(part, use_threads=False)
                    writer.write_table(table)
                    rows += table.num_rows
        shutil.rmtree(self.folder)
        return rows


class Worker:
    """Computes blocks and files them; in this process, or as an actor of Ray.

    Parameters
    ----------
    job : BlockJob
    corpus : Corpus
    folder : BlockFolder
    """

    def __init__(self, job: BlockJob, corpus: Corpus, folder: BlockFolder) -> None:
        self._job, self._corpus, self._folder = job, corpus, folder

    def read(self, piece: Piece) -> int:
        """Work on a block of Parquet files unless that is done; return its number of rows."""
        if self._folder.has(piece.number):
            return piece.stop - piece.start
        return self.work(self._corpus.read(piece))

    def work(self, block: Block) -> int:
        """Work on a block; return its number of rows."""
        table = self._job(block.texts)
        if table.num_rows != len(block.texts):
            raise DataError(f"block {block.number}: {len(block.texts)} texts gave {table.num_rows} rows")
        self._folder.write(block.number, table)
        return len(block.texts)


def run_job(
    job: BlockJob, corpus: Corpus, out: str | Path, *, ray: str | None = None, quiet: bool = False
) -> int:
    """Do a job on every block that has no result yet, and put the results together.

    Parameters
    ----------
    job : BlockJob
    corpus : Corpus
    out : path
        See `BlockFolder`.
    ray : str, optional
        Address of a Ray cluster to share the blocks out to; its machines see the same files.
    quiet : bool
        Show no progress bar.

    Returns
    -------
    int
        Rows of the output.

    Raises
    ------
    ConfigError
        If a corpus that is no Parquet is to be shared out, or `out` holds something else.
    """
    folder = BlockFolder(out, f"{job.identity}-{corpus.identity}")
    worker = Worker(job, corpus, folder)
    done = sum(piece.stop - piece.start for piece in corpus.pieces or () if folder.has(piece.number))
    with progress(job.description, corpus.n_rows or 0, done=done, quiet=quiet) as advance:
        for rows in _local(worker, corpus, folder) if ray is None else _remote(worker, corpus, folder, ray):
            advance(rows)
    return folder.finish()


def _local(worker: Worker, corpus: Corpus, folder: BlockFolder) -> Iterator[int]:
    for block in corpus.blocks(lambda number: not folder.has(number)):
        yield worker.work(block)


def _remote(worker: Worker, corpus: Corpus, folder: BlockFolder, address: str) -> Iterator[int]:
    from qdllm.pipeline.cluster import share_out

    if corpus.pieces is None:
        raise ConfigError(f"{corpus.path}: Ray reads blocks of Parquet; write the texts as Parquet first")
    yield from share_out(worker, [p for p in corpus.pieces if not folder.has(p.number)], address)
