"""A linear probe: logistic regression on the hidden states of a frozen language model.

Middle layers often tell classes apart better than the last, so layer and pooling are chosen on validation
rows. The choice is made on a sample; then the chosen layer alone is computed for the rest, and no block
behind it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdllm.data import TextDataset, VectorCache, cached_map
from qdllm.errors import ConfigError, DataError
from qdllm.models import (
    fingerprint,
    hidden_states,
    layer_count,
    load_encoder,
)
from qdllm.teachers.base import Teacher
from qdllm.teachers.calibration import fit_temperature, log_loss
from qdllm.teachers.task import Task, find_classes, stratified_sample

__all__ = ["Choice", "ProbeTeacher", "folds_of", "out_of_fold"]

_BATCH = 128  # texts written to the cache at once
_FOLDS = 5
_SELECTION_ROWS = 1500
_POOLINGS = ("mean", "last", "mean+last")
_STRENGTHS = (0.0003, 0.003, 0.03, 0.3)  # sklearn's C: d may exceed n, so small ones too


@dataclass(frozen=True)
class Choice:
    """What a probe reads and how strongly it is regularised.

    Attributes
    ----------
    layer : int
        From 1.
    pooling : {"mean", "last", "mean+last"}
    strength : float
        Inverse regularisation C of scikit-learn's logistic regression, on standardised states.
    """

    layer: int
    pooling: str
    strength: float


class ProbeTeacher(Teacher):
    """Logistic regression on standardised hidden states.

    Parameters
    ----------
    model : str or Path
        A pinned asset, path or hub name of a causal language model or an encoder.
    layers : sequence of int, optional
        Candidates, numbered from 1; by default about eight, evenly spread, with the last.
    max_tokens : int
        A text is cut after so many tokens.
    seed, cache, quiet
        See `Teacher`.

    Attributes
    ----------
    choice : Choice
        Set by `fit`.

    Notes
    -----
    Candidates are compared by the log loss at each one's best temperature, which is less noisy than accuracy:
    on validation rows, or where fewer than 30 labels are visible there, out of fold on all visible labels.
    """

    mode = "probe"
    choice: Choice

    def __init__(
        self,
        model: str | Path,
        *,
        layers: Sequence[int] | None = None,
        max_tokens: int = 256,
        seed: int = 0,
        cache: str | Path | None = None,
        quiet: bool = False,
    ) -> None:
        super().__init__(str(model), seed=seed, cache=cache, quiet=quiet)
        if max_tokens < 1:
            raise ConfigError(f"max_tokens {max_tokens}: at least 1")
        self.layers = list(layers) if layers is not None else None
        self.max_tokens = max_tokens
        self._probe: Any = None

    @property
    def settings(self) -> dict[str, Any]:
        """See `Teacher.settings`."""
        return {
            "teacher": "probe",
            "model": self._model_fingerprint,
            "layers": self.layers,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }

    def describe(self) -> dict[str, Any]:
        """See `Teacher.describe`."""
        return asdict(self.choice)

    def _find_classes(self, dataset: TextDataset) -> tuple[str, ...]:
        return find_classes(dataset, None, "a probe")

    def _fit(self, task: Task) -> None:
        rows = task.train
        counts = np.bincount(task.codes[rows], minlength=len(task.classes))
        if counts.min() < 2:
            name = task.classes[int(counts.argmin())]
            raise DataError(
                f"class {name!r}: a probe needs two visible training labels of each class; label more"
            )
        self.choice = self._choose(task)
        x, codes = self._states(task.take(rows), self.choice), task.codes[rows]
        folds = folds_of(
            codes, None if task.groups is None else [task.groups[row] for row in rows], self.seed
        )
        logits = out_of_fold(x, codes, folds, self.choice.strength, len(task.classes))
        self._held_out = {task.row_ids[row]: logits[i] for i, row in enumerate(rows)}
        self._probe = _fitted(x, codes, self.choice.strength)

    def _logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return _log_odds(self._probe, self._states(texts, self.choice), len(self.classes))

    def _choose(self, task: Task) -> Choice:
        """Choose layer, pooling and strength on a sample of the visible rows."""
        rows = stratified_sample(task.train, task.codes, _SELECTION_ROWS, seed=self.seed)
        codes = task.codes[rows]
        layers = self._candidates()
        states = self._layered(task.take(rows), layers)
        if task.source == "validation":
            judges = task.calibration
            judging = self._layered(task.take(judges), layers)
        else:
            judges, judging = rows, states
            groups = None if task.groups is None else [task.groups[row] for row in rows]
            folds = folds_of(codes, groups, self.seed)

        def loss(choice: Choice) -> float:
            place = layers.index(choice.layer)
            x = _pooled(states[:, place], choice.pooling)
            if task.source == "validation":
                probe = _fitted(x, codes, choice.strength)
                logits = _log_odds(probe, _pooled(judging[:, place], choice.pooling), len(task.classes))
            else:
                logits = out_of_fold(x, codes, folds, choice.strength, len(task.classes))
            return log_loss(logits, task.codes[judges], fit_temperature(logits, task.codes[judges]))

        # few labels cannot tell poolings apart, and a choice among many would rather be luck
        poolings = _POOLINGS if task.source == "validation" else ("mean+last",)
        best = min(
            (Choice(layer, pooling, _STRENGTHS[1]) for layer in layers for pooling in poolings), key=loss
        )
        best = min((Choice(best.layer, best.pooling, strength) for strength in _STRENGTHS), key=loss)
        self._keep(task.take(rows), states[:, layers.index(best.layer)], best.layer)
        if task.source == "validation":
            self._keep(task.take(judges), judging[:, layers.index(best.layer)], best.layer)
        return best

    def _candidates(self) -> list[int]:
        depth = self._depth
        if self.layers is not None:
            if not self.layers or min(self.layers) < 1 or max(self.layers) > depth:
                raise ConfigError(f"layers {self.layers}: {self.name} has layers 1 to {depth}")
            return sorted(set(self.layers))
        step = max(1, round(depth / 8))
        return sorted({*range(step, depth + 1, step), depth})

    def _states(self, texts: Sequence[str], choice: Choice) -> NDArray[np.float32]:
        """Return the states that the choice asks for, shape (n, d)."""
        return _pooled(self._layered(texts, [choice.layer])[:, 0], choice.pooling)

    def _layered(self, texts: Sequence[str], layers: list[int]) -> NDArray[np.float32]:
        """Return mean and last states joined, shape (n, layers, 2 width), computing what is not cached."""

        def compute(batch: list[str]) -> NDArray[np.float32]:
            return hidden_states(*self._model, batch, layers, "mean+last", max_tokens=self.max_tokens)

        vectors = cached_map(
            self._store(layers),
            texts,
            compute,
            batch_size=_BATCH,
            description=f"hidden states of {Path(self.name).name}",
            quiet=self.quiet,
        )
        return vectors.reshape(len(texts), len(layers), -1)

    def _keep(self, texts: list[str], states: NDArray[np.float32], layer: int) -> None:
        """File the chosen layer's part of the sample's states under that layer alone."""
        known = dict(zip(texts, states, strict=True))
        cached_map(
            self._store([layer]),
            texts,
            lambda batch: np.stack([known[text] for text in batch]),
            batch_size=_BATCH,
            description="chosen layer",
            quiet=True,
        )

    def _store(self, layers: list[int]) -> VectorCache:
        settings = {
            "kind": "hidden states",
            "model": self._model_fingerprint,
            "layers": layers,
            "pooling": "mean+last",
            "max_tokens": self.max_tokens,
        }
        return VectorCache(self.cache, settings)

    @cached_property
    def _depth(self) -> int:
        return layer_count(self._model[0])

    @cached_property
    def _model(self) -> tuple[Any, Any]:
        return load_encoder(self.name)

    @cached_property
    def _model_fingerprint(self) -> str:
        return fingerprint(self.name)


def folds_of(
    codes: NDArray[np.int64], groups: Sequence[str] | None, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Divide rows into at most five folds, stratified, no group torn apart.

    Where groups are so few or large that a fold would leave a class out of its training rows, groups are not
    kept together.

    Returns
    -------
    list of (fitted rows, predicted rows)
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    count = min(_FOLDS, int(np.bincount(codes).min()))
    if groups is not None and len(set(groups)) >= count:
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        folds = list(splitter.split(codes, codes, groups))
        if all(len(np.unique(codes[fitted])) == len(np.unique(codes)) for fitted, _ in folds):
            return folds
    return list(StratifiedKFold(count, shuffle=True, random_state=seed).split(codes, codes))


def out_of_fold(
    x: NDArray[np.float32],
    codes: NDArray[np.int64],
    folds: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    strength: float,
    n_classes: int,
) -> NDArray[np.float64]:
    """Return each row's logits by a probe that was fitted without its fold, shape (n, C)."""
    logits = np.empty((len(x), n_classes))
    for fitted, predicted in folds:
        logits[predicted] = _log_odds(_fitted(x[fitted], codes[fitted], strength), x[predicted], n_classes)
    return logits


def _pooled(joined: NDArray[np.float32], pooling: str) -> NDArray[np.float32]:
    """Cut (n, 2 width) down to what a pooling reads."""
    width = joined.shape[1] // 2
    return {"mean": joined[:, :width], "last": joined[:, width:], "mean+last": joined}[pooling]


def _fitted(x: NDArray[np.float32], codes: NDArray[np.int64], strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # in float32 the line search can give up early
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
    return probe.fit(x.astype(np.float64), codes)


def _log_odds(probe: Any, x: NDArray[np.float32], n_classes: int) -> NDArray[np.float64]:
    scores = np.asarray(probe.decision_function(x), dtype=np.float64)
    return np.stack([np.zeros(len(x)), scores], axis=1) if n_classes == 2 else scores
