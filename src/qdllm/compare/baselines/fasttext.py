"""A bag of trained n-gram vectors, after fastText (Joulin et al. 2016, arXiv 1607.01759)."""

import re
import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from qdllm.compare.baselines.training import FittedText, TrainingPlan, distillation, train_on_texts
from qdllm.compare.task import Contender, Fitted, Group, Lesson, Setting
from qdllm.encoders import normalise_text

__all__ = ["FastText"]

_BUCKETS = 2**16
_WIDTH = 16
_EPOCHS = 30


class FastText(Contender):
    """The mean of the vectors of a text's words and bigrams, read out linearly, all trained together.

    As in fastText a text is a bag of words and bigrams, hashed into buckets, and nothing is pretrained.
    Unlike it words are hashed too, the vectors begin at 0, so that an n-gram that training has not seen says
    nothing, the optimiser is AdamW, and the loss is that of distillation.
    """

    name = "fasttext"
    group: Group = "baseline"
    uses = "texts"

    def settings(self, budget: int) -> list[Setting]:
        """Step size, weight of the teacher, and whether bigrams count."""
        grid = [
            {"learning_rate": rate, "alpha": alpha, "bigrams": bigrams, "epochs": _EPOCHS}
            for bigrams in (True, False)
            for alpha in (0.5, 0.1)
            for rate in (0.01, 0.003)
        ]
        return list(grid[:budget])

    def fit(self, lesson: Lesson, setting: Setting, seed: int) -> Fitted:
        """See `Contender.fit`."""
        n_grams = _NGrams(bigrams=setting["bigrams"])
        model = _Bag(len(lesson.classes), seed)
        plan = TrainingPlan(setting["epochs"], setting["learning_rate"], weight_decay=0.0)
        objective = distillation(model, setting)
        train_on_texts(model, objective, lesson, n_grams, plan, seed=seed, name=self.name)
        return FittedText(model, n_grams, {"bigrams": setting["bigrams"], "classes": lesson.classes})


class _NGrams:
    """Words and bigrams of a text as the numbers of their buckets, from 1; 0 stands for nothing."""

    def __init__(self, *, bigrams: bool) -> None:
        self.bigrams = bigrams

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._ids(text) for text in texts]

    def save(self, folder: Path) -> None:
        """Nothing to write: a hash has no vocabulary."""

    def _ids(self, text: str) -> list[int]:
        words = re.findall(r"\w+", normalise_text(text))
        pairs = pairwise(words) if self.bigrams else ()
        n_grams = words + [" ".join(pair) for pair in pairs]
        return [1 + zlib.crc32(n_gram.encode()) % _BUCKETS for n_gram in n_grams] or [0]


class _Bag(nn.Module):
    def __init__(self, n_classes: int, seed: int) -> None:
        super().__init__()
        self.vectors = nn.EmbeddingBag(_BUCKETS + 1, _WIDTH, mode="mean", padding_idx=0)
        self.readout = nn.Linear(_WIDTH, n_classes)
        nn.init.zeros_(self.vectors.weight)
        nn.init.normal_(self.readout.weight, std=_WIDTH**-0.5, generator=torch.Generator().manual_seed(seed))
        nn.init.zeros_(self.readout.bias)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG002 - the bag leaves 0 out itself
        logits: Tensor = self.readout(self.vectors(ids))
        return logits
