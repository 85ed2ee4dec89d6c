"""The comparison: every contender on every split, tuned on validation rows, scored once on test rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import qdllm
from qdllm.compare.fitting import Fit, FitStore, Job, best_fit, fit_all
from qdllm.compare.measures import Interval, mean_interval, quality
from qdllm.compare.statistics import (
    PairedTest,
    holm,
    mcnemar,
    paired_over_rows,
    resampled,
    resampled_test,
)
from qdllm.compare.task import ComparisonTask, Contender
from qdllm.compare.workers import Workers
from qdllm.errors import ConfigError, DataError, RequestError
from qdllm.machine import describe_machine

__all__ = ["STUDENT", "compare", "part_runnable", "select"]

STUDENT = "student"
"""The contender that all others are compared with."""

_PARTS = ("train", "validation", "test")
_UNBOUNDED = ("log_loss", "kl_to_teacher")  # all other measures lie between 0 and 1


@dataclass(frozen=True, eq=False)
class _Split:
    """What of a task is needed to score: its file is read again by those that fit."""

    path: Path
    seed: int
    digest: str
    rows: dict[str, int]
    classes: tuple[str, ...]
    known: NDArray[np.int64]  # test rows with a gold label, among test rows
    codes: NDArray[np.int64]
    soft: NDArray[np.float64] | None
    test_texts: frozenset[str]
    about: dict[str, Any]

    @classmethod
    def of(cls, path: Path) -> "_Split":
        task = ComparisonTask.read(path)
        test = np.flatnonzero(task.part == "test")
        known = np.flatnonzero(task.truth[test] >= 0)
        if not len(known):
            raise DataError("no test row has a gold label: there is nothing to compare by")
        validation = task.take("validation")
        if validation.soft is None and not (validation.y >= 0).any():
            raise DataError(
                "no validation row has a label or a teacher: there is nothing to choose settings by; "
                "give a run with a --teacher, or with all labels"
            )
        soft = task.rows.soft
        return cls(
            path,
            task.seed,
            task.digest,
            {part: int((task.part == part).sum()) for part in _PARTS},
            task.classes,
            known,
            task.truth[test][known],
            None if soft is None else soft[test][known],
            frozenset(task.rows.texts[i] for i in test),
            task.about,
        )

    def scored(self, probabilities: NDArray[np.float64]) -> tuple[dict[str, float | None], NDArray[np.bool_]]:
        """Measures on all test rows with a gold label, and which of them are right."""
        proba = probabilities[self.known]
        return quality(self.codes, proba, self.soft), proba.argmax(axis=1) == self.codes


def select(contenders: Sequence[Contender], names: Sequence[str]) -> list[Contender]:
    """Return the contenders of these names, and the student in any case.

    Raises
    ------
    ConfigError
        If there is no contender of a name.
    """
    known = {contender.name for contender in contenders}
    if unknown := sorted(set(names) - known):
        raise ConfigError(f"no contender {unknown[0]!r}; there are {', '.join(sorted(known))}")
    return [contender for contender in contenders if contender.name in {*names, STUDENT}]


def compare(
    tasks: Mapping[int, Path | str],
    contenders: Sequence[Contender],
    *,
    budget: int,
    store: Path,
    workers: Workers,
    encoder: Mapping[str, Any] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Tune and train every contender on every split, and set them side by side.

    Finished fits are kept, so that an interrupted comparison goes on where it stopped, and one with more
    contenders or splits makes only what is missing.

    Parameters
    ----------
    tasks : mapping of seed to path or str
        Where the `ComparisonTask` of each split lies; a sentence where it could not be made.
    contenders : sequence of Contender
        The student among them.
    budget : int
        Settings that each may try, at least 1.
    store : Path
        Folder of finished fits.
    workers : Workers
    encoder : mapping, optional
        What the features' encoder costs: ``n_parameters``, ``n_bytes`` and ``microseconds`` a text.
    quiet : bool
        Show no progress bar.

    Returns
    -------
    dict
        What compare.json holds, as JSON values.

    Raises
    ------
    DataError
        If no test row of a split has a gold label, or its validation rows have neither labels nor a teacher.
    """
    splits = [_Split.of(path) for path in tasks.values() if isinstance(path, Path)]
    unmade = {seed: reason for seed, reason in tasks.items() if isinstance(reason, str)}
    present, skipped = part_runnable(contenders)
    jobs = {
        (contender.name, split.seed): [
            Job.of(contender, setting, split.path, split.digest) for setting in contender.settings(budget)
        ]
        for split in splits
        for contender in present
    }
    fits = FitStore(store)
    failed = fit_all([job for several in jobs.values() for job in several], fits, workers, quiet=quiet)

    rows: list[dict[str, Any]] = []
    hits: dict[str, dict[int, NDArray[np.bool_]]] = {contender.name: {} for contender in present}
    for contender in present:
        for split in splits:
            several = jobs[contender.name, split.seed]
            row, right = _row(contender, split, several, fits, failed, encoder)
            rows.append(row)
            if right is not None:
                hits[contender.name][split.seed] = right
        rows += [_failed_row(contender, seed, reason) for seed, reason in unmade.items()]
    figures = _Figures(splits)
    return {
        "schema": {"name": "qdllm.compare", "version": 1},
        "qdllm_version": qdllm.__version__,
        "machine": describe_machine("torch", "scikit-learn"),
        "about": splits[0].about,
        "classes": list(splits[0].classes),
        "rows": splits[0].rows,
        "seeds": sorted(tasks),
        "budget": budget,
        "test_rows_redrawn": figures.redrawn,
        "encoder": None if encoder is None else dict(encoder),
        "contenders": {
            contender.name: {
                "group": contender.group,
                "uses": contender.uses,
                "settings": len(contender.settings(budget)),
                "summary": figures.summary(
                    [row for row in rows if row["contender"] == contender.name and row["status"] == "done"],
                    hits[contender.name],
                ),
            }
            for contender in present
        },
        "teacher": _teacher(splits, figures),
        "skipped": skipped,
        "differences": _differences(hits, figures),
        "results": rows,
    }


def part_runnable(contenders: Sequence[Contender]) -> tuple[list[Contender], list[dict[str, str]]]:
    """Part those that can run here from those that lack something."""
    present, skipped = [], []
    for contender in contenders:
        try:
            contender.check()
            present.append(contender)
        except RequestError as error:
            skipped.append({"contender": contender.name, "group": contender.group, "reason": str(error)})
    return present, skipped


def _row(
    contender: Contender,
    split: _Split,
    jobs: Sequence[Job],
    store: FitStore,
    failed: Mapping[str, str],
    encoder: Mapping[str, Any] | None,
) -> tuple[dict[str, Any], NDArray[np.bool_] | None]:
    """One contender on one split: what it tried, what was chosen, how that did and what it cost."""
    fits = {place: fit for place, job in enumerate(jobs) if (fit := store.read(job.key)) is not None}
    tried = [
        {
            "setting": dict(job.setting),
            "validation_accuracy": fits[place].validation_accuracy if place in fits else None,
            "validation_loss": fits[place].validation_loss if place in fits else None,
            "failed": None if place in fits else failed.get(job.key, "not made"),
        }
        for place, job in enumerate(jobs)
    ]
    if not fits:
        reason = str(tried[0]["failed"]) if tried else "it has no setting to try"
        return {**_failed_row(contender, split.seed, reason), "tried": tried}, None
    best = best_fit(fits)
    measures, right = split.scored(fits[best].test)
    row = {
        "contender": contender.name,
        "group": contender.group,
        "seed": split.seed,
        "status": "done",
        "reason": None,
        "setting": dict(jobs[best].setting),
        "tried": tried,
        "measures": {"validation_accuracy": fits[best].validation_accuracy, **measures},
        "costs": _costs(fits[best], contender, encoder)
        | {"tuning_cpu_seconds": round(sum(fit.costs.cpu_seconds for fit in fits.values()), 3)},
    }
    return row, right


def _failed_row(contender: Contender, seed: int, reason: str) -> dict[str, Any]:
    return {
        "contender": contender.name,
        "group": contender.group,
        "seed": seed,
        "status": "failed",
        "reason": reason,
        "setting": None,
        "tried": [],
        "measures": None,
        "costs": None,
    }


def _costs(fit: Fit, contender: Contender, encoder: Mapping[str, Any] | None) -> dict[str, float | None]:
    """Costs of the model alone, and with the encoder that it needs."""
    alone = fit.costs

    def with_encoder(value: float, of_encoder: float | None) -> float | None:
        if contender.uses == "texts":
            return value
        return None if of_encoder is None else value + of_encoder

    of = {"n_parameters": None, "n_bytes": None, **(encoder or {})}
    times = of.get("microseconds") or {}
    found: dict[str, float | None] = {
        "trained": alone.n_trained,
        "parameters": alone.n_parameters,
        "parameters_with_encoder": with_encoder(alone.n_parameters, of["n_parameters"]),
        "bytes": alone.n_bytes,
        "bytes_with_encoder": with_encoder(alone.n_bytes, of["n_bytes"]),
        "peak_megabytes": alone.peak_megabytes,
        "training_cpu_seconds": alone.cpu_seconds,
    }
    for batch, value in alone.microseconds.items():
        found[f"microseconds_{batch}"] = value
        found[f"microseconds_{batch}_with_encoder"] = with_encoder(value, times.get(batch))
    return found


class _Figures:
    """Means and differences over splits.

    Where test rows are redrawn, what varies is the split, and intervals are those of splits that overlap.
    Where they stay, or there is one split, what varies is the choice of test rows, and intervals are over
    rows.
    """

    def __init__(self, splits: Sequence[_Split]) -> None:
        self.redrawn = len({split.test_texts for split in splits}) > 1
        self.n_train = round(float(np.mean([split.rows["train"] for split in splits])))
        self.n_test = round(float(np.mean([len(split.known) for split in splits])))

    def summary(
        self, rows: Sequence[Mapping[str, Any]], hits: Mapping[int, NDArray[np.bool_]]
    ) -> dict[str, dict[str, float | None]]:
        """Mean, standard deviation and 95 % interval of every measure; mean and deviation of every cost."""
        found: dict[str, dict[str, float | None]] = {}
        for kind in ("measures", "costs"):
            for name in rows[0][kind] if rows else ():
                values = [row[kind][name] for row in rows]
                if None not in values:
                    found[name] = self._spread(name, values, interval=kind == "measures")
        if rows and found["accuracy"]["low"] is None:
            found["accuracy"] |= _bounds(mean_interval(np.stack(list(hits.values()))))
        return found

    def difference(
        self, a: Mapping[int, NDArray[np.bool_]], b: Mapping[int, NDArray[np.bool_]]
    ) -> PairedTest | None:
        """Accuracy of a minus accuracy of b on the splits that both have; None where there is none."""
        seeds = [seed for seed in a if seed in b]
        if not seeds:
            return None
        if self.redrawn and len(seeds) > 1:
            values = [float(a[seed].mean() - b[seed].mean()) for seed in seeds]
            return resampled_test(values, self.n_train, self.n_test)
        return paired_over_rows([a[seed] for seed in seeds], [b[seed] for seed in seeds])

    def _spread(self, name: str, values: Sequence[float], *, interval: bool) -> dict[str, float | None]:
        several = len(values) > 1
        bounds: dict[str, float | None] = {"low": None, "high": None}
        if interval and several and self.redrawn:
            found = resampled(values, self.n_train, self.n_test)
            most = float("inf") if name in _UNBOUNDED else 1.0
            bounds |= {"low": max(0.0, found.low), "high": min(most, found.high)}
        deviation = float(np.std(values, ddof=1)) if several else None
        return {"mean": float(np.mean(values)), "std": deviation, **bounds}


def _bounds(interval: Interval) -> dict[str, float | None]:
    return {"low": interval.low, "high": interval.high}


def _teacher(splits: Sequence[_Split], figures: _Figures) -> dict[str, Any] | None:
    """Score the teacher on the same test rows."""
    rows, hits = [], {}
    for split in splits:
        if split.soft is None:
            return None
        rows.append({"measures": quality(split.codes, split.soft), "costs": {}, "seed": split.seed})
        hits[split.seed] = split.soft.argmax(axis=1) == split.codes
    return {"summary": figures.summary(rows, hits), "results": rows}


def _differences(
    hits: Mapping[str, Mapping[int, NDArray[np.bool_]]], figures: _Figures
) -> list[dict[str, Any]]:
    """Compare the student with every other contender; p values are adjusted for all of them together."""
    student = hits.get(STUDENT, {})
    tests = {
        name: test
        for name, other in hits.items()
        if name != STUDENT and (test := figures.difference(student, other)) is not None
    }
    adjusted = holm([test.p for test in tests.values()])
    per_split = _mcnemar_tests(student, {name: hits[name] for name in tests})
    return [
        {
            "minus": name,
            "difference": test.difference.value,
            **_bounds(test.difference),
            "p": test.p,
            "p_holm": p_holm,
            "splits": per_split[name],
        }
        for (name, test), p_holm in zip(tests.items(), adjusted, strict=True)
    ]


def _mcnemar_tests(
    student: Mapping[int, NDArray[np.bool_]], others: Mapping[str, Mapping[int, NDArray[np.bool_]]]
) -> dict[str, list[dict[str, Any]]]:
    """Compare the student with every other on each split; p values are adjusted over all of a split."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in others}
    for seed, right in student.items():
        tests = {name: mcnemar(right, hits[seed]) for name, hits in others.items() if seed in hits}
        adjusted = holm([test.p for test in tests.values()])
        for (name, test), p_holm in zip(tests.items(), adjusted, strict=True):
            found[name].append(
                {
                    "seed": seed,
                    "difference": float(right.mean() - others[name][seed].mean()),
                    "only_student_right": test.only_first,
                    "only_other_right": test.only_second,
                    "p_mcnemar": test.p,
                    "p_mcnemar_holm": p_holm,
                }
            )
    return found
