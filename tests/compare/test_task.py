"""What contenders are given: no test label, the same rows for all, through a file and back the same."""

import numpy as np
import pytest

from qdllm.compare import ComparisonTask, Rows
from qdllm.errors import DataError


def _task(n=60, classes=("a", "b", "c"), seed=0):
    rng = np.random.default_rng(seed)
    part = np.array(["train"] * (n - 20) + ["validation"] * 10 + ["test"] * 10)
    gold = np.arange(n) % len(classes)
    soft = rng.dirichlet(np.ones(len(classes)), n)
    x = rng.standard_normal((n, 4)).astype(np.float32)
    rows = Rows(tuple(f"text {i}" for i in range(n)), x, np.where(part == "test", -1, gold), soft)
    return ComparisonTask(seed, classes, rows, part, np.where(part == "test", gold, -1), {"data": "made up"})


def test_a_task_reads_back_bit_for_bit(tmp_path):
    task = _task()
    task.write(tmp_path / "task.parquet")
    back = ComparisonTask.read(tmp_path / "task.parquet")
    assert back.digest == task.digest
    assert back.about == task.about
    assert back.rows.x.dtype == np.float32


def test_the_lesson_holds_no_test_row_and_no_test_label():
    task = _task()
    seen = set(task.lesson.train.texts) | set(task.lesson.validation.texts)
    assert not seen & set(task.take("test").texts)
    assert (task.take("test").y == -1).all()
    assert task.take("test").inputs.soft is None


def test_a_visible_test_label_is_refused():
    task = _task()
    rows = Rows(task.rows.texts, task.rows.x, np.zeros(60, dtype=np.int64), task.rows.soft)
    with pytest.raises(DataError, match="test row"):
        ComparisonTask(0, task.classes, rows, task.part, task.truth)


def test_the_digest_knows_every_column():
    task, digests = _task(), {_task().digest}
    for change in ("x", "y", "soft"):
        values = getattr(task.rows, change).copy()
        values[3] = values[4]
        rows = Rows(
            task.rows.texts,
            **{name: getattr(task.rows, name) for name in ("x", "y", "soft")} | {change: values},
        )
        digests.add(ComparisonTask(0, task.classes, rows, task.part, task.truth).digest)
    digests.add(_task(seed=1).digest)
    assert len(digests) == 5


@pytest.mark.parametrize("n_train", [3, 10, 31])
def test_fewer_training_rows_keep_the_classes_in_proportion(n_train):
    task = _task()
    less = task.limited(n_train)
    counts = np.bincount(less.lesson.train.y, minlength=3)
    assert counts.sum() == n_train
    assert np.ptp(counts) <= 1
    assert less.lesson.validation.texts == task.lesson.validation.texts
    assert less.take("test").texts == task.take("test").texts
    assert set(less.lesson.train.texts) < set(task.lesson.train.texts)
    assert less.digest == task.limited(n_train).digest
    assert task.limited(40) is task
    assert task.lesson.train.limited(n_train, task.seed).texts == less.lesson.train.texts
