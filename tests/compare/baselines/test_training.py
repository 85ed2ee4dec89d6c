"""The loop: its rates, its batches, the epoch it keeps, and what it leaves alone."""

import numpy as np
import pytest
import torch
from torch import nn

from qdllm.compare import Lesson, Rows
from qdllm.compare.baselines.training import Examples, FittedText, TrainingPlan, _shuffled, train_on_texts
from qdllm.errors import DataError, TrainingError


class Lengths:
    """A text's ids are as many ones as it has characters."""

    def __call__(self, texts):
        return [[1] * len(text) for text in texts]

    def save(self, folder):
        (folder / "tokens.txt").write_text("ones")


class Drifting(nn.Module):
    """One parameter, pushed up in training; its loss in evaluation is lowest near 0."""

    def __init__(self):
        super().__init__()
        self.p = nn.Parameter(torch.tensor([[-0.25]]))

    def objective(self, batch):
        return -self.p.sum() if self.training else self.p.abs().sum()


def _lesson(n=10):
    rows = Rows(
        tuple("x" * (1 + i % 5) for i in range(n)), np.zeros((n, 1), dtype=np.float32), np.arange(n) % 2
    )
    return Lesson(("a", "b"), rows, rows)


def test_the_step_size_rises_and_falls_along_lines():
    plan = TrainingPlan(1, 0.1, warm_up=0.2)
    np.testing.assert_allclose(
        [plan.rate(step, 10) for step in range(10)],
        [0.05, 0.1, *(0.1 * left / 9 for left in (8, 7, 6, 5, 4, 3, 2, 1))],
    )


def test_a_pass_takes_every_row_once_and_rows_of_like_length_together():
    rows = Rows(
        tuple("x" * (1 + i * 7 % 50) for i in range(100)),
        np.zeros((100, 1), dtype=np.float32),
        np.zeros(100, int),
    )
    examples = Examples.of(rows, Lengths())
    first, again, other = (
        list(_shuffled(examples, 10, torch.Generator().manual_seed(seed))) for seed in (0, 0, 1)
    )
    assert sorted(torch.cat(first).tolist()) == list(range(100))
    assert [batch.tolist() for batch in first] == [batch.tolist() for batch in again]
    assert [batch.tolist() for batch in first] != [batch.tolist() for batch in other]
    spread = max(np.ptp([len(examples.ids[row]) for row in batch.tolist()]) for batch in first)
    assert spread <= 6  # 49 where rows were drawn without regard to length


def test_a_batch_is_padded_on_the_right():
    batch = Examples.of(_lesson().train, Lengths()).take(torch.tensor([2, 0]), torch.device("cpu"))
    assert batch.ids.tolist() == batch.mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.labels.tolist() == [0, 0]


def test_the_best_epoch_is_kept_and_training_stops_after_it():
    model, values = Drifting(), []

    def objective(batch):
        if not model.training:
            values.append(model.p.item())
        return model.objective(batch)

    plan = TrainingPlan(20, 0.1, batch_size=10, warm_up=0.0, patience=2)
    kept = train_on_texts(model, objective, _lesson(), Lengths(), plan, seed=0, name="drift")
    assert kept == int(np.argmin(np.abs(values))) + 1
    assert 1 < kept == len(values) - 2
    assert model.p.item() == values[kept - 1]


def test_a_loss_that_is_not_finite_is_one_clear_line():
    model = Drifting()
    with pytest.raises(TrainingError, match=r"drift: .*epoch 1, step 1: try a learning rate below 0\.1"):
        train_on_texts(
            model,
            lambda batch: model.p.sum() / 0,
            _lesson(),
            Lengths(),
            TrainingPlan(1, 0.1),
            seed=0,
            name="drift",
        )


def test_the_random_numbers_of_others_are_left_alone():
    model, before = Drifting(), torch.random.get_rng_state()
    train_on_texts(model, model.objective, _lesson(), Lengths(), TrainingPlan(1, 0.1), seed=5, name="drift")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_rows_of_which_nothing_is_known_are_left_out():
    rows = Rows(("x", "xx", "xxx"), np.zeros((3, 1), dtype=np.float32), np.array([-1, 1, -1]))
    assert Examples.of(rows, Lengths()).ids == [[1, 1]]
    taught = Rows(rows.texts, rows.x, rows.y, np.full((3, 2), 0.5))
    assert len(Examples.of(taught, Lengths())) == 3
    with pytest.raises(DataError, match="no row"):
        Examples.of(rows.take(np.array([0, 2])), Lengths())


def test_what_is_predicted_for_a_text_does_not_depend_on_the_others(tmp_path):
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.line = nn.Linear(1, 3)
            self.frozen = nn.Parameter(torch.zeros(7), requires_grad=False)

        def forward(self, ids, mask):
            return self.line(mask.sum(dim=1, keepdim=True).float())

    fitted = FittedText(Mean(), Lengths(), {"classes": ["a", "b", "c"]})
    rows = _lesson(150).train
    proba = fitted.predict_proba(rows)
    order = np.random.default_rng(0).permutation(150)[:130]
    np.testing.assert_allclose(fitted.predict_proba(rows.take(order)), proba[order], rtol=1e-6)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert (fitted.n_trained, fitted.n_parameters) == (6, 13)
    fitted.save(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"model.safetensors", "model.json", "tokens.txt"}
