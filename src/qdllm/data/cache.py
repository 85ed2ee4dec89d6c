"""Vectors that are costly to compute, kept on disk under the settings and text they belong to."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import ArrayLike, NDArray

from qdllm.errors import ConfigError, DataError, DiskFullError, WorkError
from qdllm.progress import progress

__all__ = ["VectorCache", "cache_dir", "cached_map"]

_WAIT_SECONDS = 60.0  # for another process to finish writing its batch
_KEYS_PER_QUERY = 500


def cache_dir() -> Path:
    """Return the folder for all that qdllm keeps between runs.

    The environment variable QDLLM_CACHE where it is set, else the user's cache folder.
    """
    chosen = os.environ.get("QDLLM_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("qdllm", appauthor=False)


class VectorCache:
    """A store of float32 vectors, one file for each set of settings.

    What was computed under other settings lies in another file and can never be mixed in. A batch is written
    whole or not at all: a kill loses no more than the batch being written. Several processes may use the
    same store at once.

    Parameters
    ----------
    directory : path
        Folder of the stores; made where it is missing.
    settings : dict
        Everything that a vector depends on besides its key, as JSON: model fingerprint, prompt, mode, …

    Attributes
    ----------
    path : Path
        The file, named by the SHA-256 of the settings.

    Raises
    ------
    ConfigError
        If the settings are not JSON.
    DataError
        If the file cannot be opened, is damaged, or was made with other settings.

    Notes
    -----
    SQLite with its rollback journal rather than a write-ahead log, which network file systems do not bear.
    """

    def __init__(self, directory: str | Path, settings: Mapping[str, Any]) -> None:
        try:
            self._settings = json.dumps(
                dict(settings), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
            )
        except (TypeError, ValueError) as error:
            raise ConfigError(f"cache settings must be JSON values: {error}") from error
        digest = hashlib.sha256(self._settings.encode()).hexdigest()
        self.path = Path(directory) / f"{digest[:32]}.sqlite"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.path.parent}: cannot be made ({error.strerror})") from error
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("CREATE TABLE IF NOT EXISTS settings (json TEXT NOT NULL)")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
            )
            found = connection.execute("SELECT json FROM settings").fetchone()
            if found is None:
                connection.execute("INSERT INTO settings VALUES (?)", (self._settings,))
            elif found[0] != self._settings:
                raise DataError(f"{self.path}: was made with other settings; remove the file")
            connection.execute("COMMIT")

    def __len__(self) -> int:
        with self._connection() as connection:
            return int(connection.execute("SELECT COUNT(*) FROM vectors").fetchone()[0])

    def get_many(self, keys: Iterable[str]) -> dict[str, NDArray[np.float32]]:
        """Return the vectors that are there, shape (d,) each, by key."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, NDArray[np.float32]] = {}
        with self._connection() as connection:
            for chunk in _chunks(wanted, _KEYS_PER_QUERY):
                marks = ",".join("?" * len(chunk))
                query = f"SELECT key, value FROM vectors WHERE key IN ({marks})"  # noqa: S608 - only marks
                for key, value in connection.execute(query, chunk):
                    found[key] = np.frombuffer(value, dtype="<f4").astype(np.float32)
        return found

    def put_many(self, vectors: Mapping[str, ArrayLike]) -> None:
        """Write vectors, shape (d,) each, in one transaction; those under the same key are replaced.

        Raises
        ------
        WorkError
            If a vector is not finite: what is kept is never NaN or infinite.
        DiskFullError
            If there is no room; what was there before stays.
        """
        rows: list[tuple[str, bytes]] = []
        for key, vector in vectors.items():
            values = np.asarray(vector, dtype="<f4")
            if values.ndim != 1 or not np.isfinite(values).all():
                raise WorkError(f"vector of {key[:12]}…: must be one row of finite numbers; got {values!r}")
            rows.append((key, values.tobytes()))
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
            connection.execute("COMMIT")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one operation: nothing is shared between threads or forked processes."""
        try:
            with closing(
                sqlite3.connect(self.path, timeout=_WAIT_SECONDS, isolation_level=None)
            ) as connection:
                yield connection
        except sqlite3.Error as error:
            reason = str(error)
            if "full" in reason:
                raise DiskFullError(
                    f"{self.path}: no room left on the disk; free some and run again"
                ) from error
            if "locked" in reason:
                raise WorkError(
                    f"{self.path}: another process holds it; wait for it and run again"
                ) from error
            if isinstance(error, sqlite3.OperationalError):
                raise DataError(f"{self.path}: cannot be used ({reason})") from error
            raise DataError(
                f"{self.path}: damaged ({reason}); remove the file, it will be made anew"
            ) from error


def cached_map(
    cache: VectorCache,
    texts: Sequence[str],
    compute: Callable[[list[str]], ArrayLike],
    *,
    batch_size: int,
    description: str,
    quiet: bool = False,
) -> NDArray[np.float32]:
    """Return one vector a text, computing only those that the cache lacks.

    Missing texts are computed in batches of similar length, longest first, so that padding is small and
    a lack of memory shows at once. Each batch is in the cache before the next begins: an interrupted run
    continues where it stopped.

    Parameters
    ----------
    cache : VectorCache
        Keyed by the SHA-256 of the exact text.
    texts : sequence of str, length n
        May repeat.
    compute : callable
        From a list of at most `batch_size` texts to a float array, shape (len(list), d), all finite.
    batch_size : int
        At least 1.
    description : str
        For the progress bar: "encoding with minilm".
    quiet : bool
        Show no bar.

    Returns
    -------
    ndarray of float32, shape (n, d)
        In the order of `texts`; (0, 0) without texts.

    Raises
    ------
    WorkError
        If `compute` returns another shape, or numbers that are not finite.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size {batch_size}: at least 1")
    keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    by_key = dict(zip(keys, texts, strict=True))
    vectors = cache.get_many(by_key)
    missing = sorted((key for key in by_key if key not in vectors), key=lambda key: -len(by_key[key]))
    with progress(description, total=len(by_key), done=len(vectors), quiet=quiet) as advance:
        for batch in _chunks(missing, batch_size):
            result = np.asarray(compute([by_key[key] for key in batch]), dtype=np.float32)
            if result.ndim != 2 or len(result) != len(batch):
                raise WorkError(f"{description}: {len(batch)} texts gave an array of shape {result.shape}")
            fresh = dict(zip(batch, result, strict=True))
            cache.put_many(fresh)
            vectors |= fresh
            advance(len(batch))
    widths = {len(vector) for vector in vectors.values()}
    if len(widths) > 1:
        raise WorkError(
            f"{description}: vectors of different lengths {sorted(widths)} in {cache.path}; remove it"
        )
    if not keys:
        return np.empty((0, 0), dtype=np.float32)
    return np.stack([vectors[key] for key in keys])


def _chunks(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
