"""What a teacher may see of a dataset: visible labels, and the rows that its calibration is measured on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdllm.data import Split, TextDataset
from qdllm.errors import DataError

__all__ = ["CALIBRATION_ROWS", "Task", "find_classes", "stratified_sample"]

CALIBRATION_ROWS = 1000
"""At most so many rows serve to choose settings, fit a temperature and measure a teacher's accuracy."""

_FEWEST_VALIDATION_ROWS = 30


@dataclass(frozen=True, eq=False)
class Task:
    """A dataset and its split as a teacher may see them; test rows are not in it.

    Attributes
    ----------
    classes : tuple of str, length C
    texts, row_ids, groups : tuple of str, length n
        Of the whole dataset; groups may be None.
    codes : ndarray of int64, shape (n,)
        Index of the class; −1 where the label is not known, hidden, or of a test row.
    train : ndarray of int64
        Rows of the training part with a visible label.
    unlabelled : ndarray of int64
        All rows of the training part, for statistics that need no label.
    calibration : ndarray of int64
        Visible validation rows; where there are fewer than 30, all visible rows of both parts.
    source : str
        "validation", "held-out" (calibration rows may be training rows, predicted by a teacher that has not
        seen them) or "none" (no label is visible).
    """

    classes: tuple[str, ...]
    texts: tuple[str, ...]
    row_ids: tuple[str, ...]
    groups: tuple[str, ...] | None
    codes: NDArray[np.int64]
    train: NDArray[np.int64]
    unlabelled: NDArray[np.int64]
    calibration: NDArray[np.int64]
    source: str

    @classmethod
    def of(cls, dataset: TextDataset, split: Split, classes: Sequence[str], *, seed: int) -> "Task":
        """Collect what is visible; the calibration rows are the same for every teacher of one seed.

        Raises
        ------
        DataError
            If the split is of another dataset.
        """
        if len(split.part) != len(dataset):
            raise DataError(f"{dataset.name}: a split of {len(split.part)} rows for {len(dataset)} texts")
        index = {name: code for code, name in enumerate(classes)}
        codes = np.array([index.get(label or "", -1) for label in dataset.labels or [None] * len(dataset)])
        codes[~split.labelled | (split.part == "test")] = -1
        visible = codes >= 0
        validation = np.flatnonzero(visible & (split.part == "validation"))
        source, calibration = "validation", validation
        if len(validation) < _FEWEST_VALIDATION_ROWS:
            source, calibration = "held-out" if visible.any() else "none", np.flatnonzero(visible)
        return cls(
            classes=tuple(classes),
            texts=dataset.texts,
            row_ids=dataset.row_ids,
            groups=dataset.groups,
            codes=codes,
            train=np.flatnonzero(visible & (split.part == "train")),
            unlabelled=split.indices("train"),
            calibration=stratified_sample(calibration, codes, CALIBRATION_ROWS, seed=seed),
            source=source,
        )

    def take(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the texts of rows."""
        return [self.texts[row] for row in rows]


def find_classes(dataset: TextDataset, given: Sequence[str] | None, what: str) -> tuple[str, ...]:
    """Return the dataset's classes, or where it has no label at all those that are given.

    Raises
    ------
    DataError
        If there are fewer than two, or a label of the dataset is not among the given ones.
    """
    known = tuple(sorted(given)) if given is not None else dataset.classes
    strangers = sorted(set(dataset.classes) - set(known))
    if strangers:
        raise DataError(
            f"{dataset.name}: {what} does not know the class {strangers[0]!r}, only {', '.join(known)}"
        )
    if len(known) < 2:
        found = f"only the class {known[0]!r}" if known else "no labels"
        raise DataError(f"{dataset.name}: {found}; {what} needs at least two classes")
    return known


def stratified_sample(
    rows: NDArray[np.int64], codes: NDArray[np.int64], size: int, *, seed: int
) -> NDArray[np.int64]:
    """Choose about `size` of `rows` where there are more: each class in its proportion, none left out."""
    if len(rows) <= size:
        return rows
    rng = np.random.default_rng([seed, 11])
    chosen: list[int] = []
    for code in np.unique(codes[rows]):
        of_class = rows[codes[rows] == code]
        share = max(1, round(size * len(of_class) / len(rows)))
        chosen.extend(rng.permutation(of_class)[:share].tolist())
    return np.sort(np.array(chosen, dtype=np.int64))
