"""Contenders that cost nothing, and a task that any of them can be tried on."""

from pathlib import Path

import numpy as np

from qdllm.compare import ComparisonTask, Contender, Fitted, Rows
from qdllm.errors import MissingExtraError, TrainingError


def make_task(n=120, seed=0, classes=("no", "yes"), soft=True, spread=1.5):
    """Classes around points of a plane, two thirds to train; `truth` of test rows alone."""
    rng = np.random.default_rng(seed)
    gold = rng.permutation(np.arange(n) % len(classes))
    centres = np.array(
        [[np.cos(a), np.sin(a), 0.0] for a in 2 * np.pi * np.arange(len(classes)) / len(classes)]
    )
    x = (spread * centres[gold] + rng.standard_normal((n, 3)) * 0.5).astype(np.float32)
    part = np.array(["train"] * (2 * n // 3) + ["validation"] * (n // 6))
    part = np.concatenate([part, ["test"] * (n - len(part))])
    teacher = np.eye(len(classes))[gold] * 0.8 + 0.2 / len(classes)
    rows = Rows(
        tuple(f"text {seed} {i}" for i in range(n)),
        x,
        np.where(part == "test", -1, gold),
        teacher if soft else None,
    )
    return ComparisonTask(seed, classes, rows, part, np.where(part == "test", gold, -1), {"data": "plane"})


class Threshold(Contender):
    """Says "yes" to the right of a threshold; its settings are thresholds, some better than others."""

    group = "control"
    uses = "features"

    def __init__(self, name="student", thresholds=(-0.5, 0.0, 0.5), log=None):
        self.name, self.thresholds, self.log = name, thresholds, log
        self.group = "student" if name == "student" else "control"

    @property
    def identity(self):
        return {"name": self.name, "thresholds": list(self.thresholds)}

    def settings(self, budget):
        return [{"threshold": threshold} for threshold in self.thresholds[:budget]]

    def fit(self, lesson, setting, seed):
        if self.log is not None:
            with Path(self.log).open("a") as log:
                log.write(f"{self.name} {seed} {setting['threshold']}\n")
        return _Cut(setting["threshold"])


class _Cut(Fitted):
    n_trained = n_parameters = 1

    def __init__(self, threshold):
        self.threshold = threshold

    def predict_proba(self, rows):
        assert (rows.y == -1).all()
        assert rows.soft is None
        p = 1 / (1 + np.exp(-4 * (self.threshold - rows.x[:, 0])))
        return np.stack([1 - p, p], axis=1)

    def save(self, folder):
        (folder / "cut.txt").write_text(str(self.threshold))


class Failing(Threshold):
    """Fails on one seed, or on one setting."""

    def __init__(self, name, *, seed=None, threshold=None, error=TrainingError):
        super().__init__(name)
        self.bad_seed, self.bad_threshold, self.error = seed, threshold, error

    def fit(self, lesson, setting, seed):
        if seed == self.bad_seed or setting["threshold"] == self.bad_threshold:
            raise self.error("the loss is no longer finite\nand more")
        return super().fit(lesson, setting, seed)


class Missing(Threshold):
    """Lacks a package."""

    def check(self):
        raise MissingExtraError("tea leaves need the package 'leaves': pip install 'qdllm[tea]'")
