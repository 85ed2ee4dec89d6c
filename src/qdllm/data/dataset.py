"""Texts with their labels and groups, checked once, and free of duplicates when asked."""

import hashlib
import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from qdllm.errors import DataError
from qdllm.extras import require

__all__ = ["MAX_TEXT_CHARS", "DuplicateReport", "TextDataset", "deduplicate", "row_id"]

MAX_TEXT_CHARS = 100_000
"""The longest text that is taken, in characters: about thirty pages."""


@dataclass(frozen=True)
class TextDataset:
    """Texts, and where known a label and a group each.

    Parameters
    ----------
    texts : tuple of str
        None empty, none longer than `MAX_TEXT_CHARS`, none with a NUL character.
    labels : tuple of (str or None), optional
        The class of each text, None where it is not known.
    groups : tuple of str, optional
        What must not be torn apart by a split: a film, an author, a conversation.
    name : str
        What the data is called in messages and reports.

    Raises
    ------
    DataError
        Naming the row, counted from 1, that cannot be used.

    Examples
    --------
    >>> reviews = TextDataset.from_lists(["A joy.", "A bore.", "Hm."], ["fresh", "rotten", None])
    >>> len(reviews), reviews.classes
    (3, ('fresh', 'rotten'))
    """

    texts: tuple[str, ...]
    labels: tuple[str | None, ...] | None = None
    groups: tuple[str, ...] | None = None
    name: str = "data"

    def __post_init__(self) -> None:
        for column, values in (("labels", self.labels), ("groups", self.groups)):
            if values is not None and len(values) != len(self.texts):
                raise DataError(f"{self.name}: {len(self.texts)} texts but {len(values)} {column}")
        for row, text in enumerate(self.texts, start=1):
            check_text(text, f"{self.name}: row {row}")

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        parts = [f"{len(self)} texts"]
        if self.labels is not None:
            parts.append(f"{len(self.classes)} classes")
        if self.groups is not None:
            parts.append(f"{len(set(self.groups))} groups")
        return f"<TextDataset {self.name!r}: {', '.join(parts)}>"

    @cached_property
    def row_ids(self) -> tuple[str, ...]:
        """The `row_id` of each text."""
        return tuple(row_id(text) for text in self.texts)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, sorted as strings."""
        return tuple(sorted({label for label in self.labels or () if label is not None}))

    def take(self, indices: Iterable[int]) -> "TextDataset":
        """Return the rows at `indices` (positions from 0), in that order."""
        rows = [int(index) for index in indices]
        return TextDataset(
            texts=tuple(self.texts[i] for i in rows),
            labels=None if self.labels is None else tuple(self.labels[i] for i in rows),
            groups=None if self.groups is None else tuple(self.groups[i] for i in rows),
            name=self.name,
        )

    @classmethod
    def from_lists(
        cls,
        texts: Iterable[str],
        labels: Iterable[Any] | None = None,
        groups: Iterable[Any] | None = None,
        *,
        name: str = "data",
    ) -> "TextDataset":
        """Make a dataset from any sequences (lists, arrays, Series).

        Labels and groups may be strings, numbers or booleans and become strings; a label of None, NaN
        or an empty string means that it is not known. Labels of which none is known are as good as none.

        Raises
        ------
        DataError
            If `texts` is a single string, the lengths differ, or a row cannot be used.
        """
        if isinstance(texts, str):
            raise DataError(f"{name}: texts is a single string, not a list of them")
        return cls(
            texts=tuple(texts),
            labels=None if labels is None else _known(_cells(labels, name, "label")),
            groups=None if groups is None else _complete(_cells(groups, name, "group"), name),
            name=name,
        )

    @classmethod
    def from_datasets(
        cls,
        dataset: Any,
        *,
        text: str = "text",
        label: str = "label",
        group: str | None = None,
        name: str = "data",
    ) -> "TextDataset":
        """Make a dataset from one split of a Hugging Face ``datasets.Dataset``.

        Class indices become the names of their classes; -1, which stands for a hidden label there,
        becomes None.

        Raises
        ------
        DataError
            If it is no ``datasets.Dataset``, a column is missing, or a row cannot be used.
        MissingExtraError
            If the package is not installed.
        """
        datasets = require("datasets", "datasets", "reading a Hugging Face dataset")
        if isinstance(dataset, dict):
            raise DataError(f"{name}: has the splits {', '.join(map(repr, dataset))}; pass one of them")
        if not isinstance(dataset, datasets.Dataset):
            raise DataError(f"{name}: a {type(dataset).__name__} is no datasets.Dataset")
        columns = dataset.column_names
        for wanted in (text, group):
            if wanted is not None and wanted not in columns:
                raise missing_column(name, wanted, columns)
        labels: list[Any] | None = None
        if label in columns:
            labels = list(dataset[label])
            feature = dataset.features[label]
            if isinstance(feature, datasets.ClassLabel):
                labels = [None if i is None or i < 0 else feature.int2str(i) for i in labels]
        groups = None if group is None else list(dataset[group])
        return cls.from_lists(list(dataset[text]), labels, groups, name=name)


def row_id(text: str) -> str:
    r"""Return the SHA-256 (hex) of a text in Unicode's composed form (NFC), UTF-8 encoded.

    >>> row_id("が") == row_id("か\u3099")
    True
    """
    return hashlib.sha256(unicodedata.normalize("NFC", text).encode()).hexdigest()


@dataclass(frozen=True)
class DuplicateReport:
    """What `deduplicate` dropped, in rows.

    Parameters
    ----------
    kept : int
        Rows that are left.
    repeated : int
        Further copies of a text that was kept.
    contradictory : int
        All copies of texts that stand there with two different labels.
    """

    kept: int
    repeated: int
    contradictory: int

    def __str__(self) -> str:
        return (
            f"{self.kept:,} rows kept; dropped: {self.repeated:,} repeated, "
            f"{self.contradictory:,} with contradictory labels"
        )


def deduplicate(dataset: TextDataset) -> tuple[TextDataset, DuplicateReport]:
    """Keep each text once, and none that carries two different labels.

    Of equal texts (after NFC) the first with a label is kept, or the first where none has one. The order
    of rows stays.

    Raises
    ------
    DataError
        If nothing is left.

    Examples
    --------
    >>> data = TextDataset.from_lists(["a", "b", "a", "b"], ["x", "x", "x", "y"])
    >>> unique, report = deduplicate(data)
    >>> unique.texts, str(report)
    (('a',), '1 rows kept; dropped: 1 repeated, 2 with contradictory labels')
    """
    copies: dict[str, list[int]] = {}
    for index, key in enumerate(dataset.row_ids):
        copies.setdefault(key, []).append(index)
    labels = dataset.labels or (None,) * len(dataset)
    keep: list[int] = []
    contradictory = 0
    for rows in copies.values():
        known = [i for i in rows if labels[i] is not None]
        if len({labels[i] for i in known}) > 1:
            contradictory += len(rows)
        else:
            keep.append((known or rows)[0])
    if not keep:
        raise DataError(f"{dataset.name}: no row is left once duplicates are dropped; are the labels right?")
    report = DuplicateReport(len(keep), len(dataset) - len(keep) - contradictory, contradictory)
    return dataset.take(sorted(keep)), report


def check_text(text: object, where: str) -> str:
    """Return `text` if it can be used; `where` ("FILE: row 7") begins the message if not."""
    if not isinstance(text, str):
        raise DataError(f"{where}: the text is not a string but {type(text).__name__}")
    if not text or text.isspace():
        raise DataError(f"{where}: the text is empty; remove the row or fill it in")
    if len(text) > MAX_TEXT_CHARS:
        raise DataError(
            f"{where}: the text has {len(text):,} characters, at most {MAX_TEXT_CHARS:,} are taken; "
            "shorten it or cut it into several rows"
        )
    if "\0" in text:
        raise DataError(
            f"{where}: the text has a NUL character at position {text.index(chr(0)) + 1}; remove it"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where}: the text has half a surrogate pair at position {error.start + 1}; remove it"
        ) from error
    return text


def as_cell(value: object, where: str, column: str) -> str | None:
    """Return a label or group as a stripped NFC string, or None where the cell is empty.

    Whole floats lose their point: a table with a gap holds 1.0 where the user wrote 1.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int | float):
        raise DataError(f"{where}: the {column} is a {type(value).__name__}; give a string or a number")
    cell = unicodedata.normalize("NFC", str(value)).strip()
    if "\0" in cell:
        raise DataError(f"{where}: the {column} has a NUL character; remove it")
    try:
        cell.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: the {column} has half a surrogate pair; remove it") from error
    return cell or None


def missing_column(where: str, column: str, columns: Sequence[str]) -> DataError:
    """Make the error for a column that is not there, naming those that are."""
    shown = [repr(name if len(name) <= 40 else name[:39] + "…") for name in columns[:20]]
    if len(columns) > 20:
        shown.append(f"and {len(columns) - 20} more")
    return DataError(f"{where}: no column {column!r}; the columns are {', '.join(shown) or 'none'}")


def _cells(values: Iterable[Any], name: str, column: str) -> tuple[str | None, ...]:
    return tuple(as_cell(value, f"{name}: row {row}", column) for row, value in enumerate(values, start=1))


def _known(labels: tuple[str | None, ...]) -> tuple[str | None, ...] | None:
    return labels if any(label is not None for label in labels) else None


def _complete(groups: tuple[str | None, ...], name: str) -> tuple[str, ...]:
    for row, group in enumerate(groups, start=1):
        if group is None:
            raise DataError(f"{name}: row {row}: no group; give each row one, or split without groups")
    return tuple(group for group in groups if group is not None)
