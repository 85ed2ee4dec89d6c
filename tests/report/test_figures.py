"""The figures, against files of the run and against counts of one's own."""

import json
import math
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import confusion_matrix

from qdllm.errors import ConfigError
from qdllm.report import Prices, read_devices, read_surrogate
from qdllm.report.costs import PRICES, costs
from qdllm.report.gates import STAGES, gates
from qdllm.report.verdict import verdict

from .test_page import figures_of


@pytest.fixture(scope="module")
def found(evidence, student):
    return figures_of(evidence, student)


@pytest.fixture(scope="module")
def rows(run):
    return pq.read_table(run / "predictions.parquet").to_pydict()


def test_scores_are_those_of_the_run(run, found):
    metrics = json.loads((run / "metrics.json").read_text())
    own = found["own"]
    for name, source in (
        ("student", metrics["student"]),
        ("teacher", metrics["teacher"]),
        ("logistic_regression", metrics["controls"]["logistic_regression"]),
    ):
        accuracy = own[name]["accuracy"]
        test = source["test"]
        assert (accuracy["value"], accuracy["low"], accuracy["high"]) == (
            test["accuracy"],
            test["accuracy_low"],
            test["accuracy_high"],
        )
    assert own["parameters"] == metrics["parameters"]


def test_differences_are_those_of_the_comparison(run, found):
    compared = json.loads((run / "compare.json").read_text())
    shown = {model["name"]: model for model in found["comparison"]["models"]}
    assert shown.keys() == compared["contenders"].keys()
    for entry in compared["differences"]:
        difference = shown[entry["minus"]]["difference"]
        assert (difference["value"], difference["p"]) == (entry["difference"], entry["p_holm"])
    accuracies = [model["accuracy"]["value"] for model in found["comparison"]["models"]]
    assert accuracies == sorted(accuracies, reverse=True)


def test_rows_and_labels_are_counted(found, rows):
    data = found["data"]
    assert data["duplicates"] == {"repeated": 1, "contradictory": 0}
    assert sum(one["train"] for one in data["classes"]) == data["rows"]["train"]
    assert sum(one["test"] for one in data["classes"]) == rows["part"].count("test")
    # the teacher knows the truth, and every tenth label is wrong
    assert data["disagreement"]["count"] == data["disagreement"]["confident_count"] == 30


def test_confusions_are_those_of_scikit_learn(found, rows):
    test = [i for i, part in enumerate(rows["part"]) if part == "test"]
    truth, chosen = [rows["label"][i] for i in test], [rows["predicted"][i] for i in test]
    expected = confusion_matrix(truth, chosen, labels=found["confusion"]["classes"])
    assert np.array_equal(found["confusion"]["student"]["matrix"], expected)


def test_calibration_bins_hold_what_their_rows_say(found, rows):
    names = [name for name in rows if name.startswith("p:")]
    test = [i for i, part in enumerate(rows["part"]) if part == "test"]
    confidence = np.array([max(rows[name][i] for name in names) for i in test])
    right = np.array([rows["predicted"][i] == rows["label"][i] for i in test])
    for one in found["calibration"]["student"]["bins"]:
        low = math.floor(one["confidence"] * 10) / 10
        inside = (confidence >= low) & (confidence < low + 0.1)
        assert one["rows"] == inside.sum()
        assert one["accuracy"]["value"] == pytest.approx(right[inside].mean())


def test_examples_are_errors(found, rows):
    for one in found["examples"]["wrong"]:
        assert one["student"] != one["label"]
    for one in found["examples"]["better"]:
        assert one["student"] == one["label"] != one["teacher"]
    told = zip(rows["predicted"], rows["label"], rows["part"], strict=True)
    assert found["examples"]["n_wrong"] == sum(p != y for p, y, part in told if part == "test")
    sure = [one["confidence"] for one in found["examples"]["wrong"]]
    assert sure == sorted(sure, reverse=True)


def _timed(evidence, teacher=3600.0, student=36.0):
    def model(microseconds):
        return {"microseconds": microseconds, "joules": 2.0, "reason": None}

    none = {"microseconds": None, "joules": None, "reason": "none was made"}
    models = {"teacher": model(teacher), "student": model(student), "surrogate": none}
    return replace(evidence, timing={"models": models, "machine": {"cpu": "a processor"}})


def test_money_by_hand(evidence):
    """A million texts of 3,600 µs are an hour, which costs 2."""
    prices = Prices(
        core_hour=2.0,
        kilowatt_hour=0.5,
        project=9900.0,
        texts_per_month=1e9,
        chip_task=0.3,
        chip_shot=0.01,
        chip_shots=10,
    )
    found = costs(_timed(evidence), prices, assumed=False)
    assert found["models"]["teacher"]["money"] == pytest.approx(2.0)
    assert found["models"]["student"]["money"] == pytest.approx(0.02)
    assert found["models"]["student"]["energy_money"] == pytest.approx(2 / 3.6e6 * 0.5 * 1e6)
    assert found["chip"]["money"] == pytest.approx(400_000)
    seconds = evidence.metrics["seconds"]["training"]
    labels = 2.0 * (evidence.metrics["rows"]["train"] + evidence.metrics["rows"]["validation"]) / 1e6
    assert found["making"] == pytest.approx(labels + seconds / 3600 * 2.0)
    assert found["served"] == "student"
    assert found["break_even"] == pytest.approx(found["fixed"] / 1.98 * 1e6)
    assert found["months"] == pytest.approx(found["break_even"] / 1e9)
    middle = found["sensitivity"][1]
    assert middle["project_factor"] == 1.0
    assert [p["texts"] for p in middle["points"] if p["teacher_factor"] == 1.0] == [found["break_even"]]


def test_a_student_that_saves_nothing_never_pays(evidence):
    prices = Prices(core_hour=2.0, project=1.0)
    found = costs(_timed(evidence, teacher=36.0, student=37.0), prices, assumed=False)
    assert found["saving"] < 0
    assert found["break_even"] is found["months"] is None


def test_a_quoted_teacher_goes_before_a_timed_one(evidence):
    prices = Prices(core_hour=2.0, project=1.0, teacher_million_texts=50.0)
    found = costs(_timed(evidence), prices, assumed=False)
    assert found["models"]["teacher"]["money"] == 50.0


@pytest.mark.parametrize("missing", ["core_hour", "project"])
def test_a_missing_price_leaves_a_gap_and_no_zero(evidence, missing):
    prices = Prices(**{name: 1.0 for name in ("core_hour", "project") if name != missing})
    found = costs(_timed(evidence), prices, assumed=False)
    assert found["break_even"] is found["saving"] is None
    assert found["models"]["student"]["money"] == (None if missing == "core_hour" else pytest.approx(0.01))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("core_hour = -1", "core_hour"),
        ("core_hour = nan", "core_hour"),
        ("core_hour = 'much'", "core_hour"),
        ("core_hours = 1", "core_hours"),
        ("core_hour = ", "not valid TOML"),
    ],
)
def test_prices_that_are_none_are_refused_by_name(tmp_path, content, says):
    path = tmp_path / "prices.toml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=says) as caught:
        Prices.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_assumed_prices_are_all_there():
    missing = [name for name, value in Prices.read(PRICES).model_dump().items() if value is None]
    assert missing == ["teacher_million_texts"]


def _judged(found, *, share=0.99, half=0.02, gain=0.02, lead=-0.03, noise=0.005):
    """Figures with the numbers that gates look at; None where one was not measured."""

    def model(name, value, p=0.01):
        return {
            "name": name,
            "accuracy": {"value": 0.9},
            "difference": {"value": value, "low": value - 0.005, "high": value + 0.005, "p": p},
        }

    others = [model("svm", -lead)]
    if gain is not None:
        others += [model("no-circuit", gain), model("no-entanglement", gain)]
    own = {"share_of_teacher": share, "student": {**found["own"]["student"], "half_width": half}}
    figures = {
        **found,
        "own": {**found["own"], **own},
        "comparison": {**found["comparison"], "models": others},
        "devices": [] if noise is None else [{"kind": "noisy", "loss": noise}],
    }
    figures["gates"] = gates(figures)
    return figures


@pytest.mark.parametrize(
    ("changes", "decision", "because"),
    [
        ({}, "go", []),
        ({"share": 0.94}, "stop", ["accuracy"]),
        ({"lead": 0.02}, "stop", ["control"]),
        ({"lead": 0.02, "share": 0.5}, "stop", ["accuracy", "control"]),
        ({"lead": 0.008}, "go", []),
        ({"half": 0.04}, "simulation", ["test_rows"]),
        ({"gain": 0.001}, "simulation", ["circuit"]),
        ({"gain": -0.02}, "stop", ["control"]),  # without its circuit it is a simpler model, and better
        ({"gain": None}, "simulation", ["circuit"]),
        ({"noise": 0.02}, "simulation", ["noise"]),
        ({"noise": None}, "simulation", ["noise"]),
        ({"share": None}, "simulation", ["accuracy"]),
    ],
)
def test_the_decision_follows_from_the_gates(found, changes, decision, because):
    judged = verdict(_judged(found, **changes))
    assert (judged["decision"], judged["because"]) == (decision, because)


@pytest.mark.parametrize(("gain", "kind"), [(0.02, "earned"), (-0.02, "harms"), (None, "unknown")])
def test_the_verdict_says_what_the_circuit_is_worth(found, gain, kind):
    keys = [told["key"] for told in verdict(_judged(found, gain=gain))["sentences"]]
    assert f"verdict.circuit.{kind}" in keys


def test_a_difference_that_is_not_shown_is_not_called_one(found):
    figures = _judged(found)
    for model in figures["comparison"]["models"]:
        model["difference"]["p"] = 0.2
    keys = [told["key"] for told in verdict(figures)["sentences"]]
    assert {"verdict.circuit.open", "verdict.control.open"} <= set(keys)
    assert next(gate for gate in gates(figures) if gate["key"] == "circuit")["status"] == "failed"


def test_every_gate_has_a_stage(found):
    assert [gate["key"] for gate in found["gates"]] == [key for keys in STAGES.values() for key in keys]


def _device(date, **changes):
    scores = {"accuracy": 0.9, "accuracy_low": 0.8, "accuracy_high": 0.95}
    return {
        "schema": {"name": "qdllm.devices", "version": 1},
        "backend": "noisy:baihua",
        "is_real": False,
        "shots": 1024,
        "n_rows": 50,
        "date": date,
        "calibration": {"id": "c1"},
        "jobs": [],
        "exact": scores,
        "raw": {**scores, "accuracy": 0.85},
        "mitigated": {**scores, "accuracy": 0.89},
        **changes,
    }


def test_runs_on_backends_are_told_apart_and_the_latest_counts(found, tmp_path):
    runs = {
        "b": _device("2026-01-02"),
        "a": _device("2026-01-03", mitigated=None),
        "c": _device("2026-01-01", backend="statevector", calibration=None),
        "d": _device("2026-01-04", is_real=True, jobs=["j1", "j2"]),
    }
    for name, content in runs.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    told = read_devices(tmp_path)
    assert [run["kind"] for run in told] == ["ideal", "noisy", "noisy", "chip"]
    assert [run["loss"] for run in told] == pytest.approx([0.01, 0.01, 0.05, 0.01])
    assert told[3]["jobs"] == "j1, j2"
    judged = {gate["key"]: gate for gate in gates({**found, "devices": told})}
    assert (judged["noise"]["value"], judged["noise"]["status"]) == (pytest.approx(0.05), "failed")
    assert (judged["chip"]["value"], judged["chip"]["status"]) == (pytest.approx(0.01), "passed")


def test_devices_and_surrogates_that_are_not_there_are_none(tmp_path):
    assert read_devices(tmp_path / "devices") == []
    assert read_surrogate(tmp_path / "surrogate") is None
