"""Short texts of two classes that one word tells apart, and what a contender is given of them."""

import numpy as np
import pytest

from qdllm.compare import Lesson, Rows

NOUNS = ["plot", "film", "scene", "cast", "score", "ending", "joke", "camera", "script", "hero"]


def make_rows(n: int, seed: int, *, labels: bool = True, soft: bool = True) -> Rows:
    """Rows of the classes rotten and fresh, in turn; a teacher is sure to 0.9 and right."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 2
    texts = []
    for code in codes:
        a, b = rng.choice(NOUNS, 2, replace=False)
        texts.append(f"the {a} is {('dull', 'a joy')[code]}, as the {b}" + "!" * rng.integers(3))
    probabilities = np.where(np.eye(2)[codes] > 0, 0.9, 0.1)
    return Rows(
        tuple(texts),
        np.zeros((n, 1), dtype=np.float32),
        codes if labels else np.full(n, -1),
        probabilities if soft else None,
    )


@pytest.fixture(scope="session")
def lesson() -> Lesson:
    """96 rows to learn from and 16 to stop by, labelled and taught."""
    return Lesson(("fresh", "rotten"), make_rows(96, 1), make_rows(16, 2))


@pytest.fixture(scope="session")
def unlabelled() -> Lesson:
    """The same with no label at all."""
    return Lesson(("fresh", "rotten"), make_rows(96, 1, labels=False), make_rows(16, 2, labels=False))


@pytest.fixture(scope="session")
def untaught() -> Lesson:
    """The same without a teacher."""
    return Lesson(("fresh", "rotten"), make_rows(96, 1, soft=False), make_rows(16, 2, soft=False))


@pytest.fixture(scope="session")
def unseen() -> Rows:
    """40 other rows, with their classes."""
    return make_rows(40, 3)
