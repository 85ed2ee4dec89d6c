"""Any Hugging Face sequence classifier, already tuned to the task."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qdllm.data import TextDataset, VectorCache, cached_map
from qdllm.errors import DataError
from qdllm.files import read_json
from qdllm.models import encode_batches, fingerprint, load_classifier, local_folder
from qdllm.teachers.base import Teacher
from qdllm.teachers.lesson import Lesson
from qdllm.teachers.task import Task, find_classes

__all__ = ["ClassifierTeacher"]

_BATCH = 128  # texts written to the cache at once


class ClassifierTeacher(Teacher):
    """A sequence classifier whose labels are the dataset's classes.

    Parameters
    ----------
    model : str or Path
        Path or hub name of a ``...ForSequenceClassification``.
    label_words : mapping of str to str, optional
        The model's label for a class of the dataset; other classes match labels of their own name, whatever
        the case.
    max_tokens : int
        A text is cut after so many tokens.
    seed, cache, quiet
        See `Teacher`.
    """

    mode = "classifier"

    def __init__(
        self,
        model: str | Path,
        *,
        label_words: Mapping[str, str] | None = None,
        max_tokens: int = 256,
        seed: int = 0,
        cache: str | Path | None = None,
        quiet: bool = False,
    ) -> None:
        super().__init__(str(model), seed=seed, cache=cache, quiet=quiet)
        self.label_words = dict(label_words or {})
        self.max_tokens = max_tokens

    @property
    def settings(self) -> dict[str, Any]:
        """See `Teacher.settings`."""
        return {
            "teacher": "classifier",
            "model": self._model_fingerprint,
            "label_words": self.label_words,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }

    def lessons(self) -> list[Lesson]:
        """See `Teacher.lessons`; known of a model that `fine_tune` made."""
        lesson = Lesson.read(local_folder(self.name))
        return [] if lesson is None else [lesson]

    def _find_classes(self, dataset: TextDataset) -> tuple[str, ...]:
        """Match the model's labels to the dataset's classes, one to one."""
        spelling = {name.casefold(): name for name in dataset.classes}
        spelling |= {words.casefold(): name for name, words in self.label_words.items()}
        classes = [spelling.get(label.casefold(), label) for label in self._labels]
        if dataset.classes and sorted(classes) != list(dataset.classes):
            raise DataError(
                f"{self.name} has the labels {', '.join(self._labels)}; {dataset.name} has the classes "
                f"{', '.join(dataset.classes)}; say with label words which label stands for a class"
            )
        self._order = [classes.index(name) for name in sorted(classes)]
        return find_classes(dataset, classes, "a classifier")

    def _fit(self, task: Task) -> None:
        """Nothing to fit: the classifier is frozen."""

    def _logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        def compute(batch: list[str]) -> NDArray[np.float32]:
            model, tokenizer = self._model
            logits = np.empty((len(batch), len(self._labels)), dtype=np.float32)
            with torch.inference_mode():
                for rows, ids, mask in encode_batches(model, tokenizer, batch, max_tokens=self.max_tokens):
                    logits[rows] = model(input_ids=ids, attention_mask=mask).logits.float().cpu().numpy()
            return logits

        settings = {
            "kind": "classifier logits",
            "model": self._model_fingerprint,
            "max_tokens": self.max_tokens,
        }
        vectors = cached_map(
            VectorCache(self.cache, settings),
            texts,
            compute,
            batch_size=_BATCH,
            description=f"labels by {Path(self.name).name}",
            quiet=self.quiet,
        )
        return vectors[:, self._order].astype(np.float64)

    @cached_property
    def _labels(self) -> list[str]:
        names = read_json(local_folder(self.name) / "config.json").get("id2label") or {}
        return [str(names[key]) for key in sorted(names, key=int)] or ["LABEL_0", "LABEL_1"]

    @cached_property
    def _model(self) -> tuple[Any, Any]:
        return load_classifier(self.name)

    @cached_property
    def _model_fingerprint(self) -> str:
        return fingerprint(self.name)
