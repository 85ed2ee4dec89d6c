"""The first page: a decision, five sentences and the risks, all made from figures by stated rules.

The rule: stop where the student is too far below its teacher, or a simpler model is shown to be better by
more than the limit; go to a cloud chip where every gate before it is passed; else go on in simulation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdllm.report.gates import ALPHA, PARTS, STAGES

__all__ = ["not_measured", "risks", "verdict"]

Found = dict[str, Any]

_BEFORE_CHIP = (*STAGES["simulation"], *STAGES["circuit"], *STAGES["noise"])
_STOPPING = ("accuracy", "control")


def verdict(figures: Mapping[str, Any]) -> Found:
    """Return the decision, the gates it rests on, and the sentences that give its reasons."""
    status = {gate["key"]: gate["status"] for gate in figures["gates"]}
    failed = [key for key in _STOPPING if status[key] == "failed"]
    waiting = [key for key in _BEFORE_CHIP if status[key] != "passed"]
    if failed:
        decision, because = "stop", failed
    elif waiting:
        decision, because = "simulation", waiting
    else:
        decision, because = "go", []
    return {
        "decision": decision,
        "because": because,
        "sentences": [_accuracy(figures), _circuit(figures), *_control(figures), _cost(figures)],
    }


def not_measured(figures: Mapping[str, Any]) -> list[str]:
    """Name what a decision would want to know and this run does not hold."""
    kinds, models = {run["kind"] for run in figures["devices"]}, figures["costs"]["models"]
    missing = {
        "labels": figures["own"]["student"] is None,
        "teacher": figures["own"]["teacher"] is None,
        "comparison": figures["comparison"] is None,
        "noise": "noisy" not in kinds,
        "chip": "chip" not in kinds,
        "surrogate": figures["surrogate"] is None,
        "teacher_time": models["teacher"]["microseconds"] is None and not models["teacher"]["quoted"],
        "energy": models["student"]["joules"] is None,
        "prices": figures["costs"]["assumed"],
        "texts": figures["examples"] is None,
    }
    return [name for name, is_missing in missing.items() if is_missing]


def risks(figures: Mapping[str, Any]) -> list[Found]:
    """Return each risk with the figure that speaks for it, against it, or is missing."""
    status = {gate["key"]: gate["status"] for gate in figures["gates"]}
    circuit, own = figures["circuit"], figures["own"]
    found = [
        _risk(
            "simulation",
            "for",
            qubits=("/circuit/qubits", "count"),
            amplitudes=("/circuit/amplitudes", "count"),
        ),
        _gated("noise", status["noise"], figures, value="percent", limit="percent"),
        _gated("chip", status["chip"], figures, value="percent", limit="percent"),
        _risk(
            "expertise",
            "for" if circuit["effective"] < circuit["parameters"] else "against",
            parameters=("/circuit/parameters", "count"),
            effective=("/circuit/effective", "count"),
            gates=("/circuit/two_qubit_gates_needed", "count"),
        ),
    ]
    if own["encoder_share"] is not None:
        side = "for" if own["encoder_share"] > 0.5 else "against"
        found.append(_risk("encoder", side, share=("/own/encoder_share", "percent")))
    if figures["data"]["disagreement"] is not None:
        side = "for" if figures["data"]["disagreement"]["confident_share"] > 0.02 else "against"
        found.append(
            _risk(
                "labels",
                side,
                share=("/data/disagreement/confident_share", "percent"),
                sure=("/data/disagreement/confident_at", "percent"),
            )
        )
    if figures["calibration"] is not None:
        side = "for" if figures["calibration"]["student"]["error"] > 0.05 else "against"
        found.append(_risk("calibration", side, error=("/calibration/student/error", "percent")))
    if own["student"] is not None:
        side = "against" if status["test_rows"] == "passed" else "for"
        found.append(_risk("test_rows", side, half=("/own/student/half_width", "percent"), **_tested()))
    return found


def _accuracy(figures: Mapping[str, Any]) -> Found:
    own = figures["own"]
    if own["student"] is None:
        return _sentence("verdict.accuracy.unknown")
    student = {"student": ("/own/student/accuracy", "interval"), **_tested()}
    if own["teacher"] is None:
        return _sentence("verdict.accuracy.alone", **student)
    return _sentence(
        "verdict.accuracy.teacher",
        teacher=("/own/teacher/accuracy", "interval"),
        share=("/own/share_of_teacher", "percent"),
        **student,
    )


def _circuit(figures: Mapping[str, Any]) -> Found:
    """Say whether circuit and entanglement earned their place; the one that did worse decides."""
    parts = [_difference(figures, name) for name in PARTS]
    known = [part for part in parts if part is not None]
    if len(known) < len(PARTS):
        return _sentence("verdict.circuit.unknown")
    place, difference = min(known, key=lambda part: part[1]["low"])
    shown = difference["p"] < ALPHA
    kind = "open" if not shown else "earned" if difference["value"] > 0 else "harms"
    return _sentence(
        f"verdict.circuit.{kind}",
        control=(f"{place}/name", "model"),
        difference=(f"{place}/difference", "points"),
        p=(f"{place}/difference/p", "p"),
    )


def _control(figures: Mapping[str, Any]) -> list[Found]:
    """Name the best model beside the student and its parts, and whether it is better."""
    own, comparison = figures["own"], figures["comparison"]
    if comparison is not None:
        others = [_difference(figures, model["name"]) for model in comparison["models"]]
        best = next((other for other in others if other is not None), None)  # the most accurate stands first
        if best is None:
            return []
        place, difference = best
        shown = difference["p"] < ALPHA
        kind = "open" if not shown else "behind" if difference["value"] < 0 else "ahead"
        return [
            _sentence(
                f"verdict.control.{kind}",
                control=(f"{place}/name", "model"),
                difference=(f"{place}/difference", "points"),
                p=(f"{place}/difference/p", "p"),
                accuracy=(f"{place}/accuracy/value", "percent"),
            )
        ]
    if own["logistic_regression"] is None or own["student"] is None:
        return []
    ahead = own["logistic_regression"]["accuracy"]["value"] > own["student"]["accuracy"]["value"]
    return [
        _sentence(
            f"verdict.control.{'higher' if ahead else 'lower'}",
            accuracy=("/own/logistic_regression/accuracy", "interval"),
        )
    ]


def _cost(figures: Mapping[str, Any]) -> Found:
    costs = figures["costs"]
    if costs["models"]["student"]["microseconds"] is None:
        return _sentence("verdict.cost.unknown")
    args = {"student": ("/costs/models/student/microseconds", "significant")}
    if costs["models"]["teacher"]["microseconds"] is None:
        return _sentence("verdict.cost.student", **args)
    args["teacher"] = ("/costs/models/teacher/microseconds", "significant")
    if costs["saving"] is None:
        return _sentence("verdict.cost.both", **args)
    args["currency"] = ("/costs/prices/currency", "text")
    if costs["break_even"] is None:
        return _sentence("verdict.cost.never", **args)
    return _sentence("verdict.cost.pays", texts=("/costs/break_even", "significant"), **args)


def _difference(figures: Mapping[str, Any], name: str) -> tuple[str, Mapping[str, Any]] | None:
    """Find a model of the comparison that has a difference to the student: its place, and the difference."""
    for place, model in enumerate((figures["comparison"] or {"models": []})["models"]):
        if model["name"] == name and model["difference"] is not None:
            return f"/comparison/models/{place}", model["difference"]
    return None


def _gated(key: str, status: str, figures: Mapping[str, Any], **formats: str) -> Found:
    """Return a risk that a gate stands for."""
    if status == "open":
        return _risk(f"{key}_open", "open")
    place = next(i for i, gate in enumerate(figures["gates"]) if gate["key"] == key)
    places = {name: (f"/gates/{place}/{name}", form) for name, form in formats.items()}
    return _risk(key, "against" if status == "passed" else "for", **places)


def _risk(key: str, side: str, **places: tuple[str, str]) -> Found:
    return {"key": key, "side": side, "sentence": _sentence(f"risk.{key}", **places)}


def _tested() -> dict[str, tuple[str, str]]:
    return {"rows": ("/data/tested", "count")}


def _sentence(key: str, **places: tuple[str, str]) -> Found:
    """Return a text of the catalogue with where its figures stand, and how they are written."""
    return {"key": key, "places": {name: {"from": at, "as": form} for name, (at, form) in places.items()}}
