"""One training loop for all baselines that read texts as ids, and what it leaves behind."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_model
from torch import Tensor, nn

from qdllm.compare.task import Fitted, Lesson, Rows, Setting
from qdllm.distill import DistillationLoss
from qdllm.errors import DataError, TrainingError
from qdllm.files import write_json
from qdllm.progress import progress

__all__ = [
    "Examples",
    "FittedText",
    "Objective",
    "TextBatch",
    "TokenIds",
    "TrainingPlan",
    "distillation",
    "train_on_texts",
]

_POOL = 16  # batches drawn together, and sorted by length among themselves
_ROWS = 64  # asked about at once


class TokenIds(Protocol):
    """Turns texts into ids."""

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Return at least one id for each text."""

    def save(self, folder: Path) -> None:
        """Write what it needs into `folder`."""


@dataclass(frozen=True)
class TextBatch:
    """Rows of a step, on the model's device.

    Attributes
    ----------
    ids : Tensor of int64, shape (b, t)
        Padded on the right with 0.
    mask : Tensor of int64, shape (b, t)
        1 where there is an id.
    labels : Tensor of int64, shape (b,)
        −1 where the gold label is not known.
    soft_labels : Tensor of float32, shape (b, C), optional
    """

    ids: Tensor
    mask: Tensor
    labels: Tensor
    soft_labels: Tensor | None

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.ids)


Objective = Callable[[TextBatch], Tensor]
"""The mean loss of a batch, as a scalar; it runs the model itself."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Texts as ids, with a label, a teacher's probabilities, or both.

    Attributes
    ----------
    ids : list of list of int, length n
    labels : Tensor of int64, shape (n,)
    soft_labels : Tensor of float32, shape (n, C), optional
    """

    ids: list[list[int]]
    labels: Tensor
    soft_labels: Tensor | None

    @classmethod
    def of(cls, rows: Rows, tokens: TokenIds) -> "Examples":
        """Those rows of which something is known.

        Raises
        ------
        DataError
            If there is none.
        """
        known = np.flatnonzero(rows.y >= 0) if rows.soft is None else np.arange(len(rows))
        if not len(known):
            raise DataError("no row to learn from or to stop by has a label or a teacher's probabilities")
        kept = rows.take(known)
        soft = None if kept.soft is None else torch.tensor(kept.soft, dtype=torch.float32)
        return cls(tokens(kept.texts), torch.tensor(kept.y), soft)

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.ids)

    def take(self, rows: Tensor, device: torch.device) -> TextBatch:
        """Rows by index, padded."""
        ids, mask = _padded([self.ids[row] for row in rows.tolist()], device)
        soft = None if self.soft_labels is None else self.soft_labels[rows].to(device)
        return TextBatch(ids, mask, self.labels[rows].to(device), soft)


@dataclass(frozen=True)
class TrainingPlan:
    """How to train.

    Attributes
    ----------
    epochs : int
        Passes over the training rows.
    learning_rate : float
        AdamW's highest step size.
    batch_size : int
    weight_decay : float
        Decoupled decay of matrices.
    warm_up : float
        Share of all steps in which the step size rises from 0, before it falls back to 0 along a line.
    patience : int
        Epochs without a lower validation loss after which training stops.
    """

    epochs: int
    learning_rate: float
    batch_size: int = 32
    weight_decay: float = 0.01
    warm_up: float = 0.1
    patience: int = 2

    def rate(self, step: int, n_steps: int) -> float:
        """Step size of a step, counted from 0."""
        rising = max(1, round(self.warm_up * n_steps))
        share = (step + 1) / rising if step < rising else (n_steps - step) / (n_steps - rising + 1)
        return self.learning_rate * share


def train_on_texts(
    model: nn.Module,
    objective: Objective,
    lesson: Lesson,
    tokens: TokenIds,
    plan: TrainingPlan,
    *,
    seed: int,
    name: str,
) -> int:
    """Train `model` in place and leave it with the parameters of the epoch with the lowest validation loss.

    AdamW, gradients clipped to length 1, linear warm-up and decay. Computed in float32 on a CPU and in
    bfloat16 with float32 parameters on a GPU.

    Parameters
    ----------
    model : nn.Module
        Whose parameters are trained.
    objective : callable
        The loss that is minimised, and by which the epoch is chosen.
    lesson : Lesson
    tokens : TokenIds
    plan : TrainingPlan
    seed : int
        Seeds the order of rows and dropout. On a CPU the same seed gives the same parameters.
    name : str
        For the progress bar.

    Returns
    -------
    int
        The epoch that was kept, from 1.

    Raises
    ------
    DataError
        If of no training row or of no validation row anything is known.
    TrainingError
        If the loss is no longer finite.
    """
    training, validation = Examples.of(lesson.train, tokens), Examples.of(lesson.validation, tokens)
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(_groups(model, plan), lr=plan.learning_rate, fused=True)
    n_steps, step = plan.epochs * math.ceil(len(training) / plan.batch_size), 0
    best, lowest, kept = _copy(model), math.inf, 0
    bar = progress(f"training {name}", plan.epochs * len(training))
    with torch.random.fork_rng([device] if device.type == "cuda" else []), bar as advance:
        torch.manual_seed(seed)  # modules draw their dropout from the global generator
        for epoch in range(1, plan.epochs + 1):
            model.train()
            for rows in _shuffled(training, plan.batch_size, generator):
                for group in optimizer.param_groups:
                    group["lr"] = plan.rate(step, n_steps)
                batch = training.take(rows, device)
                with _precision(device):
                    loss = objective(batch)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                length = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                if not (torch.isfinite(loss) and torch.isfinite(length)):
                    raise TrainingError(
                        f"{name}: the loss is no longer finite in epoch {epoch}, step {step + 1}: "
                        f"try a learning rate below {plan.learning_rate:g}"
                    )
                optimizer.step()
                step += 1
                advance(len(batch))
            value = _mean_loss(model, objective, validation, device)
            if value < lowest:
                best, lowest, kept = _copy(model), value, epoch
            elif epoch - kept >= plan.patience:
                break
    model.load_state_dict(best)
    return kept


def distillation(model: nn.Module, setting: Setting) -> Objective:
    """Return the student's own loss, with the setting's weight of the teacher, on a model that reads ids."""
    loss = DistillationLoss(alpha=setting["alpha"])
    return lambda batch: loss(model(batch.ids, batch.mask), batch.labels, batch.soft_labels)


class FittedText(Fitted):
    """A trained module that reads ids.

    Parameters
    ----------
    model : nn.Module
        From ids and mask, both (b, t), to logits (b, C). All its parameters are needed to predict.
    tokens : TokenIds
    config : mapping
        What else has to be known to build the module again, as JSON.
    """

    def __init__(self, model: nn.Module, tokens: TokenIds, config: Mapping[str, Any]) -> None:
        self.model, self.tokens, self.config = model.eval(), tokens, dict(config)
        parameters = list(model.parameters())
        self.n_parameters = sum(p.numel() for p in parameters)
        self.n_trained = sum(p.numel() for p in parameters if p.requires_grad)

    @torch.inference_mode()
    def predict_proba(self, rows: Rows) -> NDArray[np.float64]:
        """See `Fitted.predict_proba`."""
        device = next(self.model.parameters()).device
        ids = self.tokens(rows.texts)
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        found: dict[int, NDArray[np.float64]] = {}
        for start in range(0, len(order), _ROWS):
            chosen = order[start : start + _ROWS]
            with _precision(device):
                logits = self.model(*_padded([ids[row] for row in chosen], device))
            found.update(zip(chosen, logits.double().softmax(dim=1).cpu().numpy(), strict=True))
        return np.stack([found[row] for row in range(len(ids))])

    def save(self, folder: Path) -> None:
        """See `Fitted.save`."""
        save_model(self.model, str(folder / "model.safetensors"))
        self.tokens.save(folder)
        write_json(folder / "model.json", self.config)


def _padded(ids: list[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids and mask, shape (b, t) each."""
    padded, mask = torch.zeros(2, len(ids), max(map(len, ids)), dtype=torch.int64)
    for row, of_row in enumerate(ids):
        padded[row, : len(of_row)] = torch.tensor(of_row)
        mask[row, : len(of_row)] = 1
    return padded.to(device), mask.to(device)


def _shuffled(rows: Examples, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches of rows in random order, of like length: the longest text of a batch is what it costs."""
    lengths = torch.tensor([len(ids) for ids in rows.ids])
    order = torch.randperm(len(rows), generator=generator)
    batches: list[Tensor] = []
    for drawn in torch.split(order, _POOL * batch_size):
        by_length = drawn[torch.argsort(lengths[drawn], stable=True)]
        batches += torch.split(by_length, batch_size)
    for place in torch.randperm(len(batches), generator=generator).tolist():
        yield batches[place]


@torch.no_grad()
def _mean_loss(model: nn.Module, objective: Objective, rows: Examples, device: torch.device) -> float:
    model.eval()
    order = torch.argsort(torch.tensor([len(ids) for ids in rows.ids]), stable=True)
    total = 0.0
    for chosen in torch.split(order, _ROWS):
        with _precision(device):
            total += objective(rows.take(chosen, device)).item() * len(chosen)
    return total / len(rows)


def _precision(device: torch.device) -> AbstractContextManager[Any]:
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def _groups(model: nn.Module, plan: TrainingPlan) -> list[dict[str, Any]]:
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": plan.weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
