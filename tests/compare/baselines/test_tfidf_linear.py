"""TF-IDF + linear: learns from labels, from a teacher, and from both; its file is all that it needs."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy import sparse
from scipy.special import softmax
from sklearn.feature_extraction.text import TfidfVectorizer

from qdllm.compare import Lesson, Rows
from qdllm.compare.baselines import TfidfLinear
from qdllm.compare.linear import fit_softmax
from qdllm.encoders import normalise_text
from qdllm.errors import DataError


@pytest.mark.parametrize("kind", ["lesson", "unlabelled", "untaught"])
def test_it_learns(kind, request, unseen):
    for setting in TfidfLinear().settings(6):
        fitted = TfidfLinear().fit(request.getfixturevalue(kind), setting, 0)
        assert (fitted.predict_proba(unseen.inputs).argmax(axis=1) == unseen.y).all()


def test_sparse_features_are_fitted_like_dense_ones():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 5)) * (rng.random((60, 5)) < 0.3)
    targets = rng.dirichlet(np.ones(3), 60)
    np.testing.assert_allclose(
        fit_softmax(sparse.csr_matrix(x), targets, 0.1), fit_softmax(x, targets, 0.1), atol=1e-6
    )


def test_the_file_predicts_like_the_model(lesson, unseen, tmp_path):
    fitted = TfidfLinear().fit(lesson, {"n_grams": "words", "targets": "both"}, 0)
    fitted.save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    (vocabulary,) = json.loads((tmp_path / "vocabulary.json").read_text())
    again = TfidfVectorizer(
        preprocessor=normalise_text,
        token_pattern=r"\w+",
        ngram_range=(1, 2),
        sublinear_tf=True,
        vocabulary=vocabulary,
    )
    again.idf_ = tensors["idf"]
    logits = again.transform(unseen.texts) @ tensors["weights"] + tensors["bias"]
    np.testing.assert_allclose(softmax(logits, axis=1), fitted.predict_proba(unseen.inputs), atol=1e-5)
    assert fitted.n_parameters == sum(tensor.size for tensor in tensors.values())
    assert fitted.n_trained == fitted.n_parameters - len(vocabulary)


def test_texts_without_a_word_are_one_clear_line():
    rows = Rows(("!", "?"), np.zeros((2, 1), dtype=np.float32), np.array([0, 1]))
    with pytest.raises(DataError, match="no training text has a word"):
        TfidfLinear().fit(Lesson(("a", "b"), rows, rows), {"n_grams": "words", "targets": "gold"}, 0)
