"""Figures of the models: the run's own split, and the comparison on repeated splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdllm.report.evidence import Evidence

__all__ = ["comparison", "own_split"]

Found = dict[str, Any]

_MEASURES = ("f1_weighted", "agreement_with_teacher", "kl_to_teacher", "calibration_error")
_COSTS = ("trained", "parameters", "bytes", "microseconds_1", "microseconds_256", "training_cpu_seconds")


def own_split(evidence: Evidence) -> Found:
    """Return teacher, student and control on the run's own test rows; None for what has no score."""
    metrics = evidence.metrics
    teacher, control = metrics["teacher"], metrics["controls"].get("logistic_regression")
    return {
        "teacher": None if teacher is None else _scores(teacher["test"]),
        "teacher_name": None if teacher is None else teacher["about"].get("teacher"),
        "teacher_mode": None if teacher is None else teacher["about"].get("mode"),
        "student": _scores(metrics["student"]["test"]),
        "logistic_regression": None if control is None else _scores(control["test"]),
        "chosen_encoding": metrics["chosen_encoding"],
        "encodings": [
            {"name": name, "validation": _scores(found["validation"]), "test": _scores(found["test"])}
            for name, found in metrics["students"].items()
        ],
        "share_of_teacher": _share(metrics),
        "parameters": dict(metrics["parameters"]),
        "encoder_share": _encoder_share(metrics["parameters"]),
    }


def _scores(found: Mapping[str, Any] | None) -> Found | None:
    if found is None or "accuracy" not in found:
        return None
    return {
        "rows": found["rows"],
        "accuracy": {
            "value": found["accuracy"],
            "low": found["accuracy_low"],
            "high": found["accuracy_high"],
        },
        "half_width": (found["accuracy_high"] - found["accuracy_low"]) / 2,
        "f1_weighted": found["f1_weighted"],
        "agreement_with_teacher": found.get("agreement_with_teacher"),
    }


def _share(metrics: Mapping[str, Any]) -> float | None:
    """Return the student's accuracy as a share of its teacher's, on the run's own test rows."""
    teacher = _scores(None if metrics["teacher"] is None else metrics["teacher"]["test"])
    student = _scores(metrics["student"]["test"])
    if teacher is None or student is None or not teacher["accuracy"]["value"]:
        return None
    return float(student["accuracy"]["value"] / teacher["accuracy"]["value"])


def _encoder_share(parameters: Mapping[str, Any]) -> float | None:
    """Return which share of all numbers that inference needs is the encoder's."""
    encoder, inference = parameters.get("encoder"), parameters.get("inference")
    return None if encoder is None or not inference else float(encoder / inference)


def comparison(evidence: Evidence) -> Found | None:
    """Return what `qdllm compare` found, the most accurate model first; None where it was not run."""
    found = evidence.compare
    if found is None:
        return None
    differences = {entry["minus"]: entry for entry in found["differences"]}
    models = [_model(name, about, differences.get(name)) for name, about in found["contenders"].items()]
    models.sort(key=lambda model: -(model["accuracy"]["value"] if model["accuracy"] else -1.0))
    teacher = found["teacher"]
    return {
        "splits": len(found["seeds"]),
        "budget": found["budget"],
        "test_rows_redrawn": found["test_rows_redrawn"],
        "rows": dict(found["rows"]),
        "encoder": (found["encoder"] or {}).get("name"),
        "teacher": None if teacher is None else _interval(teacher["summary"]["accuracy"]),
        "models": models,
        "skipped": [dict(entry) for entry in found["skipped"]],
    }


def _model(name: str, about: Mapping[str, Any], difference: Mapping[str, Any] | None) -> Found:
    summary = about["summary"]

    def mean(key: str) -> float | None:
        return summary[key]["mean"] if key in summary else None

    costs = {key: {"alone": mean(key), "whole": mean(f"{key}_with_encoder")} for key in _COSTS}
    return {
        "name": name,
        "group": about["group"],
        "uses": about["uses"],
        "accuracy": _interval(summary["accuracy"]) if summary else None,
        "std": summary["accuracy"]["std"] if summary else None,
        **{key: mean(key) for key in _MEASURES},
        "difference": None
        if difference is None
        else {
            "value": difference["difference"],
            "low": difference["low"],
            "high": difference["high"],
            "p": difference["p_holm"],
        },
        "costs": costs,
    }


def _interval(spread: Mapping[str, Any]) -> Found:
    return {"value": spread["mean"], "low": spread["low"], "high": spread["high"]}
