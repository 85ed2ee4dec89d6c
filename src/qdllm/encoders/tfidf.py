"""TF-IDF of words and characters, projected by a truncated SVD: an encoder without any model.

Latent semantic analysis after Deerwester et al., JASIS 41 (1990) 391.
"""

import hashlib
import json
import unicodedata
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from qdllm.encoders.base import Encoder, SavedEncoder
from qdllm.errors import ConfigError, DataError, SavedModelError
from qdllm.files import read_json, write_json

__all__ = ["TfidfEncoder", "normalise_text"]

_VOCABULARY, _WEIGHTS = "vocabulary.json", "weights.safetensors"
_ROWS = 4096  # encoded at once, so that memory does not grow with the number of texts

# Chosen on validation rows of topic, emotion and hiding. A script without spaces has few words and is carried
# by the characters, single ones included; larger vocabularies gain nothing but a larger file.
_BLOCKS: dict[str, dict[str, Any]] = {
    "words": {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"\w+", "max_features": 10_000},
    "characters": {"analyzer": "char_wb", "ngram_range": (1, 5), "max_features": 20_000},
}


def normalise_text(text: str) -> str:
    """Bring a text to NFKC and lower case, so that full-width and half-width forms are one.

    Examples
    --------
    >>> normalise_text("QD-LLM ｶﾞｿﾘﾝ")
    'qd-llm ガソリン'
    """
    return unicodedata.normalize("NFKC", text).lower()


class TfidfSettings(BaseModel):
    """What a TF-IDF encoder can be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dim: int
    seed: int


class TfidfEncoder(Encoder):
    """Word 1- and 2-grams and character 1- to 5-grams, weighted by TF-IDF, projected to `dim` numbers.

    Text is normalised (`normalise_text`) first. Term frequencies count as 1 + log tf. A row of features has
    length 1.

    Parameters
    ----------
    dim : int
        Features, at least 1; fewer where the training texts span fewer directions.
    seed : int
        Of the randomised SVD.

    Examples
    --------
    >>> encoder = TfidfEncoder(dim=2).fit(["good film", "bad film", "good food"])
    >>> encoder.encode(["a good one"]).shape
    (1, 2)
    """

    name = "tfidf"

    def __init__(self, dim: int = 256, *, seed: int = 0) -> None:
        if dim < 1:
            raise ConfigError(f"dim {dim}: a TF-IDF encoder needs at least 1 feature")
        self.settings = TfidfSettings(dim=dim, seed=seed)
        self._vectorizers: dict[str, TfidfVectorizer] = {}
        self._projection = np.zeros((0, 0), dtype=np.float32)  # (n-grams, dim)

    @property
    def fingerprint(self) -> str:
        """See `Encoder.fingerprint`; covers all that was fitted."""
        state = hashlib.sha256(self.settings.model_dump_json().encode())
        for part in (self._fitted.tobytes(), self._idf().tobytes(), json.dumps(self._vocabulary()).encode()):
            state.update(part)
        return state.hexdigest()[:32]

    @property
    def dim(self) -> int:
        """See `Encoder.dim`; known once it is fitted."""
        return int(self._fitted.shape[1])

    @property
    def n_parameters(self) -> int:
        """The weights of n-grams and the projection."""
        return int(self._fitted.size + self._idf().size)

    def _fit(self, texts: list[str]) -> None:
        self._vectorizers, blocks = {}, []
        for name, options in _BLOCKS.items():
            vectorizer = _vectorizer(**options)
            try:
                blocks.append(vectorizer.fit_transform(texts))
            except ValueError:  # "empty vocabulary": no text has a letter, the characters are all there is
                continue
            self._vectorizers[name] = vectorizer
        counts = sparse.hstack(blocks, format="csr")
        n_directions = min(self.settings.dim, *counts.shape)
        svd = TruncatedSVD(n_directions, n_iter=4, random_state=self.settings.seed).fit(counts)
        spanned = svd.singular_values_ > 1e-5 * svd.singular_values_[0]  # the rest is float32 noise
        self._projection = np.ascontiguousarray(svd.components_[spanned].T, dtype=np.float32)

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        projection, x = self._fitted, np.empty((len(texts), self.dim), dtype=np.float32)
        for start in range(0, len(texts), _ROWS):
            chunk = texts[start : start + _ROWS]
            weights = sparse.hstack([v.transform(chunk) for v in self._vectorizers.values()], format="csr")
            x[start : start + _ROWS] = weights @ projection
        lengths = np.linalg.norm(x, axis=1, keepdims=True)
        x /= np.where(lengths > 0, lengths, 1)
        return x

    def _type(self) -> Literal["tfidf"]:
        return "tfidf"

    def _options(self) -> dict[str, Any]:
        return self.settings.model_dump()

    def _write_state(self, folder: Path) -> None:
        save_file({"projection": self._fitted, "idf": self._idf()}, folder / _WEIGHTS)
        write_json(folder / _VOCABULARY, self._vocabulary())

    @classmethod
    def _load(cls, folder: Path, saved: SavedEncoder) -> "TfidfEncoder":
        try:
            encoder = cls(**TfidfSettings.model_validate(saved.options).model_dump())
            vocabulary, weights = read_json(folder / _VOCABULARY), load_file(folder / _WEIGHTS)
            ends = np.cumsum([len(terms) for terms in vocabulary.values()])
            for (name, terms), idf in zip(
                vocabulary.items(), np.split(weights["idf"], ends[:-1]), strict=True
            ):
                encoder._vectorizers[name] = _vectorizer(**_BLOCKS[name], vocabulary=terms)
                encoder._vectorizers[name].idf_ = idf
            encoder._projection = weights["projection"]
            if len(weights["projection"]) == ends[-1] and encoder.fingerprint == saved.fingerprint:
                return encoder
        except (DataError, ValidationError, SafetensorError, OSError) as error:
            raise SavedModelError(
                f"{folder}: a file of the encoder cannot be read ({error}); save it again"
            ) from error
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise SavedModelError(
                f"{folder}: the files of the encoder do not fit together; save it again"
            ) from error
        raise SavedModelError(f"{folder}: a file of the encoder was altered; save it again")

    @property
    def _fitted(self) -> NDArray[np.float32]:
        if not self._projection.size:
            raise ConfigError("encoder 'tfidf' is not fitted; call fit with the training texts first")
        return self._projection

    def _vocabulary(self) -> dict[str, list[str]]:
        return {name: v.get_feature_names_out().tolist() for name, v in self._vectorizers.items()}

    def _idf(self) -> NDArray[np.float32]:
        return np.concatenate([v.idf_ for v in self._vectorizers.values()])


def _vectorizer(**options: Any) -> TfidfVectorizer:
    return TfidfVectorizer(preprocessor=normalise_text, sublinear_tf=True, dtype=np.float32, **options)
