"""A small labelled dataset that a model with random weights can learn something about."""

import numpy as np
import pytest

from qdllm.data import Split, TextDataset, split_dataset


@pytest.fixture(scope="session")
def reviews() -> TextDataset:
    """120 texts in two classes, told apart by one word."""
    rng = np.random.default_rng(5)
    nouns = ["plot", "film", "scene", "cast", "score", "ending", "joke", "camera", "script", "hero"]
    texts, labels = [], []
    for i in range(120):
        label = ("fresh", "rotten")[i % 2]
        a, b = rng.choice(nouns, 2, replace=False)
        texts.append(f"{i}: the {a} is {'a joy' if label == 'fresh' else 'dull'}, as the {b}" + "." * (i % 3))
        labels.append(label)
    return TextDataset.from_lists(texts, labels, name="tiny reviews")


@pytest.fixture(scope="session")
def split(reviews: TextDataset) -> Split:
    """Half for training, 36 rows for validation, the rest for testing."""
    return split_dataset(reviews, seed=0, validation=0.3, test=0.2)
