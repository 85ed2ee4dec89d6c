"""The better of two ways to ask the same language model, by name."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdllm.data import TextDataset
from qdllm.teachers.base import Teacher
from qdllm.teachers.probe import ProbeTeacher
from qdllm.teachers.prompt import PromptTeacher
from qdllm.teachers.prompted import TEMPLATE
from qdllm.teachers.task import Task, stratified_sample

__all__ = ["AutoTeacher"]

_PROMPTED_ROWS = 300  # enough to tell two ways apart that differ by several points
_UNLABELLED_ROWS = 100


class AutoTeacher(Teacher):
    """Few-shot prompt or probe, whichever is more accurate on calibration rows.

    The prompt is judged on at most 300 of the probe's rows.

    Parameters
    ----------
    model : str or Path
        A pinned asset, path or hub name of a causal language model.
    label_words, template, shots
        See `PromptTeacher`; `shots` is at least 1.
    max_tokens : int
        A text is cut after so many tokens.
    seed, cache, quiet
        See `Teacher`.

    Attributes
    ----------
    chosen : Teacher
        Set by `fit`.
    """

    mode = "auto"
    chosen: Teacher

    def __init__(
        self,
        model: str | Path,
        *,
        label_words: Mapping[str, str] | None = None,
        template: str = TEMPLATE,
        shots: int = 4,
        max_tokens: int = 256,
        seed: int = 0,
        cache: str | Path | None = None,
        quiet: bool = False,
    ) -> None:
        super().__init__(str(model), seed=seed, cache=cache, quiet=quiet)
        options: dict[str, Any] = {"max_tokens": max_tokens, "seed": seed, "cache": cache, "quiet": quiet}
        self.candidates: tuple[Teacher, ...] = (
            ProbeTeacher(model, **options),
            PromptTeacher(model, label_words=label_words, template=template, shots=shots, **options),
        )

    @property
    def settings(self) -> dict[str, Any]:
        """See `Teacher.settings`."""
        settings = [teacher.settings for teacher in self.candidates]
        return {"teacher": "auto", "candidates": settings, "prompted_rows": _PROMPTED_ROWS}

    def describe(self) -> dict[str, Any]:
        """See `Teacher.describe`."""
        compared = {
            teacher.mode: asdict(teacher.validation)
            for teacher in self.candidates
            if teacher.validation is not None
        }
        return {"mode": self.chosen.mode, "compared": compared, **self.chosen.describe()}

    def _find_classes(self, dataset: TextDataset) -> tuple[str, ...]:
        return self.candidates[0]._find_classes(dataset)

    def _fit(self, task: Task) -> None:
        for teacher in self.candidates:
            teacher._learn(_smaller(task, self.seed) if isinstance(teacher, PromptTeacher) else task)
        self.chosen = max(self.candidates, key=_accuracy)
        self._held_out = self.chosen._held_out

    def _logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return self.chosen._logits(texts)


def _smaller(task: Task, seed: int) -> Task:
    """Fewer rows for a prompt, which costs seconds a long text."""
    return replace(
        task,
        calibration=stratified_sample(task.calibration, task.codes, _PROMPTED_ROWS, seed=seed),
        unlabelled=np.random.default_rng([seed, 12]).permutation(task.unlabelled)[:_UNLABELLED_ROWS],
    )


def _accuracy(teacher: Teacher) -> float:
    return teacher.validation.accuracy if teacher.validation is not None else 0.0
