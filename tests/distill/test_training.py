import dataclasses

import pytest
import torch
from torch import nn

from qdllm.distill import Batch, DistillationLoss, TrainingOptions, train
from qdllm.errors import ConfigError, TrainingError

OPTIONS = TrainingOptions(epochs=6, batch_size=16, learning_rate=0.05, patience=6, seed=3)


def _rows(n, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=generator)
    labels = (x[:, 0] + 0.5 * x[:, 1] > 0).long()
    soft = torch.softmax(torch.stack([-x[:, 0], x[:, 0]], dim=1), dim=1)
    return Batch(x, labels, soft)


def _model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def _train(model, options=OPTIONS, **kwargs):
    return train(model, _rows(120, 1), _rows(60, 2), DistillationLoss(), options, quiet=True, **kwargs)


def _weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


class _StopAfter(nn.Sequential):
    """A model whose training is interrupted after so many steps."""

    def __init__(self, steps, *layers):
        super().__init__(*layers)
        self.steps = steps

    def forward(self, x):
        if self.training:
            self.steps -= 1
            if self.steps < 0:
                raise KeyboardInterrupt
        return super().forward(x)


def test_training_learns_and_keeps_the_best_epoch():
    model = _model()
    history = _train(model)
    assert history.validation_loss[history.best_epoch] == min(history.validation_loss)
    assert history.validation_accuracy[-1] > 0.85
    kept = DistillationLoss()(model(_rows(60, 2).x), _rows(60, 2).labels, _rows(60, 2).soft_labels)
    assert kept.item() == pytest.approx(min(history.validation_loss), rel=1e-6)


def test_one_seed_gives_one_result_and_another_seed_another():
    first, second, third = _model(), _model(), _model()
    _train(first)
    _train(second)
    _train(third, dataclasses.replace(OPTIONS, seed=4))
    assert torch.equal(_weights(first), _weights(second))
    assert not torch.equal(_weights(first), _weights(third))


@pytest.mark.parametrize("steps", [0, 7, 9, 16, 31, 47])
def test_an_interrupted_training_goes_on_bit_for_bit(tmp_path, steps):
    straight = _model()
    expected = _train(straight)
    interrupted = _StopAfter(steps, *_model())
    with pytest.raises(KeyboardInterrupt):
        _train(interrupted, checkpoint=tmp_path / "checkpoint")
    resumed = _model()
    history = _train(resumed, checkpoint=tmp_path / "checkpoint")
    assert torch.equal(_weights(resumed), _weights(straight))
    assert history == expected


def test_a_checkpoint_of_other_options_is_not_continued(tmp_path):
    other, fresh, expected = _model(), _model(), _model()
    _train(other, checkpoint=tmp_path / "checkpoint")
    options = dataclasses.replace(OPTIONS, weight_decay=0.5)
    _train(fresh, options, checkpoint=tmp_path / "checkpoint")
    _train(expected, options)
    assert torch.equal(_weights(fresh), _weights(expected))


def test_a_truncated_checkpoint_counts_as_none(tmp_path):
    path = tmp_path / "checkpoint"
    straight, again = _model(), _model()
    _train(straight, checkpoint=path)
    path.write_bytes(path.read_bytes()[:50])
    _train(again, checkpoint=path)
    assert torch.equal(_weights(again), _weights(straight))


def test_patience_stops_training():
    history = _train(_model(), dataclasses.replace(OPTIONS, epochs=200, patience=2))
    assert len(history.loss) == history.best_epoch + 3 < 200


def test_a_diverging_loss_is_an_error_that_names_the_learning_rate():
    model = _model()
    with torch.no_grad():
        model[0].weight.fill_(float("inf"))
    with pytest.raises(TrainingError, match=r"learning rate below 0\.05"):
        _train(model)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("patience", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("weight_decay", -0.1),
        ("epsilon", 0.0),
        ("dropout", 1.0),
    ],
)
def test_options_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=name):
        TrainingOptions(**{name: value})


def test_after_every_epoch_one_may_look_and_end_it():
    seen = []

    def look(history):
        seen.append(list(history.validation_accuracy))
        if len(seen) == 3:
            raise StopIteration

    with pytest.raises(StopIteration):
        _train(_model(), after_epoch=look)
    assert seen == [_train(_model()).validation_accuracy[:n] for n in (1, 2, 3)]
