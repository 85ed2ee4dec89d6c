"""Linear maps of bit strings. A map is the tuple of its columns: the images, as masks, of single bits."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["apply", "coordinates", "extend", "invert", "table", "transpose_apply"]


def apply(columns: Sequence[int], vector: int) -> int:
    """Return the image of a bit string."""
    image = 0
    for bit, column in enumerate(columns):
        if vector >> bit & 1:
            image ^= column
    return image


def transpose_apply(columns: Sequence[int], mask: int) -> int:
    """Return the mask whose parity with v is that of `mask` with the image of v."""
    return sum(((mask & column).bit_count() & 1) << bit for bit, column in enumerate(columns))


def extend(echelon: list[int], vector: int) -> bool:
    """Add a vector to an echelon basis; say whether it was independent of it."""
    for pivot in echelon:
        vector = min(vector, vector ^ pivot)
    if vector:
        echelon.append(vector)
    return vector != 0


def coordinates(basis: Sequence[int], vector: int) -> int | None:
    """Return which of some independent vectors add up to `vector`, as a mask; None if none do."""
    reduced: list[tuple[int, int]] = []
    for index, column in enumerate(basis):
        reduced.append(_reduce(reduced, column, 1 << index))
    left, mask = _reduce(reduced, vector, 0)
    return None if left else mask


def _reduce(echelon: Sequence[tuple[int, int]], vector: int, mask: int) -> tuple[int, int]:
    for pivot, label in echelon:
        if vector ^ pivot < vector:
            vector, mask = vector ^ pivot, mask ^ label
    return vector, mask


def invert(columns: Sequence[int]) -> tuple[int, ...]:
    """Return the inverse of an invertible map."""
    n = len(columns)
    rows = [(column, 1 << bit) for bit, column in enumerate(columns)]
    for bit in range(n):
        pivot = next(i for i in range(bit, n) if rows[i][0] >> bit & 1)
        rows[bit], rows[pivot] = rows[pivot], rows[bit]
        value, label = rows[bit]
        rows = [
            (v ^ value, w ^ label) if i != bit and v >> bit & 1 else (v, w) for i, (v, w) in enumerate(rows)
        ]
    return tuple(label for _, label in rows)


def table(columns: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return the images of all bit strings (2^n,)."""
    images = np.zeros(1, dtype=np.int64)
    for column in columns:
        images = np.concatenate([images, images ^ column])
    return images
