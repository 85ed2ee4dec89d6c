"""The bag of n-grams: what it counts, that it learns, and that what it has not seen says nothing."""

import zlib
from dataclasses import replace

import numpy as np
import pytest

from qdllm.compare import Rows
from qdllm.compare.baselines import FastText
from qdllm.compare.baselines.fasttext import _NGrams

SETTING = FastText().settings(1)[0]


def test_words_and_bigrams_are_hashed_after_normalisation():
    expected = [1 + zlib.crc32(gram.encode()) % 2**16 for gram in ("a", "joy", "a", "a joy", "joy a")]
    assert _NGrams(bigrams=True)(["A  joy, \uff21!"]) == [expected]
    assert _NGrams(bigrams=False)(["A joy a", "..."]) == [expected[:3], [0]]


@pytest.mark.parametrize("kind", ["lesson", "unlabelled", "untaught"])
def test_it_learns(kind, request, unseen):
    fitted = FastText().fit(request.getfixturevalue(kind), SETTING, 0)
    assert (fitted.predict_proba(unseen.inputs).argmax(axis=1) == unseen.y).mean() > 0.9
    assert fitted.n_trained == fitted.n_parameters == (2**16 + 1) * 16 + 16 * 2 + 2


def test_words_that_were_never_seen_say_nothing(lesson):
    rows = Rows(("zebra quokka", ""), np.zeros((2, 1), dtype=np.float32), np.full(2, -1))
    strange, empty = FastText().fit(lesson, SETTING, 0).predict_proba(rows)
    np.testing.assert_array_equal(strange, empty)


def test_the_seed_decides(lesson, unseen):
    first, again, other = (FastText().fit(lesson, SETTING, seed).predict_proba(unseen) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_teacher_counts(lesson, unseen):
    """Taught the opposite of the labels, with all weight on the teacher, it follows the teacher."""
    turned = replace(
        lesson,
        train=replace(lesson.train, soft=lesson.train.soft[:, ::-1]),
        validation=replace(lesson.validation, soft=lesson.validation.soft[:, ::-1]),
    )
    fitted = FastText().fit(turned, {**SETTING, "alpha": 1.0}, 0)
    assert (fitted.predict_proba(unseen).argmax(axis=1) == 1 - unseen.y).mean() > 0.9
