"""The training loop: one seed, best epoch on validation, checkpoints that resume bit for bit."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor, nn

from qdllm.distill.checkpoint import Checkpoint
from qdllm.distill.losses import DistillationLoss
from qdllm.distill.noise import OutputNoise
from qdllm.errors import ConfigError, TrainingError
from qdllm.progress import progress

__all__ = ["Batch", "TrainingHistory", "TrainingOptions", "train"]

_CHUNK = 1024  # rows evaluated at once
_ANGLES = "theta"  # what a model calls the trained angles of its circuit


@dataclass(frozen=True)
class Batch:
    """Rows to learn from.

    Attributes
    ----------
    x : Tensor, shape (n, n_features)
    labels : Tensor of int64, shape (n,)
        Class indices; -1 where the gold label is not known.
    soft_labels : Tensor, shape (n, n_classes), optional
        The teacher's probabilities.
    """

    x: Tensor
    labels: Tensor
    soft_labels: Tensor | None = None

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.x)

    def take(self, rows: Tensor | slice) -> "Batch":
        """Rows by index; a slice shares their memory."""
        soft = None if self.soft_labels is None else self.soft_labels[rows]
        return Batch(self.x[rows], self.labels[rows], soft)

    def digest(self) -> str:
        """Hash of the content, so that a checkpoint is never continued on other rows."""
        parts = (self.x, self.labels, self.soft_labels)
        return sha256(b"|".join(p.numpy().tobytes() for p in parts if p is not None)).hexdigest()


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes
    ----------
    epochs : int
        Passes over the training rows, at least 1.
    batch_size : int
        Rows a step, at least 1.
    learning_rate : float
        AdamW's step size at the start; it falls to 0 along a half cosine.
    weight_decay : float
        Decoupled decay of the first matrix, at least 0. It is the one that can learn rows by heart; a
        readout of ⟨Z⟩, which is at most 1, has to grow to give certain answers.
    circuit_decay : float
        Decoupled decay of a circuit's trained angles towards 0, at least 0. Small angles make a small formula
        of a student (`qdllm.surrogate`).
    epsilon : float
        AdamW's ε for the first matrix, above 0. Where it is large against the gradients, steps are
        proportional to them, as in gradient descent, in place of all alike.
    dropout : float
        Share of features set to 0 in a training step, in [0, 1).
    patience : int
        Epochs without a better validation score after which training stops, at least 1.
    seed : int
        Seeds the order of rows and the dropout.
    """

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 0.003
    weight_decay: float = 3.0
    circuit_decay: float = 0.0
    epsilon: float = 1e-8
    dropout: float = 0.4
    patience: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that cannot train."""
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if not 0.0 < self.learning_rate < math.inf:
            raise ConfigError(f"learning_rate is {self.learning_rate}: it must be a finite number above 0")
        if not 0.0 < self.epsilon < math.inf:
            raise ConfigError(f"epsilon is {self.epsilon}: it must be a finite number above 0")
        for name in ("weight_decay", "circuit_decay"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be finite and at least 0")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout is {self.dropout}: it must be in [0, 1)")


@dataclass
class TrainingHistory:
    """What happened, epoch by epoch.

    Attributes
    ----------
    loss, validation_loss, validation_accuracy : list of float
        One entry an epoch; accuracy is against the labels or, where there are none, the teacher's choice.
    best_epoch : int
        The epoch, from 0, whose parameters were kept.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    best_epoch: int = -1


def train(
    model: nn.Module,
    training: Batch,
    validation: Batch,
    loss: DistillationLoss,
    options: TrainingOptions,
    *,
    checkpoint: Path | None = None,
    after_epoch: Callable[[TrainingHistory], None] | None = None,
    threads: int | None = None,
    quiet: bool = False,
) -> TrainingHistory:
    """Train `model` in place and leave it with the parameters of the best epoch on validation.

    Parameters
    ----------
    model : nn.Module
        Maps (batch, n_features) to logits (batch, n_classes).
    training, validation : Batch
        Rows to learn from and rows to choose the epoch by: lowest validation loss wins.
    loss : DistillationLoss
    options : TrainingOptions
    checkpoint : Path, optional
        A file written after every epoch. If it is there, training goes on from it, bit for bit as if it
        had never stopped; one that belongs to another model, other rows or options is not used.
    after_epoch : callable, optional
        Called with the history after every epoch; an exception that it raises ends the training.
    threads : int, optional
        Threads that torch and the circuit may use meanwhile; by default as many as torch has.
    quiet : bool
        Show no progress bar.

    Raises
    ------
    TrainingError
        If the loss is no longer finite.
    """
    optimizer = torch.optim.AdamW(_parameter_groups(model, options), lr=options.learning_rate, fused=True)
    generator = torch.Generator().manual_seed(options.seed)
    history = TrainingHistory()
    best = _copy(model)
    saved = (
        None
        if checkpoint is None
        else Checkpoint(checkpoint, _identity(model, training, validation, loss, options))
    )
    if saved is not None and saved.exists():
        best = saved.load(model, optimizer, generator, history)

    bar = progress("training", options.epochs, unit="epochs", done=len(history.loss), quiet=quiet)
    with _threads(threads), _noise_from(model, generator), bar as advance:
        for epoch in range(len(history.loss), options.epochs):
            if epoch - history.best_epoch > options.patience:
                break
            history.loss.append(_run_epoch(model, training, loss, options, optimizer, generator, epoch))
            value, accuracy = _evaluate(model, validation, loss)
            history.validation_loss.append(value)
            history.validation_accuracy.append(accuracy)
            if value <= min(history.validation_loss):
                history.best_epoch, best = epoch, _copy(model)
            if saved is not None:
                saved.save(model, best, optimizer, generator, history)
            advance(1)
            if after_epoch is not None:
                after_epoch(history)
    model.load_state_dict(best)
    return history


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _noise_from(model: nn.Module, generator: torch.Generator) -> Iterator[None]:
    """Let the model's noise, where it has any, be drawn from a generator."""
    noises = [module for module in model.modules() if isinstance(module, OutputNoise)]
    for noise in noises:
        noise.generator = generator
    try:
        yield
    finally:
        for noise in noises:
            noise.generator = None


def _run_epoch(
    model: nn.Module,
    rows: Batch,
    loss: DistillationLoss,
    options: TrainingOptions,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    epoch: int,
) -> float:
    model.train()
    total = 0.0
    for step, (_, x, batch) in enumerate(_steps(rows, options, optimizer, generator, epoch), start=1):
        value = loss(model(x), batch.labels, batch.soft_labels)
        _backpropagate(value, options, optimizer, epoch, step)
        optimizer.step()
        total += value.item() * len(batch)
    return total / len(rows)


def _steps(
    rows: Batch,
    options: TrainingOptions,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    epoch: int,
) -> Iterator[tuple[float, Tensor, Batch]]:
    """Yield, for each step of an epoch, the share of the training done, features after dropout, and rows.

    Before it does, it sets the step size.
    """
    shuffled = rows.take(torch.randperm(len(rows), generator=generator))
    starts = range(0, len(rows), options.batch_size)
    for step, start in enumerate(starts):
        share = (epoch + step / len(starts)) / options.epochs
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * (1 + math.cos(math.pi * share)) / 2
        batch = shuffled.take(slice(start, start + options.batch_size))
        yield share, _dropout(batch.x, options.dropout, generator), batch


def _backpropagate(
    value: Tensor, options: TrainingOptions, optimizer: torch.optim.Optimizer, epoch: int, step: int
) -> None:
    if not torch.isfinite(value):
        raise TrainingError(
            f"the loss is no longer finite in epoch {epoch + 1}, step {step}: "
            f"try a learning rate below {options.learning_rate:g}"
        )
    optimizer.zero_grad()
    value.backward()  # type: ignore[no-untyped-call]


@torch.no_grad()
def _evaluate(model: nn.Module, rows: Batch, loss: DistillationLoss) -> tuple[float, float]:
    model.eval()
    logits = torch.cat([model(x) for x in torch.split(rows.x, _CHUNK)])
    target = rows.labels
    if rows.soft_labels is not None:
        target = torch.where(target < 0, rows.soft_labels.argmax(dim=1), target)
    known = target >= 0
    hits = (logits.argmax(dim=1) == target)[known].float()
    return loss(logits, rows.labels, rows.soft_labels).item(), hits.mean().item()


def _dropout(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    # torch's own dropout draws from the global generator, which a checkpoint could not restore alone.
    if share == 0.0:
        return x
    keep = torch.rand(x.shape, generator=generator) >= share
    return x * keep / (1 - share)


def _parameter_groups(model: nn.Module, options: TrainingOptions) -> list[dict[str, object]]:
    named = dict(model.named_parameters())
    first = next(name for name, p in named.items() if p.dim() > 1)
    angles = [p for name, p in named.items() if name.split(".")[-1] == _ANGLES]
    others = [p for name, p in named.items() if name != first and name.split(".")[-1] != _ANGLES]
    return [
        {"params": [named[first]], "weight_decay": options.weight_decay, "eps": options.epsilon},
        {"params": angles, "weight_decay": options.circuit_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _identity(
    model: nn.Module, training: Batch, validation: Batch, loss: DistillationLoss, options: TrainingOptions
) -> str:
    # What a model computes beyond its initial parameters, a circuit or an encoding, stands in extra_repr.
    parts = [
        model.extra_repr(),
        {
            name: [list(value.shape), sha256(value.numpy().tobytes()).hexdigest()]
            for name, value in _copy(model).items()
        },
        training.digest(),
        validation.digest(),
        asdict(loss),
        asdict(options),
    ]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
