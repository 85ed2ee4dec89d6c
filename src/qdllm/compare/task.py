"""What every model of a comparison is given, and what it has to be able to do.

All contenders see the same rows, features, labels, soft labels and number of settings. The labels of test
rows are in no object that a contender is handed.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qdllm.errors import DataError
from qdllm.files import atomic_path

__all__ = ["ComparisonTask", "Contender", "Fitted", "Group", "Lesson", "Rows", "Setting"]

Setting = Mapping[str, Any]
"""One choice of hyperparameters, as JSON values."""

Group = Literal["student", "control", "baseline"]
"""What a contender stands for."""

_PARTS = ("train", "validation", "test")
_META = b"qdllm"


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows as a contender may see them.

    Attributes
    ----------
    texts : tuple of str, length n
    x : ndarray of float32, shape (n, d)
        Features by the comparison's encoder; not scaled.
    y : ndarray of int64, shape (n,)
        Index of the class; −1 where the label is not known, hidden, or of a test row.
    soft : ndarray of float64, shape (n, C), optional
        The teacher's probabilities; None where there is no teacher.
    """

    texts: tuple[str, ...]
    x: NDArray[np.float32]
    y: NDArray[np.int64]
    soft: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        """Refuse columns of different lengths."""
        lengths = {len(self.texts), len(self.x), len(self.y)} | (
            {len(self.soft)} if self.soft is not None else set()
        )
        if len(lengths) > 1:
            raise DataError(f"rows: columns of different lengths {sorted(lengths)}")

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.texts)

    @property
    def inputs(self) -> "Rows":
        """The rows with nothing known of their classes: what a prediction is made from."""
        return Rows(self.texts, self.x, np.full(len(self), -1))

    def take(self, rows: NDArray[np.int64]) -> "Rows":
        """Rows by index."""
        soft = None if self.soft is None else self.soft[rows]
        return Rows(tuple(self.texts[i] for i in rows), self.x[rows], self.y[rows], soft)

    def limited(self, n: int, seed: int) -> "Rows":
        """At most `n` rows: drawn by the seed, classes in proportion, in the order they stand in."""
        return self if len(self) <= n else self.take(_draw(self.y, n, seed))


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a contender learns from.

    Attributes
    ----------
    classes : tuple of str, length C
        Sorted; the order of all columns.
    train : Rows
        To learn from.
    validation : Rows
        To stop early by, or to choose whatever a setting leaves open; not to learn from.
    """

    classes: tuple[str, ...]
    train: Rows
    validation: Rows


class Fitted(ABC):
    """A contender after training.

    Attributes
    ----------
    n_trained : int
        Numbers that training changed.
    n_parameters : int
        All numbers that prediction needs, without the comparison's encoder; frozen ones included.
    """

    n_trained: int
    n_parameters: int

    @abstractmethod
    def predict_proba(self, rows: Rows) -> NDArray[np.float64]:
        """Return class probabilities, shape (n, C); may read `rows.x` or `rows.texts` and nothing else."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write all that prediction needs, without the comparison's encoder, into the empty `folder`.

        The comparison counts the bytes. No pickle.
        """


class Contender(ABC):
    """A way to make a classifier; it can be pickled, since processes of their own fit it.

    Attributes
    ----------
    name : str
        In every table; no two contenders have the same.
    group : {"student", "control", "baseline"}
    uses : {"features", "texts"}
        What prediction reads. The comparison's encoder is counted in parameters, bytes and time of those that
        read features.
    max_rows, max_settings : int or None
        More training rows and settings than these take too long here; all others are then given no more.
    """

    name: str
    group: Group
    uses: Literal["features", "texts"]
    max_rows: int | None = None
    max_settings: int | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """All that a fit depends on besides setting, data and seed, as JSON; the fit is kept under it."""
        return {"name": self.name}

    def check(self) -> None:  # noqa: B027 - most need nothing
        """Look whether it can run here.

        Raises
        ------
        MissingExtraError, ConfigError
            If a package or a model is missing: it is then skipped, by name and with this reason.
        """

    @abstractmethod
    def settings(self, budget: int) -> list[Setting]:
        """Return at most `budget` settings to try, the most promising first; always the same ones.

        Each is fitted and the best on the validation rows is kept. Whatever a fit chooses itself by
        validation rows along one path of training (an epoch, a strength) is not a setting of its own.
        """

    @abstractmethod
    def fit(self, lesson: Lesson, setting: Setting, seed: int) -> Fitted:
        """Train; the same arguments give the same classifier.

        Raises
        ------
        QdllmError
            If it cannot be done: the fit becomes a failed row with this reason.
        """


@dataclass(frozen=True, eq=False)
class ComparisonTask:
    """One data set, split and taught once.

    Attributes
    ----------
    seed : int
        Of the split, the teacher and all contenders.
    classes : tuple of str
    rows : Rows
        All rows; `y` shows no test label.
    part : ndarray of str, shape (n,)
        "train", "validation" or "test".
    truth : ndarray of int64, shape (n,)
        Gold classes of test rows for scoring, −1 elsewhere and where not known.
    about : dict
        JSON values for the report: names of data and teacher.
    """

    seed: int
    classes: tuple[str, ...]
    rows: Rows
    part: NDArray[np.str_]
    truth: NDArray[np.int64]
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a visible test label, or parts that are not there."""
        if (self.rows.y[self.part == "test"] >= 0).any():
            raise DataError("a comparison's task shows the label of a test row")
        for name in _PARTS:
            if not (self.part == name).any():
                raise DataError(f"a comparison needs {name} rows; this split has none")

    @property
    def lesson(self) -> Lesson:
        """What contenders learn from."""
        return Lesson(self.classes, self.take("train"), self.take("validation"))

    def take(self, part: Literal["train", "validation", "test"]) -> Rows:
        """Return the rows of a part."""
        return self.rows.take(np.flatnonzero(self.part == part))

    def limited(self, n_train: int) -> "ComparisonTask":
        """Return the task with at most `n_train` training rows: drawn by the seed, classes in proportion."""
        rows = np.flatnonzero(self.part == "train")
        if len(rows) <= n_train:
            return self
        kept = rows[_draw(self.rows.y[rows], n_train, self.seed)]
        keep = np.sort(np.concatenate([kept, np.flatnonzero(self.part != "train")]))
        return replace(self, rows=self.rows.take(keep), part=self.part[keep], truth=self.truth[keep])

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of all that a fit and its scores depend on."""
        state = hashlib.sha256(json.dumps([self.seed, self.classes, self.rows.texts]).encode())
        soft = np.zeros(0) if self.rows.soft is None else self.rows.soft
        for column in (self.rows.x, self.rows.y, soft, self.truth):
            state.update(np.ascontiguousarray(column).tobytes())
        state.update(" ".join(self.part).encode())
        return state.hexdigest()

    def write(self, path: str | Path) -> None:
        """Write a Parquet file that `read` brings back bit for bit."""
        columns: dict[str, Any] = {
            "text": pa.array(self.rows.texts, pa.string()),
            "part": pa.array(self.part.tolist(), pa.string()),
            "y": self.rows.y,
            "truth": self.truth,
            "x": _lists(self.rows.x),
        }
        if self.rows.soft is not None:
            columns["soft"] = _lists(self.rows.soft)
        meta = {"seed": self.seed, "classes": self.classes, "about": self.about}
        table = pa.table(columns).replace_schema_metadata({_META: json.dumps(meta).encode()})
        with atomic_path(path) as temporary:
            pq.write_table(table, temporary)

    @classmethod
    def read(cls, path: str | Path) -> "ComparisonTask":
        """Read what `write` wrote."""
        table = pq.read_table(path)
        meta = json.loads(table.schema.metadata[_META])
        soft = _matrix(table["soft"]) if "soft" in table.column_names else None
        y = table["y"].to_numpy()
        rows = Rows(tuple(table["text"].to_pylist()), _matrix(table["x"]), y, soft)
        part = np.array(table["part"].to_pylist())
        return cls(
            meta["seed"], tuple(meta["classes"]), rows, part, table["truth"].to_numpy(), about=meta["about"]
        )


def _draw(y: NDArray[np.int64], n: int, seed: int) -> NDArray[np.int64]:
    order = np.random.default_rng([seed, 17]).permutation(len(y))
    # Sorted by class and read at even steps, so that every class keeps its share.
    by_class = order[np.argsort(y[order], kind="stable")]
    return np.sort(by_class[np.linspace(0, len(y) - 1, n).round().astype(np.int64)])


def _lists(matrix: NDArray[Any]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])


def _matrix(column: pa.ChunkedArray) -> NDArray[Any]:
    lists = column.combine_chunks()
    values = lists.flatten().to_numpy()
    return np.array(values.reshape(len(lists), lists.type.list_size))
