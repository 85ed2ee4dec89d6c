"""All figures of a report, as the JSON document that the page is written from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from qdllm.files import read_json
from qdllm.report.circuit import describe
from qdllm.report.costs import Prices, costs
from qdllm.report.evidence import Evidence
from qdllm.report.gates import gates
from qdllm.report.models import comparison, own_split
from qdllm.report.rows import calibration, confusion, data, examples
from qdllm.report.verdict import not_measured, risks, verdict
from qdllm.student import Student

__all__ = ["make_figures"]


def make_figures(
    evidence: Evidence, student: Student, prices: Prices, *, assumed_prices: bool, version: str, date: str
) -> dict[str, Any]:
    """Return what report.json holds: every number of the page, and what the sentences rest on.

    Parameters
    ----------
    evidence : Evidence
    student : Student
        The run's, for its circuit.
    prices : Prices
    assumed_prices : bool
        Whether they are assumed, not the user's own.
    version : str
        Of qdllm, which writes the report.
    date : str
        Of the report: the one thing in it that does not come from the run.
    """
    found: dict[str, Any] = {
        "schema": {"name": "qdllm.report", "version": 1},
        "date": date,
        "name": evidence.name,
        "data": data(evidence),
        "own": own_split(evidence),
        "comparison": comparison(evidence),
        "confusion": confusion(evidence.predictions),
        "calibration": calibration(evidence.predictions),
        "examples": examples(evidence),
        "circuit": describe(student),
        "devices": list(evidence.devices),
        "surrogate": None if evidence.surrogate is None else dict(evidence.surrogate),
        "costs": costs(evidence, prices, assumed=assumed_prices),
        "reproduce": _reproduce(evidence, version),
    }
    found["gates"] = gates(found)
    found["risks"] = risks(found)
    found["verdict"] = verdict(found)
    found["not_measured"] = not_measured(found)
    return found


def _reproduce(evidence: Evidence, version: str) -> dict[str, Any]:
    """Return seeds, versions, and the hashes of data and models."""
    config = evidence.config
    saved = read_json(evidence.student / "config.json")
    teacher = evidence.metrics["teacher"]
    return {
        "seed": evidence.metrics["seed"],
        "versions": {
            "report": version,
            "run": evidence.metrics["qdllm_version"],
            **_versions("comparison", evidence.compare),
            **_versions("timing", evidence.timing),
        },
        "hashes": {
            "rows": _digest(evidence.predictions.row_ids),
            "student": saved["files"]["model.safetensors"],
            "encoder": (saved["encoder"] or {}).get("fingerprint"),
            "teacher": None if teacher is None else teacher["about"].get("fingerprint"),
        },
        "teacher": config["teacher"]["source"],
        "encoder": config["encoder"]["source"],
    }


def _versions(what: str, found: Mapping[str, Any] | None) -> dict[str, str]:
    """Describe the machine and packages that something was measured with, where it was."""
    if found is None:
        return {}
    machine = {name: value for name, value in found["machine"].items() if name != "date"}
    return {what: ", ".join(f"{name} {value}" for name, value in machine.items())}


def _digest(row_ids: Sequence[str]) -> str:
    """Hash the row_ids in order: equal for equal rows after duplicates were dropped."""
    return hashlib.sha256("\n".join(row_ids).encode()).hexdigest()
