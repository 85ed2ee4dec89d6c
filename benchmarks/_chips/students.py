"""Accuracy of trained students on a simulated chip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from _chips.engine import as_qiskit
from qdllm.circuits import to_qasm2, to_qasm3
from qdllm.devices import ChipRunner, SimulatorBackend, load_calibration
from qdllm.encoders import Features
from qdllm.pipeline import RunFolder
from qdllm.pipeline.chips import calibration_angles, to_angles
from qdllm.pipeline.config import RunConfig
from qdllm.student import Student
from qdllm.teachers import SoftLabels

_CALIBRATION_SHOTS = 1024
_FIXED = (8, 16, 32, 64, 128, 256, 512, 1024)
_CONFIDENCES = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
_DRIFT, _DRIFTS = 0.2, 5
# For few shots: five CZs, and angles that saturate, where a measured qubit has hardly any variance. Chosen on
# validation rows of topic and news.
_FEW_GATES = {"ansatz": "brick", "n_layers": 1, "encoding": "tanh", "weight_decay": 3.0}

Floats = NDArray[np.float64]


class Rows:
    """The rows of a run: features, labels, and the part of each."""

    def __init__(self, path: Path) -> None:
        self.run = run = RunFolder(path)
        split = pq.read_table(run.split).to_pydict()
        self.ids: list[str] = split["row_id"]
        self.parts = np.array(split["part"])
        self.labels = np.array(["" if label is None else label for label in split["label"]])
        self.labelled = np.array(split["labelled"])
        self.x = Features.read(run.features).align(self.ids)
        self.soft: Floats | None = None
        if run.labels.is_file():
            soft = SoftLabels.read(run.labels)
            self.soft = soft.align(self.ids, soft.classes)

    def test(self, at_most: int, seed: int) -> NDArray[np.int64]:
        """Test rows with a label; some drawn by the seed if there are more."""
        rows = np.flatnonzero((self.parts == "test") & (self.labels != ""))
        return np.sort(np.random.default_rng(seed).permutation(rows)[:at_most])


def measure(path: Path, calibration_name: str, rows: int, repeats: int) -> dict[str, Any]:
    """Run the student of a run, and one trained for few shots, on a simulated chip."""
    data = Rows(path)
    student = Student.from_pretrained(path / "student")
    test = data.test(rows, seed=0)
    chip = _Chip(student, data, test, calibration_name)
    found: dict[str, Any] = {
        "rows": len(test),
        "ansatz": student.ansatz,
        "two_qubit_gates": chip.runner.lowered.two_qubit_gates,
        "exact": chip.accuracy(chip.exact.logits),
        "qasm_round_trips": _round_trips(student, chip.inputs[0]),
        "shots": {},
    }
    for shots in _FIXED:
        found["shots"][shots] = chip.repeated(shots, repeats)
    found["adaptive"] = [chip.adaptively(confidence, repeats) for confidence in _CONFIDENCES]
    found["drift"] = chip.drifted(1024)
    found["few_shots"] = _few_shots(path, data, test, calibration_name, repeats)
    return found


class _Chip:
    def __init__(self, student: Student, data: Rows, test: NDArray[np.int64], calibration: str) -> None:
        self.calibration = load_calibration(calibration)
        self.runner = ChipRunner(student.model_, SimulatorBackend("noisy", self.calibration))
        self.perfect = self.runner.on(SimulatorBackend("statevector", None))
        self.inputs = to_angles(student, data.x[test])
        self.truth = np.searchsorted(student.classes_.astype(str), data.labels[test])
        self.known = calibration_angles(data.run, student)
        self.exact = self.runner.exact(self.inputs)
        self.corrections = self.runner.correct(self.known, _CALIBRATION_SHOTS, seed=1)

    def accuracy(self, logits: Floats) -> float:
        return float((logits.argmax(axis=1) == self.truth).mean())

    def agreement(self, logits: Floats) -> float:
        """Share of the exact student's classes; shots disturb it where they leave accuracy alone by luck."""
        return float((logits.argmax(axis=1) == self.exact.logits.argmax(axis=1)).mean())

    def repeated(self, shots: int, repeats: int) -> dict[str, list[float]]:
        """Accuracy by sampling alone, as measured, and mitigated, each time; agreement of the last."""
        found: dict[str, list[float]] = {"sampled": [], "raw": [], "mitigated": [], "agreement": []}
        for repeat in range(repeats):
            seed = 100 + repeat
            sampled = self.perfect.estimate(self.perfect.measure(self.inputs, shots, seed=seed))
            measured = self.runner.measure(self.inputs, shots, seed=seed)
            corrections = self.runner.correct(self.known, max(shots, _CALIBRATION_SHOTS), seed=2 * seed)
            found["sampled"].append(self.accuracy(sampled.logits))
            found["raw"].append(self.accuracy(self.runner.estimate(measured).logits))
            mitigated = self.runner.mitigate(measured, corrections).logits
            found["mitigated"].append(self.accuracy(mitigated))
            found["agreement"].append(self.agreement(mitigated))
        return found

    def adaptively(self, confidence: float, repeats: int) -> dict[str, float]:
        shots, accuracies, agreements = [], [], []
        for repeat in range(repeats):
            measured = self.runner.measure_adaptively(
                self.inputs, _FIXED[-1], self.corrections, confidence=confidence, seed=500 + 10 * repeat
            )
            shots.append(float(measured.shots.mean()))
            mitigated = self.runner.mitigate(measured, self.corrections).logits
            accuracies.append(self.accuracy(mitigated))
            agreements.append(self.agreement(mitigated))
        return {
            "confidence": confidence,
            "mean_shots": float(np.mean(shots)),
            "accuracy": float(np.mean(accuracies)),
            "agreement": float(np.mean(agreements)),
        }

    def drifted(self, shots: int) -> dict[str, list[float]]:
        """Mitigated accuracy on chips that have drifted, corrected as before and corrected anew."""
        found: dict[str, list[float]] = {"raw": [], "corrected_before": [], "corrected_anew": []}
        for seed in range(_DRIFTS):
            runner = self.runner.on(SimulatorBackend("drifted", self.calibration.drifted(_DRIFT, seed)))
            measured = runner.measure(self.inputs, shots, seed=seed)
            anew = runner.correct(self.known, max(shots, _CALIBRATION_SHOTS), seed=seed + 50)
            found["raw"].append(self.accuracy(runner.estimate(measured).logits))
            found["corrected_before"].append(
                self.accuracy(runner.mitigate(measured, self.corrections).logits)
            )
            found["corrected_anew"].append(self.accuracy(runner.mitigate(measured, anew).logits))
        return found


def _few_shots(
    path: Path, data: Rows, test: NDArray[np.int64], calibration: str, repeats: int
) -> dict[str, Any]:
    """Train for 8 shots, without and with the chip's own noise, and with few gates; score at 8 shots.

    On validation rows too, by which one of them is chosen.
    """
    config = RunConfig.from_toml(path / "config.toml", {})
    saved = Student.from_pretrained(path / "student")
    rows = np.flatnonzero(data.parts != "test")
    validation = np.flatnonzero((data.parts == "validation") & (data.labels != "") & data.labelled)
    found: dict[str, Any] = {}
    own = {**config.student.model_dump(exclude_none=True), "encoding": saved.encoding}
    chip_too = {"shots": 8, "chip": calibration}
    for name, change in (
        ("8 shots", {"noise": {"shots": 8}}),
        ("8 shots on the chip", {"noise": chip_too}),
        ("8 shots on the chip, few gates", {**_FEW_GATES, "noise": chip_too}),
    ):
        section = config.student.model_validate({**own, **change})
        student = Student(**section.parameters(), seed=config.seed).fit(
            data.x[rows],
            data.labels[rows],
            soft_labels=None if data.soft is None else data.soft[rows],
            labelled=data.labelled[rows],
            validation=data.parts[rows] == "validation",
            classes=saved.classes_.astype(str),
        )
        chip = _Chip(student, data, test, calibration)
        by_validation = _Chip(student, data, validation, calibration).repeated(8, repeats)["mitigated"]
        found[name] = {
            "exact": chip.accuracy(chip.exact.logits),
            "validation": by_validation,
            **chip.repeated(8, repeats),
        }
    return found


def _round_trips(student: Student, inputs: Floats) -> bool:
    """Whether the exported circuit, read by Qiskit, prepares the state that ours does."""
    from qiskit import QuantumCircuit, qasm3
    from qiskit.quantum_info import Operator

    circuit, theta = student.model_.circuit, student.model_.theta.tolist()
    second = QuantumCircuit.from_qasm_str(to_qasm2(circuit, inputs.tolist(), theta))
    third = qasm3.loads(to_qasm3(circuit, inputs.tolist(), theta))
    ours = Operator(as_qiskit(circuit.bind(inputs.tolist(), theta)))
    return bool(Operator(second).equiv(ours) and Operator(third).equiv(ours))
