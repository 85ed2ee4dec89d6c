"""A small causal language model taught by reverse KL, after MiniLLM (Gu et al. 2024, arXiv 2306.08543).

MiniLLM minimises KL(student‖teacher) over whole responses y to a prompt x. Here a response is one token out
of C, one for each class, and of the teacher the probabilities p of classes are known. The objective is then

    L(x) = Σ_c q_c log(q_c / p_c),   q = the student's next-token distribution over those C tokens,

a sum of C terms. MiniLLM has to sample it; its policy gradient, −E[(R − 1) ∇ log q(y)] over y from q with
R = log(p(y) / q(y)), is here the plain gradient of the sum: ∇L = Σ_c q_c log(q_c / p_c) ∇ log q_c, since
Σ_c ∇ q_c = 0. Of its three remedies for sampling, the single-step decomposition is then the whole gradient
(no step comes after), teacher-mixed sampling has nothing to sample, and length normalisation divides by a
length of one.

So this is MiniLLM's objective for classification, exactly, and its method for that case. It is not MiniLLM
for free text: there is no sequence to explore, no language-modelling loss on a corpus beside it, and its
supervised first phase is a cross-entropy term of the same loss.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from qdllm.compare.baselines.training import FittedText, TextBatch, train_on_texts
from qdllm.compare.baselines.transformer import PretrainedContender, plan_of
from qdllm.compare.task import Fitted, Lesson, Setting
from qdllm.distill import label_and_teacher, teacher_logits
from qdllm.errors import ConfigError
from qdllm.models import keep_layers, layer_count, load_causal_lm, pool, quiet, token_limit

__all__ = ["MiniLlm", "ReverseKl", "class_tokens"]

_HEAD, _TAIL = "Text:", "\nCategory:"


@dataclass(frozen=True)
class ReverseKl:
    """(1 − α)·CE(student, label) + α·KL(student‖teacher), row by row.

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
        log_q = functional.log_softmax(logits, dim=-1)
        log_p = functional.log_softmax(teacher_logits(soft_labels), dim=-1)
        divergence = (log_q.exp() * (log_q - log_p)).sum(dim=-1)
        return label_and_teacher(logits, labels, divergence, self.alpha)


class MiniLlm(PretrainedContender):
    """The first layers of a causal language model, asked for the token of a class.

    The prompt is "Text: …⏎Category:". A class is named by the first token of its name where all differ in
    it, else by a capital letter. The rows of the output matrix for these tokens become a readout of their
    own; of the rest of that matrix nothing is kept.

    Parameters
    ----------
    model : str
        A pinned asset, a folder or a hub name; a causal language model.
    n_layers : int
        How many of its first layers are kept.
    """

    grid: tuple[Mapping[str, Any], ...] = tuple(
        {"learning_rate": rate, "alpha": alpha}
        for rate, alpha in ((3e-4, 0.5), (3e-4, 1.0), (1e-4, 0.5), (1e-4, 1.0), (6e-4, 0.5), (6e-4, 1.0))
    )

    def __init__(self, model: str, n_layers: int = 6) -> None:
        super().__init__(model, "minillm")
        self.n_layers = n_layers

    @property
    def identity(self) -> dict[str, Any]:
        """See `Contender.identity`."""
        return super().identity | {"n_layers": self.n_layers}

    def fit(self, lesson: Lesson, setting: Setting, seed: int) -> Fitted:
        """See `Contender.fit`."""
        whole, tokenizer = load_causal_lm(self.model, dtype=torch.float32)
        keep_layers(whole, range(1, min(self.n_layers, layer_count(whole)) + 1))
        tokens = _Prompts(tokenizer, token_limit(whole, tokenizer, setting["max_tokens"]))
        model = _NextToken(whole, class_tokens(tokenizer, lesson.classes))
        loss = ReverseKl(setting["alpha"])

        def objective(batch: TextBatch) -> Tensor:
            return loss(model(batch.ids, batch.mask), batch.labels, batch.soft_labels)

        train_on_texts(model, objective, lesson, tokens, plan_of(setting), seed=seed, name=self.name)
        return FittedText(model, tokens, {"classes": lesson.classes, "base": model.base.config.to_dict()})


def class_tokens(tokenizer: Any, classes: Sequence[str]) -> list[int]:
    """Return a token for each class, all different."""
    letters = [chr(ord("A") + i) for i in range(len(classes))]
    for names in (classes, letters):
        first = [tokenizer(f" {name}", add_special_tokens=False)["input_ids"][0] for name in names]
        if len(set(first)) == len(classes):
            return first
    raise ConfigError(f"{len(classes)} classes are more than this tokenizer has letters for")


class _Prompts:
    """A text between what the prompt says before and after it; a long text is cut, the prompt is not."""

    def __init__(self, tokenizer: Any, limit: int) -> None:
        self.tokenizer = tokenizer
        with quiet():
            self.head = tokenizer(_HEAD)["input_ids"]
            self.tail = tokenizer(_TAIL, add_special_tokens=False)["input_ids"]
        self.limit = limit - len(self.head) - len(self.tail)

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        options = {"add_special_tokens": False, "truncation": True, "max_length": self.limit}
        with quiet():
            bodies = self.tokenizer([f" {text}" for text in texts], **options)["input_ids"]
        return [self.head + body + self.tail for body in bodies]

    def save(self, folder: Path) -> None:
        with quiet():
            self.tokenizer.save_pretrained(folder)


class _NextToken(nn.Module):
    """Logits of a few tokens after the last one."""

    def __init__(self, whole: Any, tokens: list[int]) -> None:
        super().__init__()
        self.base = whole.base_model.requires_grad_(True)
        rows = whole.get_output_embeddings().weight[tokens]
        self.readout = nn.Parameter(rows.detach().clone())

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.base(input_ids=ids, attention_mask=mask).last_hidden_state
        return functional.linear(pool(states, mask, "last"), self.readout)
