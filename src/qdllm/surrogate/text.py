"""A surrogate that takes texts: an encoder and a compiled student."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from qdllm.encoders import Encoder, load_encoder
from qdllm.errors import DataError, SavedModelError
from qdllm.surrogate.saving import read_surrogate_config
from qdllm.surrogate.surrogate import Surrogate

__all__ = ["ENCODER_FOLDER", "TextSurrogate"]

ENCODER_FOLDER = "encoder"


class TextSurrogate:
    """Texts in, classes out: an encoder and a compiled student. Needs no torch unless the encoder does.

    Parameters
    ----------
    surrogate : Surrogate
    encoder : Encoder

    Examples
    --------
    >>> from qdllm import TextSurrogate
    >>> surrogate = TextSurrogate.from_pretrained("runs/reviews/surrogate")  # doctest: +SKIP
    >>> surrogate.predict_proba(["A film to remember."])  # doctest: +SKIP
    """

    def __init__(self, surrogate: Surrogate, encoder: Encoder) -> None:
        self.surrogate = surrogate
        self.encoder = encoder

    @property
    def classes_(self) -> NDArray[Any]:
        """The classes, in the order of the columns of `predict_proba`."""
        return self.surrogate.classes_

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Class probabilities, shape (n, n_classes)."""
        if isinstance(texts, str):
            raise DataError("texts is a single string, not a list of them")
        if not len(texts):
            return np.zeros((0, len(self.classes_)))
        return self.surrogate.predict_proba(self.encoder.encode(texts).astype(np.float64))

    def predict(self, texts: Sequence[str]) -> NDArray[Any]:
        """Most probable class of each text, shape (n,)."""
        return np.asarray(self.classes_[self.predict_proba(texts).argmax(axis=1)])

    @classmethod
    def from_pretrained(cls, path: str | Path) -> Self:
        """Load what `qdllm compile` wrote.

        Raises
        ------
        SavedModelError
            If a file is missing, truncated, altered or of another version, or there is no encoder.
        """
        folder = Path(path)
        if read_surrogate_config(folder)["encoder"] is None:
            raise SavedModelError(
                f"{folder}: this surrogate takes features, not texts; load it with Surrogate"
            )
        return cls(Surrogate.from_pretrained(folder), load_encoder(folder / ENCODER_FOLDER))
