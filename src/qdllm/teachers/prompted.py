"""What every teacher that is asked by a prompt shares: its words, its examples, and calibration by the batch.

A prompt is an instruction, then labelled examples, then the text itself. Each text and label is written by a
template; what scores the labels, a model here or one behind an endpoint, is the subclass's business.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdllm.data import TextDataset
from qdllm.errors import ConfigError, DataError
from qdllm.teachers.base import Teacher
from qdllm.teachers.task import Task, find_classes

__all__ = ["TEMPLATE", "Example", "PromptedTeacher"]

_CALIBRATION_TEXTS = 256
TEMPLATE = "Text: {text}\nCategory: {label}"

Example = tuple[str, str]  # text, label words


class PromptedTeacher(Teacher):
    """Scores label strings after a prompt.

    Parameters
    ----------
    name : str or Path
        See `Teacher`.
    shots, template, instruction, label_words, batch_calibration, max_tokens
        See `PromptTeacher`.
    seed, cache, quiet
        See `Teacher`.

    Raises
    ------
    ConfigError
        If an option is out of its range.
    """

    def __init__(
        self,
        name: str | Path,
        *,
        shots: int = 4,
        template: str = TEMPLATE,
        instruction: str | None = None,
        label_words: Mapping[str, str] | None = None,
        batch_calibration: bool = True,
        max_tokens: int = 256,
        seed: int = 0,
        cache: str | Path | None = None,
        quiet: bool = False,
    ) -> None:
        super().__init__(str(name), seed=seed, cache=cache, quiet=quiet)
        if shots < 0:
            raise ConfigError(f"shots {shots}: at least 0")
        if max_tokens < 8:
            raise ConfigError(f"max_tokens {max_tokens}: at least 8")
        self.mode = "few-shot" if shots else "zero-shot"
        self.shots = shots
        self.template = template
        self._head, self._ask, self._space = _parts(template)
        self.instruction = instruction
        self.label_words = dict(label_words) if label_words is not None else None
        self.batch_calibration = batch_calibration
        self.max_tokens = max_tokens
        self._examples: list[Example] = []
        self._offset = np.zeros(1)

    @property
    def settings(self) -> dict[str, Any]:
        """See `Teacher.settings`."""
        return {
            "teacher": "prompt",
            "shots": self.shots,
            "template": self.template,
            "instruction": self.instruction,
            "label_words": self.label_words,
            "batch_calibration": self.batch_calibration,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }

    def describe(self) -> dict[str, Any]:
        """See `Teacher.describe`."""
        return {
            "examples": len(self._examples),
            "label_words": dict(zip(self.classes, self._words, strict=True)),
            "batch_calibration": self.batch_calibration,
        }

    def _find_classes(self, dataset: TextDataset) -> tuple[str, ...]:
        unlabelled = not dataset.classes and self.label_words is not None
        classes = find_classes(dataset, list(self.label_words or ()) if unlabelled else None, "a prompt")
        strangers = sorted(set(self.label_words or ()) - set(classes))
        if strangers:
            raise DataError(
                f"label words for {strangers[0]!r}, which is no class of {dataset.name}: {', '.join(classes)}"
            )
        return classes

    def _fit(self, task: Task) -> None:
        self._check_words()
        rows = self._choose_examples(task)
        self._examples = [(task.texts[row], self._words[task.codes[row]]) for row in rows]
        self._offset = np.zeros(len(self.classes))
        if self.batch_calibration:
            rng = np.random.default_rng([self.seed, 13])
            others = np.setdiff1d(task.unlabelled, rows)
            sample = rng.permutation(others)[:_CALIBRATION_TEXTS]
            if len(sample):
                self._offset = self._raw(task.take(sample)).mean(axis=0)
        for row, scores in zip(
            rows, self._leave_one_out(task.take(np.array(rows, dtype=np.int64))), strict=True
        ):
            self._held_out[task.row_ids[row]] = scores - self._offset

    def _logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return self._raw(texts) - self._offset

    def _choose_examples(self, task: Task) -> list[int]:
        """Choose `shots` training rows of each class by seed, mixed."""
        rng = np.random.default_rng([self.seed, 12])
        rounds: list[list[int]] = [[] for _ in range(self.shots)]
        for code, name in enumerate(self.classes):
            of_class = rng.permutation(task.train[task.codes[task.train] == code])[: self.shots].tolist()
            if self.shots and not of_class:
                raise DataError(
                    f"class {name!r}: no visible label in the training part to show in the prompt"
                )
            for place, row in zip(rounds, of_class, strict=False):
                place.append(row)
        return [int(row) for place in rounds for row in rng.permutation(place)]

    @abstractmethod
    def _check_words(self) -> None:
        """Refuse label strings that cannot be told apart, before any work."""

    @abstractmethod
    def _raw(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return log-probabilities of the label strings, shape (n, C), computing what is not cached."""

    @abstractmethod
    def _leave_one_out(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the same of the prompt's own examples, each scored by a prompt without it."""

    @property
    def _words(self) -> list[str]:
        given = self.label_words or {}
        return [given.get(name, name.replace("_", " ")) for name in self.classes]

    @property
    def _instruction_text(self) -> str:
        if self.instruction is not None:
            return self.instruction
        return f"Classify each text as one of: {', '.join(self._words)}."


def _parts(template: str) -> tuple[str, str, str]:
    """Split a template into what stands before the text, between it and the label, and a space at that end.

    The space goes to the label: tokenizers keep it with the word that follows.
    """
    head, text, rest = template.partition("{text}")
    between, label, after = rest.partition("{label}")
    if not text or not label or after or not between.strip():
        raise ConfigError(f"template {template!r}: needs {{text}}, then words, then {{label}} at its end")
    return head, between.rstrip(" "), " " if between.endswith(" ") else ""
