"""The log-probability that a causal language model gives each answer after a prompt.

A prompt is a prefix that all texts share, the text, and a suffix. The prefix is computed once and its
key-value cache expanded to each batch. Answers are scored whole: the log-probabilities of all their tokens
are added. The caller sees to it that no answer is the beginning of another (`prefix_free`), so the answers
are disjoint events and their probabilities sum to at most one; no length correction is needed or made.
"""

import copy
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qdllm.models import quiet

__all__ = ["AnswerScorer", "prefix_free"]

_CACHED_TOKENS = 32_768  # prefix, text and suffix of all rows of a batch: bounds the key-value cache


def prefix_free(answers: Sequence[Sequence[int]]) -> bool:
    """Whether no answer is the beginning of another; equal answers are."""
    return not any(
        i != j and list(b[: len(a)]) == list(a) for i, a in enumerate(answers) for j, b in enumerate(answers)
    )


@dataclass(frozen=True, eq=False)
class AnswerScorer:
    """Scores fixed answers after texts.

    Parameters
    ----------
    model, tokenizer
        A causal language model of transformers.
    prefix, suffix : list of int
        Tokens before and after each text; the prefix is not empty.
    answers : list of list of int
        Tokens of each answer, prefix-free.
    max_tokens : int
        A text is cut after so many tokens.
    tokens_per_batch : int
        Padded tokens of texts and suffixes computed at once.
    """

    model: Any
    tokenizer: Any
    prefix: list[int]
    suffix: list[int]
    answers: list[list[int]]
    max_tokens: int
    tokens_per_batch: int = 512

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return log-probabilities, shape (n, answers)."""
        with quiet():
            options = {"add_special_tokens": False, "truncation": True, "max_length": self.max_tokens}
            bodies = [ids + self.suffix for ids in self.tokenizer(list(texts), **options)["input_ids"]]
        scores = np.empty((len(bodies), len(self.answers)), dtype=np.float32)
        order = sorted(range(len(bodies)), key=lambda i: -len(bodies[i]))
        start = 0
        with torch.inference_mode(), self._contiguous_before_the_vocabulary():
            while start < len(order):
                length = len(bodies[order[start]])
                rows = min(self.tokens_per_batch // length, _CACHED_TOKENS // (len(self.prefix) + length))
                batch = order[start : start + max(1, rows)]
                start += len(batch)
                scores[batch] = self._score([bodies[i] for i in batch]).cpu().numpy()
        return scores

    def _score(self, bodies: list[list[int]]) -> torch.Tensor:
        """Return log-probabilities of the answers after bodies, longest first, shape (b, answers)."""
        device = self.model.device
        length = len(bodies[0])
        # padded on the left, so that every row's next token stands in the same column
        ids = torch.tensor([[0] * (length - len(body)) + body for body in bodies], device=device)
        mask = torch.tensor([[0] * (length - len(b)) + [1] * len(b) for b in bodies], device=device)
        mask = torch.cat(
            [torch.ones(len(bodies), len(self.prefix), dtype=mask.dtype, device=device), mask], dim=1
        )
        cache = copy.deepcopy(self._prefix_cache)
        cache.batch_repeat_interleave(len(bodies))
        first = self._log_probs(ids, mask, cache, keep=1)[:, 0]
        scores = []
        for answer in self.answers:
            score = first[:, answer[0]]
            if len(answer) > 1:
                fed, rest = torch.tensor(answer[:-1], device=device), torch.tensor(answer[1:], device=device)
                grown = torch.cat([mask, mask.new_ones(len(bodies), len(fed))], dim=1)
                log_probs = self._log_probs(fed.expand(len(bodies), -1), grown, cache, keep=len(fed))
                score = score + log_probs[:, torch.arange(len(fed), device=device), rest].sum(dim=1)
                cache.crop(-len(fed))  # takes so many tokens off the end
            scores.append(score)
        return torch.stack(scores, dim=1)

    def _log_probs(self, ids: torch.Tensor, mask: torch.Tensor, cache: Any, *, keep: int) -> torch.Tensor:
        """Return log-probabilities of what follows the last `keep` tokens, shape (b, keep, vocabulary)."""
        # padding inside a row must not count as a position
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        wishes = {"position_ids": positions, "logits_to_keep": keep}
        known = {name: value for name, value in wishes.items() if name in self._parameters}
        output = self.model(
            input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **known
        )
        return torch.log_softmax(output.logits[:, -keep:].float(), dim=-1)

    @contextmanager
    def _contiguous_before_the_vocabulary(self) -> Iterator[None]:
        """Of a strided slice torch would copy the vocabulary matrix for every row: four times slower."""
        layer = self.model.get_output_embeddings()
        hook = layer.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(), *inputs[1:]))
        try:
            yield
        finally:
            hook.remove()

    @cached_property
    def _prefix_cache(self) -> Any:
        ids = torch.tensor([self.prefix], device=self.model.device)
        return self.model.base_model(input_ids=ids, use_cache=True).past_key_values

    @cached_property
    def _parameters(self) -> frozenset[str]:
        return frozenset(inspect.signature(self.model.forward).parameters)
