"""A model that answers texts: what the server asks, and what is timed for the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["TextModel"]


@dataclass(frozen=True)
class TextModel:
    """Texts in, class probabilities out.

    Parameters
    ----------
    name : str
        "student", "surrogate" or "teacher".
    classes : tuple of str, length C
    predict_proba : callable
        Takes a sequence of n texts, returns an array of shape (n, C). It keeps nothing of the texts.
    """

    name: str
    classes: tuple[str, ...]
    predict_proba: Callable[[Sequence[str]], NDArray[np.float64]]
