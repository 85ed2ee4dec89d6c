"""A table of trained n-gram vectors: an encoder of less than a megabyte, without any transformer.

A bag of n-grams with vectors trained for the task, after fastText (Joulin et al. 2016, arXiv 1607.01759).
Hashing (Weinberger et al., ICML 2009) keeps no vocabulary; unlike there every slot of the table belongs to
one n-gram, told by its signature, so that n-grams never seen in training say nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy import sparse

from qdllm.encoders.base import Encoder, SavedEncoder
from qdllm.encoders.hashing import Hashes, count_slots, hash_ngrams, place
from qdllm.errors import ConfigError, SavedModelError

if TYPE_CHECKING:
    from qdllm.encoders.ngram_table import NgramTable

__all__ = ["NgramEncoder"]

_WEIGHTS = "weights.safetensors"
_NOT_TRAINED = (
    "encoder 'ngrams' learns its features together with a student and has none before; "
    "give it to `qdllm distill` or to TextStudent"
)
_MAX_BITS = 16  # of a slot's number: 65,536 slots of 11 numbers and a signature are 0.85 MB


class NgramSettings(BaseModel):
    """What an n-gram encoder can be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_bits: int = Field(_MAX_BITS, ge=1, le=24)


class NgramEncoder(Encoder):
    """The sum of a text's n-gram vectors, trained together with a student: straight to its angles.

    N-grams are those of `qdllm.encoders.hashing`. `fit` gives each slot of the table to the most frequent of
    the n-grams that fall into it and stand in at least two training texts. A text's features are

        Σ (1 + ln tf) · idf · vector / √(number of its n-grams that have a slot),

    with idf = 1 + ln((1 + n) / (1 + df)) folded into the vectors, which are kept in 8 bits with one scale a
    column. The vectors come from training with a student (`module`, `take`; `qdllm.student.fit_jointly`);
    before, the encoder has none, and no features of its own.

    Parameters
    ----------
    max_bits : int
        At most 2 ** max_bits slots, 1 to 24; on few texts there are fewer.

    Raises
    ------
    ConfigError
        If `max_bits` is out of range.
    """

    name = "ngrams"

    def __init__(self, max_bits: int = _MAX_BITS) -> None:
        try:
            self.settings = NgramSettings(max_bits=max_bits)
        except ValidationError as error:
            raise ConfigError(f"max_bits {max_bits}: an n-gram table has 2^1 to 2^24 slots") from error
        self._signatures = np.zeros(0, dtype=np.uint16)  # (slots,), 0 where a slot belongs to none
        self._idf = np.zeros(0, dtype=np.float32)  # (slots,); known between fit and take
        self._vectors = np.zeros((0, 0), dtype=np.int8)  # (slots, dim)
        self._scale = np.zeros(0, dtype=np.float32)  # (dim,)
        self._table = np.zeros((0, 0), dtype=np.float32)  # both multiplied; empty until trained

    @property
    def fingerprint(self) -> str:
        """See `Encoder.fingerprint`; covers all that was trained."""
        state = hashlib.sha256(self.settings.model_dump_json().encode())
        for name, part in sorted(self._state().items()):
            state.update(f"{name} {part.shape}".encode() + part.tobytes())
        return state.hexdigest()[:32]

    @property
    def dim(self) -> int:
        """See `Encoder.dim`; known once it is trained."""
        return int(self._trained.shape[1])

    @property
    def n_parameters(self) -> int:
        """The vectors of all slots, the columns' scales, and the signatures."""
        return sum(part.size for part in self._state().values())

    @property
    def n_trained(self) -> int:
        """The vectors of slots that an n-gram owns."""
        return int(np.count_nonzero(self._signatures)) * self.dim

    @property
    def n_slots(self) -> int:
        """Rows of the table; known once it is fitted."""
        return len(self._fitted)

    @property
    def table(self) -> dict[str, NDArray[Any]]:
        """What was trained: ``signatures`` (n_slots,), ``vectors`` (n_slots, dim), ``scale`` (dim,).

        Raises
        ------
        ConfigError
            If the encoder was never trained.
        """
        return self._state()

    def bags(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Count the n-grams that have a slot, without idf.

        Parameters
        ----------
        texts : sequence of str, length n

        Returns
        -------
        csr_matrix of float32, shape (n, n_slots)
            (1 + ln tf) / √(number of entries in the row).

        Raises
        ------
        ConfigError
            If the encoder was never fitted.
        """
        signatures = self._fitted
        ends, slots, counts = count_slots(texts, signatures)
        lengths = np.diff(ends)
        weights = (1 + np.log(counts)) / np.sqrt(np.repeat(lengths, lengths))
        return sparse.csr_matrix(
            (weights.astype(np.float32), slots, ends), shape=(len(texts), len(signatures))
        )

    def weighted_bags(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Return the bags times idf: TF-IDF of the n-grams that have a slot, for a linear model.

        Raises
        ------
        ConfigError
            If the encoder was not fitted in this process: a saved one has no idf of its own.
        """
        if not self._idf.size:
            raise ConfigError("encoder 'ngrams' was not fitted here; call fit with the training texts first")
        return self.bags(texts) @ sparse.diags(self._idf, format="csr")

    def module(self, texts: Sequence[str], dim: int) -> NgramTable:
        """Return the table to be trained, all zero, for these texts.

        Parameters
        ----------
        texts : sequence of str
            All that training and the choice of the epoch will look at.
        dim : int
            Columns of the table: the student's angles.
        """
        from qdllm.encoders.ngram_table import NgramTable

        return NgramTable(self.weighted_bags(texts), self._idf, dim)

    def take(self, table: NDArray[np.float32]) -> None:
        """Keep trained vectors, shape (n_slots, dim), in 8 bits."""
        largest = np.abs(table).max(axis=0)
        self._scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
        self._vectors = np.rint(table / self._scale).astype(np.int8)
        self._table = self._vectors * self._scale

    def _fit(self, texts: list[str]) -> None:
        hashes, frequencies = _document_frequencies(texts)
        often = frequencies > 1
        if often.any():  # what stands in one text alone can only be learned by heart
            hashes, frequencies = hashes[often], frequencies[often]
        bits = min(self.settings.max_bits, max(1, (2 * len(hashes) - 1).bit_length()))
        ascending = np.argsort(frequencies, kind="stable")  # the last one to be placed stays
        slots, signs = place(hashes[ascending], bits)
        self._signatures = np.zeros(2**bits, dtype=np.uint16)
        self._signatures[slots] = signs
        self._idf = np.zeros(2**bits, dtype=np.float32)
        self._idf[slots] = 1 + np.log((1 + len(texts)) / (1 + frequencies[ascending]))
        self._table = np.zeros((0, 0), dtype=np.float32)

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        table = self._trained
        return np.asarray(self.bags(texts) @ table)

    def _type(self) -> Literal["ngrams"]:
        return "ngrams"

    def _options(self) -> dict[str, Any]:
        return self.settings.model_dump()

    def _state(self) -> dict[str, NDArray[Any]]:
        trained = self._trained
        return (
            {"signatures": self._signatures, "vectors": self._vectors, "scale": self._scale}
            if trained.size
            else {}
        )

    def _write_state(self, folder: Path) -> None:
        save_file(self._state(), folder / _WEIGHTS)

    @classmethod
    def _load(cls, folder: Path, saved: SavedEncoder) -> NgramEncoder:
        try:
            encoder = cls(**NgramSettings.model_validate(saved.options).model_dump())
            weights = load_file(folder / _WEIGHTS)
            encoder._signatures, encoder._vectors = weights["signatures"], weights["vectors"]
            encoder._scale = weights["scale"]
            encoder._table = encoder._vectors * encoder._scale
            if encoder.fingerprint == saved.fingerprint:
                return encoder
        except (ValidationError, SafetensorError, OSError) as error:
            raise SavedModelError(
                f"{folder}: a file of the encoder cannot be read ({error}); save it again"
            ) from error
        except (KeyError, ValueError, ConfigError) as error:
            raise SavedModelError(
                f"{folder}: the files of the encoder do not fit together; save it again"
            ) from error
        raise SavedModelError(f"{folder}: a file of the encoder was altered; save it again")

    @property
    def _fitted(self) -> NDArray[np.uint16]:
        if not self._signatures.size:
            raise ConfigError("encoder 'ngrams' is not fitted; call fit with the training texts first")
        return self._signatures

    @property
    def _trained(self) -> NDArray[np.float32]:
        if not self._table.size:
            raise ConfigError(_NOT_TRAINED)
        return self._table


def _document_frequencies(texts: list[str]) -> tuple[Hashes, NDArray[np.int64]]:
    """Return the n-grams of texts, sorted, and in how many texts each stands."""
    found: list[Hashes] = []
    counts: list[NDArray[np.int64]] = []
    for rows, hashes in hash_ngrams(texts):
        order = np.lexsort((rows, hashes))
        row, ordered = rows[order], hashes[order]
        first = np.append(True, (ordered[1:] != ordered[:-1]) | (row[1:] != row[:-1]))
        here, frequency = np.unique(ordered[first], return_counts=True)
        found.append(here)
        counts.append(frequency)
    merged, places = np.unique(np.concatenate(found), return_inverse=True)
    return merged, np.bincount(places, weights=np.concatenate(counts)).astype(np.int64)
