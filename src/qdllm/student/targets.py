"""What a student learns from, features aside: labels, a teacher's probabilities, and rows to choose by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from qdllm.distill import Batch
from qdllm.errors import DataError

__all__ = ["Targets", "as_mask", "check_probabilities", "draw_validation", "encode_labels"]

_LEAST_ROWS = 20  # fewer are all needed to learn from


@dataclass(frozen=True, eq=False)
class Targets:
    """What rows are to be learned from, features aside.

    Attributes
    ----------
    codes : ndarray of int64, shape (n,)
        Class indices; -1 where no gold label may be used.
    soft : ndarray, shape (n, n_classes), optional
        The teacher's probabilities.
    held_out : ndarray of bool, shape (n,)
        Rows to choose the epoch by.
    """

    codes: NDArray[np.int64]
    soft: NDArray[np.float64] | None
    held_out: NDArray[np.bool_]

    def join(self, x: torch.Tensor) -> tuple[Batch, Batch]:
        """Return the rows to learn from and those to choose by: the same where none are held out."""
        soft = None if self.soft is None else torch.as_tensor(self.soft, dtype=torch.float32)
        rows = Batch(x, torch.as_tensor(self.codes), soft)
        training = rows.take(torch.as_tensor(np.flatnonzero(~self.held_out)))
        if not self.held_out.any():
            return training, training
        return training, rows.take(torch.as_tensor(np.flatnonzero(self.held_out)))


def encode_labels(
    n_rows: int,
    y: ArrayLike | None,
    labelled: ArrayLike | None,
    classes: ArrayLike | None,
    soft_labels: ArrayLike | None,
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Find the classes, and each row's place among them.

    Parameters
    ----------
    n_rows : int
    y, labelled, classes, soft_labels
        See `Student.fit`.

    Returns
    -------
    classes : ndarray, shape (n_classes,)
        Sorted.
    codes : ndarray of int64, shape (n_rows,)
        -1 where no label may be used.

    Raises
    ------
    DataError
        If shapes do not fit, a label is of no class, or only one class is left.
    """
    if y is None:
        width = np.atleast_1d(np.asarray(soft_labels)).shape[-1]
        names = np.arange(width) if classes is None else _sorted_classes(classes)
        if len(names) < 2:
            raise DataError("soft_labels has only one class: classifying needs at least two")
        return names, np.full(n_rows, -1, dtype=np.int64)
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = column_or_1d(labels, warn=True)
    if labels.shape != (n_rows,):
        raise DataError(f"y has shape {labels.shape}, X has {n_rows} rows: y must be one label a row")
    usable = as_mask(labelled, n_rows, "labelled", default=True)
    if usable.any():
        check_classification_targets(labels[usable])
    names = np.unique(labels[usable]) if classes is None else _sorted_classes(classes)
    if len(names) < 2:
        raise DataError(f"y has only one class, {names.tolist()}: classifying needs at least two")
    codes = np.full(n_rows, -1, dtype=np.int64)
    codes[usable] = np.searchsorted(names, labels[usable])
    unknown = usable & (names[np.clip(codes, 0, len(names) - 1)] != labels)
    if unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        raise DataError(f"y, row {row + 1}: {labels[row]!r} is not one of the classes {names.tolist()}")
    return names, codes


def draw_validation(
    codes: NDArray[np.int64], n_classes: int, fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Draw a share of the rows, of each class alike where it has two and more; none where there are few.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    held_out = np.zeros(len(codes), dtype=bool)
    n_held = round(fraction * len(codes))
    counts = np.bincount(codes + 1)
    smallest = counts[counts > 0].min()
    if n_held > n_classes and len(codes) >= _LEAST_ROWS:
        stratify = codes if smallest >= 2 else None
        _, rows = train_test_split(
            np.arange(len(codes)), test_size=n_held, random_state=seed, stratify=stratify
        )
        held_out[rows] = True
    return held_out


def as_mask(value: ArrayLike | None, n_rows: int, name: str, *, default: bool) -> NDArray[np.bool_]:
    """Check one boolean a row; `default` for all where there is none.

    Raises
    ------
    DataError
        If it is something else.
    """
    if value is None:
        return np.full(n_rows, default)
    mask = np.asarray(value)
    if mask.shape != (n_rows,) or mask.dtype != bool:
        raise DataError(f"{name} must be {n_rows} booleans; it is {mask.dtype} of shape {mask.shape}")
    return mask


def check_probabilities(soft_labels: ArrayLike, n_rows: int, n_classes: int) -> NDArray[np.float64]:
    """Check that each row is a probability of each class.

    Raises
    ------
    DataError
        If the shape is another, or a row does not sum to 1 within 0.001.
    """
    soft = np.asarray(soft_labels, dtype=np.float64)
    if soft.shape != (n_rows, n_classes):
        raise DataError(f"soft_labels has shape {soft.shape}; ({n_rows}, {n_classes}) is needed")
    wrong = ~((soft >= 0).all(axis=1) & (np.abs(soft.sum(axis=1) - 1) <= 1e-3))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(f"soft_labels, row {row + 1}: {soft[row].tolist()} do not sum to 1")
    return soft


def _sorted_classes(classes: ArrayLike) -> NDArray[Any]:
    names = np.asarray(classes)
    if names.ndim != 1 or not np.array_equal(names, np.unique(names)):
        raise DataError(f"classes must be sorted, each once; they are {names.tolist()}")
    return names
