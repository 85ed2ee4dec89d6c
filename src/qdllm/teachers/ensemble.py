"""Several teachers as one: a mixture of their probabilities, weighted by their worth on validation rows."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdllm.data import TextDataset
from qdllm.errors import ConfigError, DataError
from qdllm.teachers.base import Teacher
from qdllm.teachers.calibration import softened
from qdllm.teachers.lesson import Lesson
from qdllm.teachers.task import Task

__all__ = ["EnsembleTeacher", "mixture_weights"]

_PRIOR_ROWS = 10.0  # as if each member had explained so many rows: few labels decide little
_STEPS = 200


class EnsembleTeacher(Teacher):
    """The weighted mean of the members' calibrated probabilities.

    Parameters
    ----------
    members : sequence of Teacher
        Two or more; each is fitted as it would be alone.
    seed, cache, quiet
        See `Teacher`.

    Attributes
    ----------
    weights : ndarray, shape (len(members),)
        Sum to one; set by `fit`, equal where no label is visible.

    Raises
    ------
    ConfigError
        If there are fewer than two members.
    """

    mode = "ensemble"

    def __init__(
        self,
        members: Sequence[Teacher],
        *,
        seed: int = 0,
        cache: str | Path | None = None,
        quiet: bool = False,
    ) -> None:
        if len(members) < 2:
            raise ConfigError("an ensemble needs two teachers or more")
        super().__init__("+".join(member.name for member in members), seed=seed, cache=cache, quiet=quiet)
        self.members = tuple(members)
        self.weights = np.full(len(members), 1 / len(members))
        self._chosen: NDArray[np.int64] = np.zeros((0, len(members)), dtype=np.int64)

    @property
    def settings(self) -> dict[str, Any]:
        """See `Teacher.settings`."""
        return {"teacher": "ensemble", "members": [member.settings for member in self.members]}

    def lessons(self) -> list[Lesson]:
        """See `Teacher.lessons`."""
        return [lesson for member in self.members for lesson in member.lessons()]

    def describe(self) -> dict[str, Any]:
        """See `Teacher.describe`: of each member its weight and accuracy, and where they disagree."""
        names = [f"{member.name} {member.mode}" for member in self.members]
        return {
            "members": [
                {
                    "teacher": member.name,
                    "mode": member.mode,
                    "weight": float(weight),
                    "validation": None if member.validation is None else asdict(member.validation),
                    **member.describe(),
                }
                for member, weight in zip(self.members, self.weights, strict=True)
            ],
            "disagreement": {
                f"{names[i]} | {names[j]}": float((self._chosen[:, i] != self._chosen[:, j]).mean())
                for i, j in combinations(range(len(names)), 2)
                if len(self._chosen)
            },
        }

    def _find_classes(self, dataset: TextDataset) -> tuple[str, ...]:
        found = [member._find_classes(dataset) for member in self.members]
        for member, classes in zip(self.members, found, strict=True):
            if classes != found[0]:
                raise DataError(
                    f"{member.name} has the classes {', '.join(classes)}, {self.members[0].name} has "
                    f"{', '.join(found[0])}; an ensemble needs teachers of the same classes"
                )
        return found[0]

    def _fit(self, task: Task) -> None:
        for member in self.members:
            member._learn(task)
        self.weights = np.full(len(self.members), 1 / len(self.members))
        if len(task.calibration):
            ids = [task.row_ids[row] for row in task.calibration]
            likelihoods = self._probabilities(task.take(task.calibration), ids)
            codes = task.codes[task.calibration]
            self.weights = mixture_weights(likelihoods[:, np.arange(len(codes)), codes])
        self._held_out = {key: row for member in self.members for key, row in member._held_out.items()}

    def _honest_logits(self, texts: Sequence[str], row_ids: Sequence[str]) -> NDArray[np.float64]:
        return self._mixed(texts, row_ids)  # each member knows which rows it has seen

    def _logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return self._mixed(texts, None)

    def _mixed(self, texts: Sequence[str], row_ids: Sequence[str] | None) -> NDArray[np.float64]:
        """Return log-probabilities of the mixture; honest ones where row ids are given."""
        found = self._probabilities(texts, row_ids)
        self._chosen = found.argmax(axis=2).T
        mixed = np.einsum("m,mnc->nc", self.weights, found)
        return np.asarray(np.log(np.maximum(mixed, np.finfo(np.float64).tiny)))

    def _probabilities(self, texts: Sequence[str], row_ids: Sequence[str] | None) -> NDArray[np.float64]:
        """Return what each member says, shape (members, n, C)."""
        found = []
        for member in self.members:
            logits = member._logits(texts) if row_ids is None else member._honest_logits(texts, row_ids)
            found.append(softened(logits, member.temperature))
        return np.stack(found)


def mixture_weights(likelihoods: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights under which the mixture explains the labels best, by expectation maximisation.

    A Dirichlet prior worth ten rows a member pulls them together.

    Parameters
    ----------
    likelihoods : ndarray, shape (members, n)
        The probability that each member gives the true class of each row.

    Returns
    -------
    ndarray, shape (members,)
        Sum to one.
    """
    members, rows = likelihoods.shape
    weights = np.full(members, 1 / members)
    for _ in range(_STEPS):
        shares = weights[:, None] * np.maximum(likelihoods, np.finfo(np.float64).tiny)
        shares /= shares.sum(axis=0)
        weights = (shares.sum(axis=1) + _PRIOR_ROWS) / (rows + members * _PRIOR_ROWS)
    return weights
