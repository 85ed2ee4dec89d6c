"""A pretrained transformer, whole or every other layer of it, fine-tuned end to end with soft labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from qdllm.compare.baselines.training import FittedText, TrainingPlan, distillation, train_on_texts
from qdllm.compare.task import Contender, Fitted, Group, Lesson, Setting
from qdllm.errors import ConfigError, NetworkError
from qdllm.extras import require
from qdllm.models import (
    fingerprint,
    keep_layers,
    layer_count,
    load_encoder,
    model_kind,
    pool,
    preferred_device,
    quiet,
    token_limit,
)

__all__ = [
    "FineTuned",
    "HuggingFaceTokens",
    "PretrainedContender",
    "TextClassifier",
    "every_other_layer",
    "plan_of",
]

_ROWS_ON_CPU, _SETTINGS_ON_CPU = 2000, 2
_TOKENS_ON_CPU, _TOKENS_ON_GPU = 128, 256
_EPOCHS = 3
_DROPOUT = 0.1  # before the readout


class PretrainedContender(Contender):
    """What all that tune a pretrained model have in common.

    On a CPU a fit takes minutes. There a comparison gives all models at most 2,000 rows and 2 settings, and
    it reads at most 128 tokens of a text; on a GPU all rows count, the whole budget, and 256 tokens. Every
    setting names its ``max_tokens``.

    Parameters
    ----------
    model : str
        A pinned asset, a folder or a hub name.
    name : str
        In every table.
    """

    group: Group = "baseline"
    uses = "texts"
    grid: tuple[Mapping[str, Any], ...] = tuple(
        {"learning_rate": rate, "alpha": alpha}
        for rate, alpha in ((1e-4, 0.5), (2e-4, 0.5), (1e-4, 0.1), (5e-5, 0.5), (2e-4, 0.1), (5e-5, 0.1))
    )

    def __init__(self, model: str, name: str) -> None:
        self.model = model
        self.name = name
        if _on_cpu():
            self.max_rows, self.max_settings = _ROWS_ON_CPU, _SETTINGS_ON_CPU

    @property
    def identity(self) -> dict[str, Any]:
        """See `Contender.identity`; the model counts by its content."""
        content = fingerprint(self.model, dtype=torch.float32)
        return {"name": self.name, "model": content, "device": preferred_device().type}

    def check(self) -> None:
        """See `Contender.check`."""
        require("transformers", "llm", f"the baseline {self.name!r}")
        try:
            fingerprint(self.model, dtype=torch.float32)
        except NetworkError as error:
            raise ConfigError(str(error)) from error

    def settings(self, budget: int) -> list[Setting]:
        """Step size and weight of the teacher."""
        tokens = _TOKENS_ON_CPU if _on_cpu() else _TOKENS_ON_GPU
        return [{**choice, "epochs": _EPOCHS, "max_tokens": tokens} for choice in self.grid[:budget]]


class FineTuned(PretrainedContender):
    """A pretrained transformer with a new linear readout, all of it trained on labels and soft labels.

    An encoder is pooled by the mean over a text's tokens, a causal language model by its last token.

    Parameters
    ----------
    model : str
        A pinned asset, a folder or a hub name.
    name : str
        In every table.
    every_other : bool
        Keep the 1st, 3rd, 5th … layer alone, as DistilBERT was begun (Sanh et al. 2019, arXiv 1910.01108).
        DistilBERT was then pretrained anew on its teacher's corpus, which is left out here.
    """

    def __init__(self, model: str, name: str, *, every_other: bool = False) -> None:
        super().__init__(model, name)
        self.every_other = every_other

    @property
    def identity(self) -> dict[str, Any]:
        """See `Contender.identity`."""
        return super().identity | {"every_other": self.every_other}

    def fit(self, lesson: Lesson, setting: Setting, seed: int) -> Fitted:
        """See `Contender.fit`."""
        model, tokens = TextClassifier.load(self.model, lesson, setting, seed, every_other=self.every_other)
        objective = distillation(model, setting)
        train_on_texts(model, objective, lesson, tokens, plan_of(setting), seed=seed, name=self.name)
        return model.fitted(tokens, lesson)


class TextClassifier(nn.Module):
    """A transformer without its head, pooled over a text's tokens, and a linear readout.

    Parameters
    ----------
    base : nn.Module
        Of transformers.
    pooling : str
        See `qdllm.models.pool`.
    n_classes : int
    seed : int
        Of the readout's start.
    """

    def __init__(self, base: Any, pooling: str, n_classes: int, seed: int) -> None:
        super().__init__()
        if getattr(base, "pooler", None) is not None:
            base.pooler = None  # nobody reads it, so it is not counted either
        self.base = base.requires_grad_(True)
        self.pooling = pooling
        self.dropout = nn.Dropout(_DROPOUT)
        self.readout = nn.Linear(base.config.get_text_config().hidden_size, n_classes)
        generator = torch.Generator().manual_seed(seed)
        nn.init.normal_(self.readout.weight, std=0.02, generator=generator)
        nn.init.zeros_(self.readout.bias)
        self.to(base.device)

    @classmethod
    def load(
        cls, name: str, lesson: Lesson, setting: Setting, seed: int, *, every_other: bool = False
    ) -> "tuple[TextClassifier, HuggingFaceTokens]":
        """Return the classifier with a pretrained model's layers, in float32, and what it reads."""
        base, tokenizer = load_encoder(name, dtype=torch.float32)
        if every_other:
            keep_layers(base, every_other_layer(layer_count(base)))
        pooling = "last" if model_kind(name) == "causal-lm" else "mean"
        tokens = HuggingFaceTokens(tokenizer, token_limit(base, tokenizer, setting["max_tokens"]))
        return cls(base, pooling, len(lesson.classes), seed), tokens

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return logits, shape (b, C)."""
        states = self.base(input_ids=ids, attention_mask=mask).last_hidden_state
        logits: Tensor = self.readout(self.dropout(pool(states, mask, self.pooling)))
        return logits

    def fitted(self, tokens: "HuggingFaceTokens", lesson: Lesson) -> Fitted:
        """Return it as a comparison asks for it."""
        config = {"pooling": self.pooling, "classes": lesson.classes, "base": self.base.config.to_dict()}
        return FittedText(self, tokens, config)


class HuggingFaceTokens:
    """Ids of a tokenizer of transformers, special ones included.

    Parameters
    ----------
    tokenizer
        Of transformers.
    limit : int
        A text is cut after so many ids.
    """

    def __init__(self, tokenizer: Any, limit: int) -> None:
        self.tokenizer, self.limit = tokenizer, limit

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """See `TokenIds`."""
        with quiet():
            ids = self.tokenizer(list(texts), truncation=True, max_length=self.limit)["input_ids"]
        return [of_text or [0] for of_text in ids]

    def save(self, folder: Path) -> None:
        """See `TokenIds`."""
        with quiet():
            self.tokenizer.save_pretrained(folder)


def every_other_layer(depth: int) -> list[int]:
    """Layers 1, 3, 5 … of `depth`, numbered from 1."""
    return list(range(1, depth + 1, 2))


def plan_of(setting: Setting) -> TrainingPlan:
    """How a setting trains a transformer."""
    return TrainingPlan(setting["epochs"], setting["learning_rate"])


def _on_cpu() -> bool:
    return preferred_device().type == "cpu"
