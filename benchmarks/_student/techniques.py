"""Techniques of distillation and training which the package does not have."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from _student.training import Technique, outputs
from qdllm.distill import Batch, DistillationLoss, teacher_logits
from qdllm.distill.training import _copy
from qdllm.student import StudentModel

__all__ = [
    "Average",
    "Hint",
    "LowRank",
    "Mixup",
    "Relational",
    "Schedule",
    "UniformAngles",
    "relational_loss",
]


class Relational(Technique):
    """Relational knowledge distillation by distances (Park et al., CVPR 2019, arXiv 1904.05068).

    How far apart two rows are in the student's expectation values, measured by the batch's mean distance,
    is to be as far as in the teacher's logits.

    Parameters
    ----------
    weight : float
        Of this loss, which is added to the run's own.
    """

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def loss(self, model: StudentModel, x: Tensor, batch: Batch, share: float) -> Tensor:  # noqa: ARG002
        """See `Technique.loss`."""
        z, logits = outputs(model, x)
        own = self.base(logits, batch.labels, batch.soft_labels)
        return own + self.weight * relational_loss(z, teacher_logits(_soft(batch)))


def relational_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the Huber loss between relative distances of all pairs of rows; 0 where there is no pair.

    Parameters
    ----------
    student : Tensor, shape (n, a)
    teacher : Tensor, shape (n, b)
    """
    if len(student) < 2:
        return student.new_zeros(())
    distances = [torch.pdist(points) for points in (student, teacher)]
    one, other = (found / found.mean().clamp_min(1e-12) for found in distances)
    return functional.smooth_l1_loss(one, other)


class Hint(Technique):
    """Feature distillation by hints (FitNets: Romero et al., ICLR 2015, arXiv 1412.6550).

    A linear map, trained beside the student, is to tell a target from the expectation values. The loss is the
    share of the target's variance that it leaves unexplained.

    Parameters
    ----------
    target : {"features", "teacher"}
        The features that the student reads, or the teacher's logits, centred in each row.
    weight : float
        Of this loss, which is added to the run's own.
    """

    def __init__(self, target: Literal["features", "teacher"], weight: float) -> None:
        self.target = target
        self.weight = weight

    def begin(self, model: StudentModel, training: Batch) -> list[nn.Parameter]:
        """See `Technique.begin`."""
        self.map = nn.Linear(len(model.observables), self._of(training).shape[1])
        nn.init.zeros_(self.map.weight)
        nn.init.zeros_(self.map.bias)
        self.variance = float(self._of(training).var(dim=0).mean())
        return list(self.map.parameters())

    def loss(self, model: StudentModel, x: Tensor, batch: Batch, share: float) -> Tensor:  # noqa: ARG002
        """See `Technique.loss`."""
        z, logits = outputs(model, x)
        own = self.base(logits, batch.labels, batch.soft_labels)
        return own + self.weight * functional.mse_loss(self.map(z), self._of(batch)) / self.variance

    def _of(self, batch: Batch) -> Tensor:
        if self.target == "features":
            return batch.x
        logits = teacher_logits(_soft(batch))
        return logits - logits.mean(dim=1, keepdim=True)


class Mixup(Technique):
    """Mixup (Zhang et al., ICLR 2018, arXiv 1710.09412): a batch mixed with itself in another order.

    Features and the teacher's probabilities are mixed, and so is the loss against both rows' labels.

    Parameters
    ----------
    strength : float
        The share of the first row is drawn from Beta(strength, strength), once a batch.
    """

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def begin(self, model: StudentModel, training: Batch) -> list[nn.Parameter]:  # noqa: ARG002
        """See `Technique.begin`."""
        self.rng = np.random.default_rng([self.options.seed, 19])
        return []

    def loss(self, model: StudentModel, x: Tensor, batch: Batch, share: float) -> Tensor:  # noqa: ARG002
        """See `Technique.loss`."""
        first = float(self.rng.beta(self.strength, self.strength))
        order = torch.as_tensor(self.rng.permutation(len(x)))
        soft = batch.soft_labels
        if soft is not None:
            soft = first * soft + (1 - first) * soft[order]
        _, logits = outputs(model, first * x + (1 - first) * x[order])
        of_both = [self.base(logits, labels, soft) for labels in (batch.labels, batch.labels[order])]
        return first * of_both[0] + (1 - first) * of_both[1]


class Average(Technique):
    """An exponential moving average of the weights is judged and kept.

    After Polyak and Juditsky, SIAM Journal on Control and Optimization 30 (1992) 838; exponential as in
    Tarvainen and Valpola, NIPS 2017, arXiv 1703.01780.

    Parameters
    ----------
    decay : float
        What the average keeps of itself in a step, in (0, 1); less in the first steps, (1 + t)/(10 + t).
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay

    def begin(self, model: StudentModel, training: Batch) -> list[nn.Parameter]:  # noqa: ARG002
        """See `Technique.begin`."""
        self.average, self.steps = _copy(model), 0
        return []

    def step(self, model: StudentModel, optimizer: torch.optim.Optimizer, x: Tensor) -> None:  # noqa: ARG002
        """See `Technique.step`."""
        optimizer.step()
        kept = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        for name, value in model.state_dict().items():
            self.average[name].lerp_(value, 1 - kept)

    @contextmanager
    def judged(self, model: StudentModel) -> Iterator[None]:
        """See `Technique.judged`."""
        trained = _copy(model)
        model.load_state_dict(self.average)
        yield
        model.load_state_dict(trained)


class LowRank(Technique):
    """The projection is held to a low rank: after every step it becomes the nearest matrix of that rank.

    Parameters
    ----------
    rank : int
        At least 1. From the number of angles on it changes nothing.
    """

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def begin(self, model: StudentModel, training: Batch) -> list[nn.Parameter]:  # noqa: ARG002
        """See `Technique.begin`."""
        self._truncate(model)
        return []

    def step(self, model: StudentModel, optimizer: torch.optim.Optimizer, x: Tensor) -> None:  # noqa: ARG002
        """See `Technique.step`."""
        optimizer.step()
        self._truncate(model)

    @torch.no_grad()
    def _truncate(self, model: StudentModel) -> None:
        weight = model.projection.weight
        left, values, right = torch.linalg.svd(weight, full_matrices=False)
        weight.copy_((left[:, : self.rank] * values[: self.rank]) @ right[: self.rank])


class Schedule(Technique):
    """A weight of the teacher or a temperature that changes evenly over the training.

    From teacher to labels it is teacher annealing (Clark et al., ACL 2019, arXiv 1907.04829); a falling
    temperature is annealing too (Jafari et al., EACL 2021, arXiv 2104.07163).

    Parameters
    ----------
    alpha, temperature : tuple of float, optional
        At the start and at the end; the run's own unless given.
    """

    def __init__(
        self, *, alpha: tuple[float, float] | None = None, temperature: tuple[float, float] | None = None
    ) -> None:
        self.alpha = alpha
        self.temperature = temperature

    def loss(self, model: StudentModel, x: Tensor, batch: Batch, share: float) -> Tensor:
        """See `Technique.loss`."""
        _, logits = outputs(model, x)
        return self.at(share)(logits, batch.labels, batch.soft_labels)

    def at(self, share: float) -> DistillationLoss:
        """Return the loss when `share` of the training is done."""
        alpha = self.alpha or (self.base.alpha, self.base.alpha)
        temperature = self.temperature or (self.base.temperature, self.base.temperature)
        return DistillationLoss(*(start + share * (end - start) for start, end in (alpha, temperature)))


class UniformAngles(Technique):
    """The circuit begins with angles uniform in ±π, where gradients vanish with growing circuits.

    Barren plateaus: McClean et al., Nature Communications 9 (2018) 4812. The package begins near 0.
    """

    def begin(self, model: StudentModel, training: Batch) -> list[nn.Parameter]:  # noqa: ARG002
        """See `Technique.begin`."""
        generator = torch.Generator().manual_seed(self.options.seed)
        nn.init.uniform_(model.theta, -math.pi, math.pi, generator=generator)
        return []


def _soft(batch: Batch) -> Tensor:
    if batch.soft_labels is None:
        raise ValueError("this technique needs a teacher")
    return batch.soft_labels
