"""Figures counted from rows: the data, confusions, calibration, examples."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdllm.compare import calibration_error, wilson_interval
from qdllm.report.evidence import Evidence, Predictions

__all__ = ["calibration", "confusion", "data", "examples"]

CONFIDENT = 0.9
"""A teacher that gives another class so much probability speaks against the label."""

_MATRIX_CLASSES = 12  # a larger table of confusions is no longer read; its largest entries are
_MOST_PAIRS = 12
_MOST_CLASSES = 24
_EXAMPLES = 5
_CHARACTERS = 300
_BINS = 10
_LEAST_IN_BIN = 5  # rows; a share of fewer says nothing

Found = dict[str, Any]


def data(evidence: Evidence) -> Found:
    """Count rows, classes, dropped duplicates, and labels that the teacher contradicts."""
    rows, duplicates = evidence.predictions, evidence.duplicates
    counts: Counter[tuple[str | None, str]] = Counter(zip(rows.labels, rows.part.tolist(), strict=True))
    classes: list[Found] = [
        {"name": name, **{part: counts[name, part] for part in ("train", "validation", "test")}}
        for name in rows.classes
    ]
    classes.sort(key=lambda entry: -sum(entry[part] for part in ("train", "validation", "test")))
    return {
        "source": evidence.config["data"]["path"],
        "rows": dict(evidence.metrics["rows"]),
        "tested": len(rows.tested),
        "n_classes": len(classes),
        "classes": classes[:_MOST_CLASSES],
        "classes_left_out": max(0, len(classes) - _MOST_CLASSES),
        "duplicates": None
        if duplicates is None
        else {"repeated": duplicates.repeated, "contradictory": duplicates.contradictory},
        "disagreement": _disagreement(rows),
    }


def _disagreement(rows: Predictions) -> Found | None:
    """Count labels that the teacher contradicts; rows it was fitted on are predicted out of fold."""
    known = rows.codes >= 0
    if rows.teacher is None or not known.any():
        return None
    against = (rows.teacher.argmax(axis=1) != rows.codes) & known
    sure = against & (rows.teacher.max(axis=1) >= CONFIDENT)
    n = int(known.sum())
    return {
        "rows": n,
        "count": int(against.sum()),
        "share": float(against.sum() / n),
        "confident_at": CONFIDENT,
        "confident_count": int(sure.sum()),
        "confident_share": float(sure.sum() / n),
    }


def confusion(rows: Predictions) -> Found | None:
    """Count test rows by gold and chosen class, for the student and the teacher."""
    if not len(rows.tested):
        return None
    truth, n = rows.codes[rows.tested], len(rows.classes)
    found: Found = {"classes": list(rows.classes) if n <= _MATRIX_CLASSES else None}
    for name, proba in (("student", rows.student), ("teacher", rows.teacher)):
        if proba is None:
            found[name] = None
            continue
        matrix = np.zeros((n, n), dtype=np.int64)
        np.add.at(matrix, (truth, proba[rows.tested].argmax(axis=1)), 1)
        found[name] = {
            "matrix": matrix.tolist() if n <= _MATRIX_CLASSES else None,
            "pairs": _worst_pairs(matrix, rows.classes),
        }
    return found


def _worst_pairs(matrix: NDArray[np.int64], classes: tuple[str, ...]) -> list[Found]:
    """Return the commonest errors, most rows first."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_PAIRS]
    cells = [np.unravel_index(place, wrong.shape) for place in order]
    return [
        {"label": classes[gold], "chosen": classes[chosen], "rows": int(wrong[gold, chosen])}
        for gold, chosen in cells
        if wrong[gold, chosen]
    ]


def calibration(rows: Predictions) -> Found | None:
    """Compare confidence and accuracy on test rows, in bins of the confidence."""
    if not len(rows.tested):
        return None
    truth, found = rows.codes[rows.tested], Found()
    for name, proba in (("student", rows.student), ("teacher", rows.teacher)):
        if proba is None:
            found[name] = None
            continue
        tested = proba[rows.tested]
        found[name] = {"error": calibration_error(truth, tested), "bins": _bins(tested, truth)}
    return found


def _bins(proba: NDArray[np.float64], truth: NDArray[np.int64]) -> list[Found]:
    confidence, hit = proba.max(axis=1), proba.argmax(axis=1) == truth
    which = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    found = []
    for place in range(_BINS):
        inside = which == place
        if (n := int(inside.sum())) < _LEAST_IN_BIN:
            continue
        interval = wilson_interval(int(hit[inside].sum()), n)
        found.append(
            {
                "rows": n,
                "confidence": float(confidence[inside].mean()),
                "accuracy": {"value": interval.value, "low": interval.low, "high": interval.high},
            }
        )
    return found


def examples(evidence: Evidence) -> Found | None:
    """Return test rows where the student is wrong, surest first, and where only its teacher is."""
    rows, texts = evidence.predictions, evidence.texts
    if texts is None or not len(rows.tested):
        return None
    chosen, confidence = rows.student.argmax(axis=1), rows.student.max(axis=1)
    wrong = [i for i in rows.tested if chosen[i] != rows.codes[i]]
    better = []
    if rows.teacher is not None:
        other = rows.teacher.argmax(axis=1)
        better = [i for i in rows.tested if chosen[i] == rows.codes[i] != other[i]]

    def told(i: int) -> Found:
        text = texts[rows.row_ids[i]]
        return {
            "text": text[:_CHARACTERS] + "…" * (len(text) > _CHARACTERS),
            "label": rows.labels[i],
            "student": rows.classes[chosen[i]],
            "confidence": float(confidence[i]),
            "teacher": None if rows.teacher is None else rows.classes[int(rows.teacher[i].argmax())],
        }

    def surest(several: list[int]) -> list[Found]:
        return [told(i) for i in sorted(several, key=lambda i: (-confidence[i], rows.row_ids[i]))[:_EXAMPLES]]

    return {
        "wrong": surest(wrong),
        "n_wrong": len(wrong),
        "better": surest(better),
        "n_better": len(better),
    }
