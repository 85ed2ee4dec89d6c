"""The search: trials drawn by Optuna, kept in SQLite, from a first design to a Pareto front."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qdllm.compare import Lesson
from qdllm.errors import ConfigError, TrainingError, WorkError
from qdllm.extras import require
from qdllm.progress import progress
from qdllm.search.front import Candidate, choose, pareto_front
from qdllm.search.space import Choice, Design, Range, describe_space, draw, first_design, open_fields
from qdllm.search.training import Hopeless, Rival, costs_of, fit_design, give_up, hits, known_classes
from qdllm.student import Student

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

__all__ = ["Found", "check_search", "search"]

_DIRECTIONS = ("maximize", "minimize", "minimize")  # accuracy, two-qubit gates, parameters
_NAME = "qdllm"
_VERSION = 1  # of what a trial is; a study of another version is not continued
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """What a search has come to.

    Attributes
    ----------
    candidates : tuple of Candidate
        Every design that was trained to the end, by trial.
    front : tuple of Candidate
        Those that no other dominates, the most accurate first.
    chosen : Candidate
        One of the front (`choose`).
    fields : mapping
        What there was to choose.
    n_rows : int
        Validation rows that the accuracies are of.
    pruned : dict of int to str
        Why a trial was given up.
    interrupted : int
        Trials that were under way when the process ended; their designs were drawn again.
    seconds : float
        Wall time of all finished trials.
    digest : str
        SHA-256 (hex) of rows, seed and settings.
    """

    candidates: tuple[Candidate, ...]
    front: tuple[Candidate, ...]
    chosen: Candidate
    fields: dict[str, Choice | Range]
    n_rows: int
    pruned: dict[int, str]
    interrupted: int
    seconds: float
    digest: str


def check_search(fixed: Design, trials: int, minutes: float | None) -> None:
    """Refuse a search that cannot work, before anything costly is done.

    Raises
    ------
    ConfigError, CircuitError, TooLargeError
        If a number is out of range, a fixed field does not work, or nothing is left to choose.
    MissingExtraError
        If Optuna is not installed.
    """
    _packages()
    if trials < 1:
        raise ConfigError(f"trials is {trials}: it must be at least 1")
    if minutes is not None and not 0 < minutes < math.inf:
        raise ConfigError(f"timeout is {minutes}: it must be a finite number of minutes above 0")
    if not open_fields(fixed, taught=False):
        raise ConfigError(
            "the configuration sets every field of [student] that could be searched; leave some out"
        )
    Student(**first_design(fixed)).check_parameters()


def search(
    lesson: Lesson,
    path: Path,
    *,
    trials: int,
    seed: int,
    fixed: Design,
    minutes: float | None = None,
    quiet: bool = False,
) -> Found:
    """Search for designs that are accurate on validation rows, with few two-qubit gates and parameters.

    Designs are drawn by a tree-structured Parzen estimator for several objectives (Ozaki et al., Journal
    of Artificial Intelligence Research 73 (2022) 1209), the first ten at random but for the very first,
    which is the student's default. All are trained with `seed`. Before each draw the sampler is seeded with
    `seed` and the number of finished trials, so that a search that was interrupted draws what it would
    have drawn. A trial is finished when it was trained, given up (`give_up`), or has diverged.

    Parameters
    ----------
    lesson : Lesson
        Training and validation rows; there are no test rows here to be looked at.
    path : Path
        The SQLite file of trials: made, or gone on from. Parent folders must exist.
    trials : int
        How many are to be finished in all, those of earlier calls counted; at least 1.
    seed : int
    fixed : mapping
        Parameters of the student that are not searched.
    minutes : float, optional
        Start no trial later than this, but for the first.
    quiet : bool
        Show no progress bar.

    Raises
    ------
    ConfigError
        If no validation row has a known class, or the file belongs to another search or is none.
    TrainingError
        If no design could be trained.
    WorkError
        If the file can no longer be written.
    """
    codes = known_classes(lesson.validation)
    n_rows = int((codes >= 0).sum())
    if not n_rows:
        raise ConfigError(
            "no validation row has a label or a teacher: there is nothing to choose a design by"
        )
    fields = open_fields(fixed, taught=lesson.train.soft is not None)
    about = {
        "seed": seed,
        "data, labels or features": _digest(lesson),
        "fixed settings": dict(fixed),
        "space of designs": describe_space(fields),
        "version": _VERSION,
    }
    deadline = math.inf if minutes is None else time.monotonic() + 60 * minutes
    with _opened(path, about) as study:
        done = len(_finished(study))
        with progress("searching", max(trials, done), unit="trials", done=done, quiet=quiet) as advance:
            while done < trials and (not done or time.monotonic() < deadline):
                _run_trial(study, lesson, fixed, fields, seed, n_rows)
                advance(1)
                done += 1
        return _found(study, fields, n_rows, _sha256(about))


def _run_trial(
    study: Study, lesson: Lesson, fixed: Design, fields: dict[str, Choice | Range], seed: int, n_rows: int
) -> None:
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    finished = _finished(study)
    study.sampler = TPESampler(seed=int(np.random.SeedSequence([seed, len(finished)]).generate_state(1)[0]))
    if not finished and not study.get_trials(states=(TrialState.WAITING,)):
        first = first_design(fixed)
        study.enqueue_trial({name: first[name] for name in fields})
    trial = study.ask()
    design = draw(trial, fixed, fields)
    costs = costs_of(design, lesson.train.x.shape[1], len(lesson.classes))
    rivals = [Rival(_candidate(i, t), t.user_attrs["curve"]) for i, t in enumerate(finished) if t.values]
    try:
        student = fit_design(lesson, design, seed, give_up(costs, rivals, n_rows))
    except (Hopeless, TrainingError) as reason:
        trial.set_user_attr("pruned", str(reason))
        study.tell(trial, state=TrialState.PRUNED)
        _log.info("trial %d: given up: %s", len(finished), reason)
        return
    rows = lesson.validation
    accuracy = float(hits(student, rows.x, known_classes(rows)).mean())
    trial.set_user_attr("design", design)
    trial.set_user_attr("curve", student.history_.validation_accuracy)
    study.tell(trial, (accuracy, *costs))
    _log.info("trial %d: %.4f, %d two-qubit gates, %d parameters", len(finished), accuracy, *costs)


def _found(study: Study, fields: dict[str, Choice | Range], n_rows: int, digest: str) -> Found:
    finished = _finished(study)
    pruned = {i: trial.user_attrs["pruned"] for i, trial in enumerate(finished) if not trial.values}
    candidates = tuple(_candidate(i, trial) for i, trial in enumerate(finished) if trial.values)
    if not candidates:
        raise TrainingError(
            f"none of {len(finished)} designs could be trained; the last one: {pruned.popitem()[1]}"
        )
    front = pareto_front(candidates)
    return Found(
        candidates=candidates,
        front=tuple(front),
        chosen=choose(front, n_rows),
        fields=fields,
        n_rows=n_rows,
        pruned=pruned,
        interrupted=len(study.trials) - len(finished),
        seconds=sum(trial.duration.total_seconds() for trial in finished if trial.duration is not None),
        digest=digest,
    )


def _finished(study: Study) -> list[FrozenTrial]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _candidate(place: int, trial: FrozenTrial) -> Candidate:
    accuracy, gates, parameters = trial.values
    return Candidate(place, trial.user_attrs["design"], accuracy, int(gates), int(parameters))


@contextmanager
def _opened(path: Path, about: dict[str, Any]) -> Iterator[Study]:
    """Open or make the study, alone, with no trial in it that is still under way."""
    optuna, filelock = _packages()
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with ExitStack() as cleanup:
        try:
            cleanup.enter_context(filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=0))
            # Connected by ourselves: in a URL some characters of a path have a meaning.
            storage = optuna.storages.RDBStorage(
                "sqlite://", engine_kwargs={"creator": lambda: sqlite3.connect(path, check_same_thread=False)}
            )
            cleanup.callback(storage.engine.dispose)
            cleanup.callback(storage.remove_session)
            study = optuna.create_study(
                storage=storage, study_name=_NAME, directions=_DIRECTIONS, load_if_exists=True
            )
        except filelock.Timeout as error:
            raise ConfigError(f"{path}: another search is at work here; give another --out") from error
        except (SQLAlchemyError, RuntimeError) as error:  # no database, or of a newer Optuna
            raise ConfigError(f"{path}: no study that this Optuna reads; give another --out") from error
        try:
            _refuse_other(study, about, path)
            for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            yield study
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            reason = str(error.__cause__ or error).splitlines()[0]
            raise WorkError(f"{path}: cannot be read or written any more ({reason})") from error


def _packages() -> tuple[Any, Any]:
    """Optuna, and what keeps two searches out of one folder."""
    purpose = "searching for a design"
    return require("optuna", "search", purpose), require("filelock", "search", purpose)


def _refuse_other(study: Study, about: dict[str, Any], path: Path) -> None:
    known = study.user_attrs.get("about")
    if known is None:
        study.set_user_attr("about", about)
        return
    other = [name for name in about if known.get(name) != about[name]]
    if other:
        raise ConfigError(
            f"{path}: the search in it differs in its {other[0]}; repeat its options, or give another --out"
        )


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _digest(lesson: Lesson) -> str:
    state = hashlib.sha256(repr(lesson.classes).encode())
    for rows in (lesson.train, lesson.validation):
        for column in (rows.x, rows.y, np.zeros(0) if rows.soft is None else rows.soft):
            state.update(repr(column.shape).encode())
            state.update(np.ascontiguousarray(column).tobytes())
    return state.hexdigest()
