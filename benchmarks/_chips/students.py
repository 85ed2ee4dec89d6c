"""Accuracy of trained students on a simulated chip, part by part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from _chips.engine import as_qiskit
from qdllm.circuits import to_qasm2, to_qasm3
from qdllm.devices import ChipRunner, SimulatorBackend, StopRule, load_calibration
from qdllm.encoders import Features
from qdllm.pipeline import RunFolder
from qdllm.pipeline.chips import DRIFT, calibration_angles, to_angles
from qdllm.pipeline.config import RunConfig
from qdllm.student import Student
from qdllm.teachers import SoftLabels

_CALIBRATION_SHOTS = 1024
_FIXED = (8, 16, 32, 64, 128, 256, 512, 1024)
CONFIDENCE, LEAST_GAIN = 0.99, 1.0
"""What the bars look at, settled on validation rows: test rows choose nothing."""
_CONFIDENCES = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
_LEAST_GAINS = (20.0, 10.0, 5.0, 2.0, 1.0, 0.5)
_DRIFTS = 5
FEW = 8
"""Shots of a text that a student for few shots is trained for."""
_FEW_LEAST_GAINS = (200.0, 100.0, 50.0, 20.0, 10.0, 5.0)
_FEW_FIRST = 2
# For few shots: five CZs, and angles that begin where they are steep and saturate, where a measured qubit has
# hardly any variance. Chosen on validation rows of topic, news, hiding and reviews.
_FEW_GATES = {"ansatz": "brick", "n_layers": 1, "encoding": "tanh", "weight_decay": 3.0, "phases": 0.0}
_FOR_FEW_SHOTS: dict[str, dict[str, Any]] = {
    f"{FEW} shots": {"noise": {"shots": FEW}},
    f"{FEW} shots on the chip": {},
    f"{FEW} shots on the chip, few gates": _FEW_GATES,
}
"""What students for few shots have otherwise than the run's, besides noise of so many shots on the chip."""

_WANTED = {
    "shots": [str(shots) for shots in _FIXED],
    "few_shots": list(_FOR_FEW_SHOTS),
    "few_shots_adaptive": [""],
    "drift": [""],
    "adaptive": [str(confidence) for confidence in _CONFIDENCES],
    "least_gain": [str(gain) for gain in _LEAST_GAINS],
    "about": [""],
}
"""All that is measured of a task, in about the order of how long it takes, and what there is of each kind."""

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

    def validation(self) -> NDArray[np.int64]:
        """Return validation rows with a label in view."""
        return np.flatnonzero((self.parts == "validation") & (self.labels != "") & self.labelled)


@dataclass(frozen=True)
class Part:
    """What is measured in one go, on a core of its own.

    Attributes
    ----------
    run : Path
        A finished run.
    calibration : str
    rows, repeats : int
        Test rows at most, and repetitions.
    kind : {"few_shots", "few_shots_adaptive", "adaptive", "least_gain", "shots", "drift", "about"}
    which : str
        The number of shots, the confidence, the least gain or the student for few shots; empty for the
        other kinds.
    """

    run: Path
    calibration: str
    rows: int
    repeats: int
    kind: str
    which: str = ""

    def is_in(self, task: dict[str, Any]) -> bool:
        """Return whether a task's figures hold this part."""
        return _holds(task, self.kind, self.which)

    def put(self, found: Any, task: dict[str, Any], machine: dict[str, Any]) -> None:
        """Put this part's figures among a task's, in the order of the page, and what measured them."""
        task.setdefault("machines", {})[self.kind] = machine
        if self.which:
            held = {**task.get(self.kind, {}), self.which: found}
            found = {which: held[which] for which in _WANTED[self.kind] if which in held}
        task[self.kind] = found


def parts(run: Path, calibration: str, rows: int, repeats: int) -> list[Part]:
    """Return all that is measured of a run's student, what takes longest first."""
    return [
        Part(run, calibration, rows, repeats, kind, which)
        for kind, all_of_them in _WANTED.items()
        for which in all_of_them
    ]


def is_complete(task: dict[str, Any]) -> bool:
    """Return whether nothing of a task is missing."""
    return all(_holds(task, kind, which) for kind, names in _WANTED.items() for which in names)


def _holds(task: dict[str, Any], kind: str, which: str) -> bool:
    return kind in task and (not which or which in task[kind])


def measure(part: Part) -> Any:
    """Measure one part."""
    which, repeats = part.which, part.repeats

    def chip() -> _Chip:
        return _run_chip(part.run, part.calibration, part.rows)

    ways: dict[str, Callable[[], Any]] = {
        "shots": lambda: chip().repeated(int(which), repeats),
        "adaptive": lambda: chip().adaptively(StopRule(confidence=float(which)), repeats),
        "least_gain": lambda: chip().adaptively(StopRule(least_gain=float(which)), repeats),
        "drift": lambda: chip().drifted(1024),
        "about": lambda: chip().about(),
        "few_shots": lambda: _few_shots(part),
        "few_shots_adaptive": lambda: _few_shots_adaptive(part),
    }
    return ways[part.kind]()


# A process measures one part of a run after the other: it reads rows and prepares the chip once.
@lru_cache(maxsize=1)
def _rows(run: Path) -> Rows:
    return Rows(run)


@lru_cache(maxsize=1)
def _run_chip(run: Path, calibration: str, rows: int) -> _Chip:
    data = _rows(run)
    return _Chip(Student.from_pretrained(run / "student"), data, data.test(rows, seed=0), calibration)


class _Chip:
    def __init__(self, student: Student, data: Rows, test: NDArray[np.int64], calibration: str) -> None:
        self.student = student
        noisy = SimulatorBackend("noisy", load_calibration(calibration))
        self.runner = ChipRunner(student.model_, noisy)
        self.perfect = self.runner.on(SimulatorBackend("statevector", None))
        self.inputs = to_angles(student, data.x[test])
        self.truth = np.searchsorted(student.classes_.astype(str), data.labels[test])
        self.known = calibration_angles(data.run, student)
        self.exact = self.runner.exact(self.inputs)
        self.corrections = self.runner.correct(self.known, _CALIBRATION_SHOTS, seed=1)

    def about(self) -> dict[str, Any]:
        return {
            "rows": len(self.inputs),
            "ansatz": self.student.ansatz,
            "two_qubit_gates": self.runner.lowered.two_qubit_gates,
            "exact": self.accuracy(self.exact.logits),
            "qasm_round_trips": _round_trips(self.student, self.inputs[0]),
        }

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

    def adaptively(self, rule: StopRule, repeats: int, first: int = 8) -> dict[str, float]:
        shots, accuracies, agreements = [], [], []
        for repeat in range(repeats):
            measured = self.runner.measure_adaptively(
                self.inputs, _FIXED[-1], self.corrections, rule, seed=500 + 10 * repeat, first=first
            )
            shots.append(float(measured.shots.mean()))
            mitigated = self.runner.mitigate(measured, self.corrections).logits
            accuracies.append(self.accuracy(mitigated))
            agreements.append(self.agreement(mitigated))
        return {
            "mean_shots": float(np.mean(shots)),
            "accuracy": float(np.mean(accuracies)),
            "agreement": float(np.mean(agreements)),
        }

    def drifted(self, shots: int) -> dict[str, list[float]]:
        """Mitigated accuracy on chips that have drifted, corrected as before and corrected anew."""
        found: dict[str, list[float]] = {}
        for estimates in self.runner.drifted(
            self.inputs, shots, self.known, self.corrections, times=_DRIFTS, spread=DRIFT
        ):
            for way, estimate in estimates.items():
                found.setdefault(way, []).append(self.accuracy(estimate.logits))
        return found


def _few_shots(part: Part) -> dict[str, Any]:
    """Score a student for few shots at that number; on validation rows too, by which one is chosen."""
    data, student = _rows(part.run), _train_for_few_shots(part, part.which)
    chip = _Chip(student, data, data.test(part.rows, seed=0), part.calibration)
    judged = _Chip(student, data, data.validation(), part.calibration).repeated(FEW, part.repeats)
    return {
        "exact": chip.accuracy(chip.exact.logits),
        "validation": judged["mitigated"],
        **chip.repeated(FEW, part.repeats),
    }


def _few_shots_adaptive(part: Part) -> dict[str, float]:
    """Score the student with few gates with adaptive shots that are few in the mean.

    The least gain is the smallest with which validation rows take no more than that.
    """
    data, student = _rows(part.run), _train_for_few_shots(part, [*_FOR_FEW_SHOTS][-1])
    judged = _Chip(student, data, data.validation(), part.calibration)
    gain = min(
        gain
        for gain in _FEW_LEAST_GAINS
        if judged.adaptively(StopRule(least_gain=gain), 1, _FEW_FIRST)["mean_shots"] <= FEW
    )
    chip = _Chip(student, data, data.test(part.rows, seed=0), part.calibration)
    return {"least_gain": gain, **chip.adaptively(StopRule(least_gain=gain), part.repeats, _FEW_FIRST)}


def _train_for_few_shots(part: Part, which: str) -> Student:
    data = _rows(part.run)
    config = RunConfig.from_toml(part.run / "config.toml", {})
    saved = Student.from_pretrained(part.run / "student")
    rows = np.flatnonzero(data.parts != "test")
    own = {**config.student.model_dump(exclude_none=True), "encoding": saved.encoding}
    noise = {"shots": FEW, "chip": part.calibration}
    section = config.student.model_validate({**own, "noise": noise, **_FOR_FEW_SHOTS[which]})
    return Student(**section.parameters(), seed=config.seed).fit(
        data.x[rows],
        data.labels[rows],
        soft_labels=None if data.soft is None else data.soft[rows],
        labelled=data.labelled[rows],
        validation=data.parts[rows] == "validation",
        classes=saved.classes_.astype(str),
    )


def _round_trips(student: Student, inputs: Floats) -> bool:
    """Whether the exported circuit, read by Qiskit, prepares the state that ours does."""
    from qiskit import QuantumCircuit, qasm3
    from qiskit.quantum_info import Operator

    circuit, theta = student.model_.circuit, student.model_.theta.tolist()
    second = QuantumCircuit.from_qasm_str(to_qasm2(circuit, inputs.tolist(), theta))
    third = qasm3.loads(to_qasm3(circuit, inputs.tolist(), theta))
    ours = Operator(as_qiskit(circuit.bind(inputs.tolist(), theta)))
    return bool(Operator(second).equiv(ours) and Operator(third).equiv(ours))
