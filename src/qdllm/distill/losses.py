"""The loss of the QD-LLM paper, for rows with a gold label, with a teacher, or with both."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from qdllm.errors import ConfigError

__all__ = ["DistillationLoss", "label_and_teacher", "teacher_logits"]

UNLABELLED = -1


def teacher_logits(probabilities: Tensor) -> Tensor:
    """Logits of a teacher of whom only probabilities are known: log max(p, 1e-6)."""
    return probabilities.clamp_min(1e-6).log()


def label_and_teacher(logits: Tensor, labels: Tensor, from_teacher: Tensor | None, alpha: float) -> Tensor:
    """Mean over rows of (1 − α)·CE(student, label) + α·(a loss against the teacher).

    A row without a gold label has α = 1; where there is no teacher, rows with a label alone count, with
    α = 0.

    Parameters
    ----------
    logits : Tensor, shape (batch, n_classes)
        The student's.
    labels : Tensor of int64, shape (batch,)
        Class indices; -1 where the gold label is not known.
    from_teacher : Tensor, shape (batch,), optional
        The loss against the teacher of each row.
    alpha : float
        In [0, 1].
    """
    labelled = labels != UNLABELLED
    from_label = functional.cross_entropy(logits, labels.clamp_min(0), reduction="none")
    if from_teacher is None:
        return (from_label * labelled).sum() / labelled.sum().clamp_min(1)
    weights = torch.full_like(from_label, alpha).masked_fill(~labelled, 1.0)
    return ((1 - weights) * from_label + weights * from_teacher).mean()


@dataclass(frozen=True)
class DistillationLoss:
    """(1 − α)·CE(student, label) + α·T²·KL(teacher‖student) at temperature T + α·JS(student, teacher).

    The loss of the QD-LLM paper (arXiv 2505.13205), row by row. A row without a gold label learns from
    the teacher alone (α = 1 for it), a row without a teacher from its label alone (α = 0).

    Parameters
    ----------
    alpha : float
        Weight of the teacher against the label, in [0, 1].
    temperature : float
        Softening of both distributions in the KL term, above 0.

    Raises
    ------
    ConfigError
        If `alpha` or `temperature` is out of range.
    """

    alpha: float = 0.5
    temperature: float = 2.0

    def __post_init__(self) -> None:
        """Refuse values for which the loss means nothing."""
        if not 0.0 <= self.alpha <= 1.0:
            raise ConfigError(f"alpha is {self.alpha}: it weighs teacher against label and must be in [0, 1]")
        if not 0.0 < self.temperature < float("inf"):
            raise ConfigError(f"temperature is {self.temperature}: it must be a finite number above 0")

    def __call__(self, logits: Tensor, labels: Tensor, soft_labels: Tensor | None) -> Tensor:
        """Mean loss over a batch.

        Parameters
        ----------
        logits : Tensor, shape (batch, n_classes)
            The student's.
        labels : Tensor of int64, shape (batch,)
            Class indices; -1 where the gold label is not known.
        soft_labels : Tensor, shape (batch, n_classes), optional
            The teacher's probabilities.

        Returns
        -------
        Tensor
            A scalar.
        """
        from_teacher = None if soft_labels is None else self._divergence(logits, soft_labels)
        return label_and_teacher(logits, labels, from_teacher, self.alpha)

    def _divergence(self, logits: Tensor, soft_labels: Tensor) -> Tensor:
        t = self.temperature
        teacher = teacher_logits(soft_labels)
        student_t = functional.log_softmax(logits / t, dim=-1)
        teacher_t = functional.log_softmax(teacher / t, dim=-1)
        return t**2 * _kl(teacher_t, student_t) + _jensen_shannon(
            functional.log_softmax(logits, dim=-1), functional.log_softmax(teacher, dim=-1)
        )


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)


def _jensen_shannon(log_p: Tensor, log_q: Tensor) -> Tensor:
    log_m = torch.logaddexp(log_p, log_q) - torch.log(torch.tensor(2.0, dtype=log_p.dtype))
    return (_kl(log_p, log_m) + _kl(log_q, log_m)) / 2
