"""One training loop with places where a technique may step in; without one it trains as the package does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

# The private ones too: what a technique does not change is the package's own, bit for bit.
from qdllm.distill import Batch, DistillationLoss, TrainingHistory, TrainingOptions
from qdllm.distill.training import (
    _backpropagate,
    _copy,
    _evaluate,
    _noise_from,
    _parameter_groups,
    _steps,
)
from qdllm.student import Student, StudentModel
from qdllm.student.estimator import _sharpened
from qdllm.student.targets import Targets

__all__ = ["Technique", "outputs", "taught_by", "train_with"]

_Module = TypeVar("_Module", bound=nn.Module)


class Technique:
    """What a technique changes of a training; this one changes nothing.

    Attributes
    ----------
    base : DistillationLoss
        The run's own loss, which also chooses the epoch.
    options : TrainingOptions
    """

    base: DistillationLoss
    options: TrainingOptions

    def begin(self, model: StudentModel, training: Batch) -> list[nn.Parameter]:  # noqa: ARG002 - of no use here
        """Prepare; return what is to be trained beside the student and is thrown away afterwards."""
        return []

    def loss(self, model: StudentModel, x: Tensor, batch: Batch, share: float) -> Tensor:  # noqa: ARG002
        """Return the loss of a step.

        Parameters
        ----------
        model : StudentModel
        x : Tensor, shape (n, n_features)
            The batch's features after dropout.
        batch : Batch
            The rows as they are.
        share : float
            How much of the training is done, in [0, 1).
        """
        _, logits = outputs(model, x)
        return self.base(logits, batch.labels, batch.soft_labels)

    def step(self, model: StudentModel, optimizer: torch.optim.Optimizer, x: Tensor) -> None:  # noqa: ARG002
        """Change the parameters by their gradients."""
        optimizer.step()

    @contextmanager
    def judged(self, model: StudentModel) -> Iterator[None]:  # noqa: ARG002 - of use where others are judged
        """Put into `model`, for as long as this lasts, the parameters to be judged and kept."""
        yield


def outputs(model: StudentModel, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the expectation values (n, n_observables) and the logits (n, n_classes) of a forward pass."""
    z = model.noise(model.simulator(model.angles(x), model.theta))
    return z, model.readout(z)


def train_with(
    technique: Technique,
    model: StudentModel,
    training: Batch,
    validation: Batch,
    loss: DistillationLoss,
    options: TrainingOptions,
) -> TrainingHistory:
    """Train `model` in place, as `qdllm.distill.train` does but for the technique.

    Raises
    ------
    TrainingError
        If the loss is no longer finite.
    """
    technique.base, technique.options = loss, options
    beside = {"params": technique.begin(model, training), "weight_decay": 0.0}
    groups = [*_parameter_groups(model, options), beside]
    optimizer = torch.optim.AdamW(groups, lr=options.learning_rate, fused=True)
    generator = torch.Generator().manual_seed(options.seed)
    history = TrainingHistory()
    best = _copy(model)
    with _noise_from(model, generator):
        for epoch in range(options.epochs):
            if epoch - history.best_epoch > options.patience:
                break
            history.loss.append(_run_epoch(technique, model, training, optimizer, generator, epoch))
            with technique.judged(model):
                value, accuracy = _evaluate(model, validation, loss)
                history.validation_loss.append(value)
                history.validation_accuracy.append(accuracy)
                if value <= min(history.validation_loss):
                    history.best_epoch, best = epoch, _copy(model)
    model.load_state_dict(best)
    return history


def _run_epoch(
    technique: Technique,
    model: StudentModel,
    rows: Batch,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    epoch: int,
) -> float:
    options = technique.options
    model.train()
    total = 0.0
    for step, (share, x, batch) in enumerate(_steps(rows, options, optimizer, generator, epoch), start=1):
        value = technique.loss(model, x, batch, share)
        _backpropagate(value, options, optimizer, epoch, step)
        technique.step(model, optimizer, x)
        total += value.item() * len(batch)
    return total / len(rows)


def taught_by(technique: Callable[[], Technique]) -> type[Student]:
    """Return a `Student` that is trained with a technique, a fresh one for every training."""

    class Taught(Student):
        def _train(
            self,
            make: Callable[[], _Module],
            x: Tensor,
            targets: Targets,
            options: TrainingOptions,
            *,
            checkpoint: str | Path | None,  # noqa: ARG002 - a benchmark goes on from finished trainings
            after_epoch: Callable[[TrainingHistory], None] | None = None,  # noqa: ARG002
            quiet: bool,  # noqa: ARG002
        ) -> _Module:
            for number in range(self.self_training + 1):
                model = make()
                loss = DistillationLoss(self.alpha, self.temperature)
                student = cast(StudentModel, model)
                self.history_ = train_with(technique(), student, *targets.join(x), loss, options)
                if number < self.self_training:
                    targets = replace(targets, soft=_sharpened(model, x))
            return model

    return Taught
