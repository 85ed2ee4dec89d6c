"""A frozen causal language model that is asked: zero-shot or few-shot label scoring.

The prompt is the instruction, then for each example the filled template, then the template with the text
itself up to where the label would stand. A class's score is the log-probability that its whole
label string follows.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdllm.data import VectorCache, cached_map
from qdllm.errors import ConfigError, DataError
from qdllm.models import fingerprint, load_causal_lm, token_limit
from qdllm.teachers.prompted import Example, PromptedTeacher
from qdllm.teachers.scoring import AnswerScorer, prefix_free

__all__ = ["PromptTeacher"]

_BATCH = 64  # texts written to the cache at once
_EXAMPLE_TOKENS = 768  # of all examples: attention to the prompt costs every text so much
_END = "\n\n"  # after the instruction and each example


class PromptTeacher(PromptedTeacher):
    """Scores label strings after a prompt.

    Parameters
    ----------
    name : str or Path
        A pinned asset, path or hub name of a causal language model.
    shots : int
        Labelled training rows of each class shown in the prompt; 0 is zero-shot.
    template : str
        What is written for each text, ending with its label, for example "Review: {text}⏎Sentiment: {label}".
        Small models are sensitive to it: words that fit the task can be worth ten points.
    instruction : str, optional
        The prompt's first line, by default "Classify each text as one of: …".
    label_words : mapping of str to str, optional
        The words that stand for a class; by default its name with spaces for underscores. Where the data have
        no label at all its keys are the classes.
    batch_calibration : bool
        Subtract from each class its mean log-probability over unlabelled training texts (Zhou et al. 2023,
        "Batch Calibration"), which takes away the prompt's preference for a class.
    max_tokens : int
        A text is cut after so many tokens; an example in the prompt sooner, so that all examples
        together have at most 768, or 24 each.
    seed, cache, quiet
        See `Teacher`.

    Raises
    ------
    ConfigError
        If an option is out of its range.
    """

    @property
    def settings(self) -> dict[str, Any]:
        """See `Teacher.settings`."""
        return {**super().settings, "model": self._model_fingerprint}

    def _check_words(self) -> None:
        self._answers  # noqa: B018 - raises where two have the same tokens

    def _raw(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return log-probabilities of the label strings, shape (n, C), computing what is not cached."""
        scorer: list[AnswerScorer] = []  # made when the first text is missing from the cache

        def compute(batch: list[str]) -> NDArray[np.float32]:
            if not scorer:
                scorer.append(self._scorer(self._examples))
            return scorer[0](batch)

        description = f"{self.mode} labels by {Path(self.name).name}"
        return self._cached(texts, compute, description, leave_one_out=False)

    def _leave_one_out(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the same of the prompt's own examples, each scored by a prompt without it."""

        def compute(batch: list[str]) -> NDArray[np.float32]:
            others = [[example for example in self._examples if example[0] != text] for text in batch]
            scores = [self._scorer(kept)([text]) for text, kept in zip(batch, others, strict=True)]
            return np.concatenate(scores)

        return self._cached(texts, compute, "the prompt's own examples", leave_one_out=True)

    def _cached(
        self,
        texts: Sequence[str],
        compute: Callable[[list[str]], NDArray[np.float32]],
        description: str,
        *,
        leave_one_out: bool,
    ) -> NDArray[np.float64]:
        settings = {
            "kind": "label log-probabilities",
            "model": self._model_fingerprint,
            "template": self.template,
            "instruction": self._instruction_text,
            "examples": [list(example) for example in self._examples],
            "leave_one_out": leave_one_out,
            "words": self._words,
            "max_tokens": self.max_tokens,
        }
        scores = cached_map(
            VectorCache(self.cache, settings),
            texts,
            compute,
            batch_size=_BATCH,
            description=description,
            quiet=self.quiet,
        )
        return scores.astype(np.float64)

    def _scorer(self, examples: list[Example]) -> AnswerScorer:
        """Write the prompt as tokens; examples that the model's context has no room for are left out."""
        model, tokenizer = self._model
        room = token_limit(model, tokenizer, 1_000_000) - max(map(len, self._answers))
        head, suffix = self._tokens(self._head), self._tokens(self._ask)
        start = tokenizer("")["input_ids"]  # a beginning-of-text token, where the model is used to one
        instruction = start + self._tokens(self._instruction_text + _END)
        longest = min(self.max_tokens, max(24, _EXAMPLE_TOKENS // max(1, len(examples))))
        shown = [
            head
            + self._tokens(text)[:longest]
            + suffix
            + self._tokens(self._space + words)
            + self._tokens(_END)
            for text, words in examples
        ]
        while shown and len(instruction) + sum(map(len, shown)) + len(head + suffix) + self.max_tokens > room:
            shown.pop()
        prefix = [*instruction, *chain.from_iterable(shown), *head]
        most = min(self.max_tokens, room - len(prefix) - len(suffix))
        if most < 8:
            raise ConfigError(f"{self.name}: the prompt leaves no room for a text in the model's context")
        return AnswerScorer(model, tokenizer, prefix, suffix, self._answers, most)

    def _tokens(self, text: str) -> list[int]:
        return list(self._model[1](text, add_special_tokens=False)["input_ids"])

    @property
    def _answers(self) -> list[list[int]]:
        """The tokens of each label string; ended by an empty line where one is the beginning of another."""
        answers = [self._tokens(self._space + words) for words in self._words]
        for i, answer in enumerate(answers):
            if not answer or answer in answers[:i]:
                twin = self.classes[answers.index(answer)]
                raise DataError(
                    f"class {self.classes[i]!r}: its label string {self._words[i]!r} gives the same tokens "
                    f"as that of {twin!r}; give the two classes different label words"
                )
        return answers if prefix_free(answers) else [answer + self._tokens(_END) for answer in answers]

    @cached_property
    def _model(self) -> tuple[Any, Any]:
        return load_causal_lm(self.name)

    @cached_property
    def _model_fingerprint(self) -> str:
        return fingerprint(self.name)
