"""TF-IDF and a linear classifier: the oldest baseline, and on long texts a hard one to beat."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy import sparse
from scipy.special import softmax
from sklearn.feature_extraction.text import TfidfVectorizer

from qdllm.compare.linear import fit_path
from qdllm.compare.task import Contender, Fitted, Group, Lesson, Rows, Setting
from qdllm.encoders import normalise_text
from qdllm.errors import DataError
from qdllm.files import write_json

__all__ = ["TfidfLinear"]

_WORDS: dict[str, Any] = {
    "analyzer": "word",
    "ngram_range": (1, 2),
    "token_pattern": r"\w+",
    "max_features": 20_000,
}
_CHARACTERS: dict[str, Any] = {"analyzer": "char_wb", "ngram_range": (2, 5), "max_features": 20_000}
_N_GRAMS = {"words": (_WORDS,), "words and characters": (_WORDS, _CHARACTERS)}

# Inverse regularisation on rows of length 1.
_STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


class TfidfLinear(Contender):
    """Multinomial logistic regression on sparse TF-IDF of n-grams, distilled like the control on features.

    Word 1- and 2-grams, with or without character 2- to 5-grams, at most 20,000 of each kind; term
    frequencies count as 1 + log tf; rows have length 1. The strength is chosen within a fit by validation
    rows.
    """

    name = "tfidf-linear"
    group: Group = "baseline"
    uses = "texts"

    def settings(self, budget: int) -> list[Setting]:
        """Which n-grams, and what they are fitted to: gold labels, the teacher, or the mean of both."""
        grid = [
            {"n_grams": n_grams, "targets": targets}
            for targets in ("both", "gold", "teacher")
            for n_grams in reversed(_N_GRAMS)
        ]
        return list(grid[:budget])

    def fit(self, lesson: Lesson, setting: Setting, seed: int) -> Fitted:  # noqa: ARG002 - nothing is random
        """See `Contender.fit`."""
        vectorizers = [_vectorizer(options) for options in _N_GRAMS[setting["n_grams"]]]
        for vectorizer in vectorizers:
            try:
                vectorizer.fit(lesson.train.texts)
            except ValueError as error:  # scikit-learn's "empty vocabulary"
                raise DataError("no training text has a word to count") from error
        weights, bias = fit_path(
            lesson, setting["targets"], lambda rows: _transform(vectorizers, rows), _STRENGTHS
        )
        return _TfidfLinear(vectorizers, weights, bias)


class _TfidfLinear(Fitted):
    """What was counted, and how each n-gram counts for each class."""

    def __init__(
        self, vectorizers: list[TfidfVectorizer], weights: NDArray[np.float64], bias: NDArray[np.float64]
    ) -> None:
        self.vectorizers = vectorizers
        self.weights, self.bias = weights.astype(np.float32), bias.astype(np.float32)
        self.n_trained = self.weights.size + self.bias.size
        self.n_parameters = self.n_trained + len(self.weights)  # an inverse frequency each

    def predict_proba(self, rows: Rows) -> NDArray[np.float64]:
        logits = _transform(self.vectorizers, rows) @ self.weights + self.bias
        return np.asarray(softmax(logits.astype(np.float64), axis=1))

    def save(self, folder: Path) -> None:
        idf = np.concatenate([vectorizer.idf_ for vectorizer in self.vectorizers])
        save_file({"weights": self.weights, "bias": self.bias, "idf": idf}, folder / "model.safetensors")
        vocabulary = [vectorizer.get_feature_names_out().tolist() for vectorizer in self.vectorizers]
        write_json(folder / "vocabulary.json", vocabulary)


def _vectorizer(options: dict[str, Any]) -> TfidfVectorizer:
    return TfidfVectorizer(preprocessor=normalise_text, sublinear_tf=True, dtype=np.float32, **options)


def _transform(vectorizers: list[TfidfVectorizer], rows: Rows) -> Any:
    """TF-IDF of texts, sparse, shape (n, n-grams); all kinds together have length 1."""
    blocks = [vectorizer.transform(rows.texts) for vectorizer in vectorizers]
    return sparse.hstack(blocks, format="csr") / np.float32(np.sqrt(len(blocks)))
