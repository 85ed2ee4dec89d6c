"""Fits: each setting of each contender on each split, measured, written down as soon as it is done."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

import qdllm
from qdllm.compare.costs import BATCHES, best_time, peak_memory, saved_bytes
from qdllm.compare.measures import log_loss
from qdllm.compare.task import ComparisonTask, Contender, Fitted, Lesson, Rows, Setting
from qdllm.compare.workers import Workers
from qdllm.errors import reason_of
from qdllm.files import atomic_path
from qdllm.progress import progress

__all__ = ["Costs", "Fit", "FitStore", "Job", "best_fit", "fit_all"]

_SINGLE_TEXTS = 16  # texts that are asked about one by one, where that is timed


@dataclass(frozen=True)
class Costs:
    """What one fit costs, without the comparison's encoder.

    Attributes
    ----------
    n_trained, n_parameters : int
        See `Fitted`.
    n_bytes : int
        On disk.
    cpu_seconds : float
        Of training, all threads of the process together.
    peak_megabytes : float or None
        By how much the process grew at most while training; None where the system does not tell.
    microseconds : dict
        Wall time a text, by the number of texts asked about at once ("1", "256").
    """

    n_trained: int
    n_parameters: int
    n_bytes: int
    cpu_seconds: float
    peak_megabytes: float | None
    microseconds: dict[str, float]


@dataclass(frozen=True, eq=False)
class Fit:
    """A finished fit.

    Attributes
    ----------
    validation_accuracy, validation_loss : float
        On validation rows: against gold labels where any is visible there, else against the teacher.
    costs : Costs
    test : ndarray of float64, shape (n_test, C)
        Probabilities of the test rows; nothing is chosen by them.
    """

    validation_accuracy: float
    validation_loss: float
    costs: Costs
    test: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Job:
    """One fit to be made: a contender with a setting, on a task that lies in a file."""

    contender: Contender
    setting: Setting
    task: Path
    digest: str
    key: str

    @classmethod
    def of(cls, contender: Contender, setting: Setting, path: Path, digest: str) -> "Job":
        """Name a fit by everything that it depends on; `digest` is the task's."""
        content = [qdllm.__version__, digest, contender.identity, dict(setting)]
        key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
        return cls(contender, setting, path, digest, key)


class FitStore:
    """A folder of finished fits, each a file of its own.

    Parameters
    ----------
    folder : Path
        Made when the first fit is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, key: str) -> Fit | None:
        """Return the fit of this key; None if it is not there, or its file is damaged."""
        try:
            with safe_open(self._path(key), framework="numpy") as file:
                about = json.loads(file.metadata()["fit"])
                about["costs"] = Costs(**about["costs"])
                return Fit(**about, test=file.get_tensor("test"))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None

    def write(self, key: str, fit: Fit) -> None:
        """Write a fit, whole or not at all."""
        about = {
            "validation_accuracy": fit.validation_accuracy,
            "validation_loss": fit.validation_loss,
            "costs": asdict(fit.costs),
        }
        with atomic_path(self._path(key)) as temporary:
            save_file(
                {"test": np.ascontiguousarray(fit.test)}, temporary, metadata={"fit": json.dumps(about)}
            )

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"


def fit_all(jobs: Sequence[Job], store: FitStore, workers: Workers, *, quiet: bool) -> dict[str, str]:
    """Make all fits that the store lacks.

    Returns
    -------
    dict
        Why a fit failed, in one line, by the key of its job. What failed is tried again by the next call.
    """
    waiting = [job for job in jobs if store.read(job.key) is None]
    failed: dict[str, str] = {}
    done = len(jobs) - len(waiting)
    with progress("fitting", len(jobs), unit="fits", done=done, quiet=quiet) as advance:
        for job, reason in workers.map(_Fitting(store), waiting):
            if reason is not None:
                failed[job.key] = reason
            advance(1)
    return failed


def best_fit(fits: Mapping[int, Fit]) -> int:
    """Return the place of the best: validation accuracy, then loss, then the earlier setting."""
    return max(fits, key=lambda i: (fits[i].validation_accuracy, -fits[i].validation_loss, -i))


@dataclass(frozen=True)
class _Fitting:
    """Carries out a job in whatever process it is called in."""

    store: FitStore

    def __call__(self, job: Job) -> str | None:
        task = _read_task(job.task, job.digest)
        try:
            self.store.write(job.key, _fit(job.contender, task, job.setting))
        except Exception as error:  # a failed fit is a failed row, whatever a contender raises
            return reason_of(error)
        return None


@lru_cache(maxsize=1)
def _read_task(path: Path, digest: str) -> ComparisonTask:  # noqa: ARG001 - a path can come to hold another
    return ComparisonTask.read(path)


def _fit(contender: Contender, task: ComparisonTask, setting: Setting) -> Fit:
    lesson = task.lesson
    started = time.process_time()
    with peak_memory() as memory:
        fitted = contender.fit(lesson, setting, task.seed)
    cpu_seconds = time.process_time() - started
    accuracy, loss = _validation(fitted, lesson)
    costs = Costs(
        fitted.n_trained,
        fitted.n_parameters,
        saved_bytes(fitted.save),
        round(cpu_seconds, 4),
        memory["megabytes"],
        {str(batch): _microseconds(fitted, lesson.validation.inputs, batch) for batch in BATCHES},
    )
    return Fit(accuracy, loss, costs, _probabilities(fitted, task.take("test").inputs, len(task.classes)))


def _validation(fitted: Fitted, lesson: Lesson) -> tuple[float, float]:
    """Accuracy and loss on validation rows, against the teacher where no label is visible."""
    rows = lesson.validation
    proba = _probabilities(fitted, rows.inputs, len(lesson.classes))
    codes = rows.y
    if not (codes >= 0).any() and rows.soft is not None:
        codes = rows.soft.argmax(axis=1)
    known = codes >= 0
    accuracy = float((proba.argmax(axis=1) == codes)[known].mean()) if known.any() else 0.0
    return accuracy, log_loss(codes[known], proba[known]) if known.any() else 0.0


def _probabilities(fitted: Fitted, rows: Rows, n_classes: int) -> NDArray[np.float64]:
    proba = np.asarray(fitted.predict_proba(rows), dtype=np.float64)
    if proba.shape != (len(rows), n_classes) or not np.isfinite(proba).all():
        raise ValueError(
            f"probabilities of shape {proba.shape} or not finite, where {len(rows)} rows were asked"
        )
    return proba


def _microseconds(fitted: Fitted, rows: Rows, batch: int) -> float:
    """Wall time a text, asking about `batch` texts at once; rows are repeated where there are fewer."""
    count = _SINGLE_TEXTS if batch == 1 else batch
    some = rows.take(np.arange(count) % len(rows))
    pieces = [some.take(np.arange(i, i + batch)) for i in range(0, count, batch)]
    return round(1e6 * best_time(fitted.predict_proba, pieces) / count, 3)
