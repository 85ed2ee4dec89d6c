"""A bidirectional LSTM distilled by regression of logits, after Tang et al. 2019 (arXiv 1903.12136)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from qdllm.compare.baselines.training import FittedText, TextBatch, TrainingPlan, train_on_texts
from qdllm.compare.baselines.transformer import HuggingFaceTokens, PretrainedContender
from qdllm.compare.task import Fitted, Lesson, Setting
from qdllm.distill import label_and_teacher, teacher_logits
from qdllm.models import load_encoder, token_limit

__all__ = ["BiLstm", "LogitRegression"]

_HIDDEN, _FULLY_CONNECTED = 150, 200  # the smaller of the paper's sizes
_DROPOUT = 0.2
_MAX_TOKENS = 128
_EPOCHS = 10


@dataclass(frozen=True)
class LogitRegression:
    """(1 − α)·CE(student, label) + α·‖student − teacher‖² between logits, row by row.

    A teacher's logits are known up to a constant a row here: they are log-probabilities with mean 0 over
    classes. The paper weighs the other way round and finds the regression alone, α = 1, best.

    Parameters
    ----------
    alpha : float
        Weight of the teacher against the label, in [0, 1].
    """

    alpha: float

    def __call__(self, logits: Tensor, labels: Tensor, soft_labels: Tensor | None) -> Tensor:
        """Mean loss over a batch; see `DistillationLoss`."""
        if soft_labels is None:
            return label_and_teacher(logits, labels, None, self.alpha)
        wanted = teacher_logits(soft_labels)
        distance = (logits - wanted + wanted.mean(dim=1, keepdim=True)).square().sum(dim=1)
        return label_and_teacher(logits, labels, distance, self.alpha)


class BiLstm(PretrainedContender):
    """One bidirectional LSTM layer over the trained token vectors of a pretrained encoder.

    Tang et al. begin with word2vec; here the vectors of word pieces are those that the encoder begins with,
    whose layers are not used. Of the paper's recipe are left out its invented texts, which a teacher
    would have to label anew, a second, frozen copy of the vectors, and AdaDelta for AdamW.

    Parameters
    ----------
    model : str
        Whose token vectors: a pinned asset, a folder or a hub name.
    """

    def __init__(self, model: str) -> None:
        super().__init__(model, "bilstm")

    def settings(self, budget: int) -> list[Setting]:
        """Weight of the teacher, and step size."""
        grid = [
            {"alpha": alpha, "learning_rate": rate, "epochs": _EPOCHS, "max_tokens": _MAX_TOKENS}
            for rate in (1e-3, 3e-3)
            for alpha in (1.0, 0.5)
        ]
        return list(grid[:budget])

    def fit(self, lesson: Lesson, setting: Setting, seed: int) -> Fitted:
        """See `Contender.fit`."""
        base, tokenizer = load_encoder(self.model, dtype=torch.float32)
        tokens = HuggingFaceTokens(tokenizer, token_limit(base, tokenizer, setting["max_tokens"]))
        model = _Network(base.get_input_embeddings().weight, len(lesson.classes), seed).to(base.device)
        loss = LogitRegression(setting["alpha"])

        def objective(batch: TextBatch) -> Tensor:
            return loss(model(batch.ids, batch.mask), batch.labels, batch.soft_labels)

        plan = TrainingPlan(setting["epochs"], setting["learning_rate"])
        train_on_texts(model, objective, lesson, tokens, plan, seed=seed, name=self.name)
        return FittedText(model, tokens, {"classes": lesson.classes})


class _Network(nn.Module):
    """Token vectors, one bidirectional LSTM, the last states of both directions, ReLU, readout."""

    def __init__(self, vectors: Tensor, n_classes: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            self.vectors = nn.Embedding(*vectors.shape)
            self.dropout = nn.Dropout(_DROPOUT)
            self.lstm = nn.LSTM(vectors.shape[1], _HIDDEN, batch_first=True, bidirectional=True)
            self.head = nn.Sequential(
                nn.Linear(2 * _HIDDEN, _FULLY_CONNECTED), nn.ReLU(), nn.Linear(_FULLY_CONNECTED, n_classes)
            )
        with torch.no_grad():
            self.vectors.weight.copy_(vectors)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        packed: Any = pack_padded_sequence(
            self.dropout(self.vectors(ids)), mask.sum(dim=1).cpu(), batch_first=True, enforce_sorted=False
        )
        _, (last, _) = self.lstm(packed)
        logits: Tensor = self.head(torch.cat([last[0], last[1]], dim=1))
        return logits
