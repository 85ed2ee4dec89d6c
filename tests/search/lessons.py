"""A small task with a teacher."""

import numpy as np

from qdllm.compare import Lesson, Rows

CLASSES = ("a", "b", "c")


def make_rows(n, seed, *, taught=True, labelled=True):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6)).astype(np.float32)
    logits = np.stack([x[:, 0] + x[:, 1], x[:, 2] - x[:, 0], x[:, 3] * x[:, 1]], axis=1).astype(float) * 2
    soft = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return Rows(
        tuple(f"text {seed}, {i}" for i in range(n)),
        x,
        y if labelled else np.full(n, -1),
        soft if taught else None,
    )


LESSON = Lesson(CLASSES, make_rows(96, 1), make_rows(60, 2))
