"""`qdllm run`: a student on a simulator or a chip: exact, sampled, noisy and mitigated."""

from __future__ import annotations

import datetime
import json
import math
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

import qdllm
from qdllm.circuits import to_native
from qdllm.compare import scores
from qdllm.data import TextDataset
from qdllm.devices import (
    CALIBRATION_INPUTS,
    ChipRunner,
    SimulatorBackend,
    StopRule,
    expected_fidelity,
    make_backend,
    two_qubit_depth,
)
from qdllm.devices.reading import Estimate
from qdllm.encoders import Features
from qdllm.errors import ConfigError
from qdllm.files import file_sha256, write_json
from qdllm.pipeline.predict import check_labels, count_seen
from qdllm.pipeline.run_folder import RunFolder, student_folder
from qdllm.student import Student, TextStudent

__all__ = ["DRIFT", "ChipOptions", "calibration_angles", "run_on_chip", "to_angles"]

_SCHEMA = {"name": "qdllm.devices", "version": 1}
_DRAWN_INPUTS = 1024  # to calibrate on, at most; few of them are measured
_SHOTS = 1024  # of a text
_CALIBRATION_SHOTS = 1024  # at least
DRIFT = 0.2
"""How far calibrations drift: standard deviation of the logarithm of each figure."""


@dataclass(frozen=True)
class ChipOptions:
    """How to run.

    Parameters
    ----------
    shots : int, optional
        Of each text, its circuits together; at least 1. By default 1,024, or the fewest above that the
        backend allows.
    rows : int, optional
        Run only so many rows, drawn by the seed.
    layout : tuple of int, optional
        The chip's qubits in a connected line, in place of the best.
    tolerance : float
        Leave out phases so small that no product of Zs changes by more than this.
    zero_noise : bool
        Also extrapolate to no noise, at twice the shots.
    adaptive : float, optional
        Also measure each text only until its class is decided with this confidence, in (1/2, 1).
    least_gain : float, optional
        The same, until more shots are expected to gain less than this, in points of accuracy per 1,000
        shots; above 0. With both, until one of them says so.
    first : int
        Shots of the first round of these two.
    repeats : int
        Measure so many times, with seeds of their own.
    drifts : int
        Also simulate so many chips that have drifted from the calibration: each figure by a factor
        exp(N(0, 0.2²)).
    seed : int
    yes : bool
        Run on a real chip although it costs something.
    resend : bool
        Send jobs again whose fate is unknown, or that failed.
    """

    shots: int | None = None
    rows: int | None = None
    layout: tuple[int, ...] | None = None
    tolerance: float = 0.0
    zero_noise: bool = False
    adaptive: float | None = None
    least_gain: float | None = None
    first: int = 8
    repeats: int = 1
    drifts: int = 0
    seed: int = 0
    yes: bool = False
    resend: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        for name, least in (("shots", 1), ("first", 1), ("repeats", 1), ("drifts", 0), ("seed", 0)):
            if (value := getattr(self, name)) is not None and value < least:
                raise ConfigError(f"{name} is {value}: it must be at least {least}")
        if self.rows is not None and self.rows < 1:
            raise ConfigError(f"rows is {self.rows}: it must be at least 1")
        if not 0 <= self.tolerance < math.inf:
            raise ConfigError(f"tolerance is {self.tolerance}: it must be a finite number, at least 0")
        _ = self.stop_rule  # refuses what is out of range

    @property
    def stop_rule(self) -> StopRule | None:
        """When a text has been measured often enough, where that is asked for."""
        if self.adaptive is None and self.least_gain is None:
            return None
        return StopRule(self.adaptive, self.least_gain)


def run_on_chip(path: str | Path, dataset: TextDataset, name: str, options: ChipOptions) -> dict[str, Any]:
    """Run the student of a run on labelled rows.

    Parameters
    ----------
    path : path
        A run, or a saved student.
    dataset : TextDataset
        Rows with gold labels.
    name : str
        The backend (`qdllm.devices.make_backend`).
    options : ChipOptions

    Returns
    -------
    dict
        Scores under ``exact``, ``sampled`` (shots without errors), ``raw``, ``mitigated`` and, where asked
        for or known, ``zero_noise``, ``adaptive`` and ``predicted`` (what the chip's calibration leads one
        to expect); accuracies of ``repeats`` and on chips that ``drift``; what was run and what it took.
        Written to ``devices/ID.json`` of the run as well.

    Raises
    ------
    DataError, ConfigError, CredentialsError, MissingExtraError
        If the request is wrong; nothing has been submitted.
    BackendError
        If the chip or its service failed.
    """
    student = Student.from_pretrained(student_folder(path))
    classes = [str(label) for label in student.classes_]
    check_labels(dataset, classes)
    folder = RunFolder(path)
    if options.rows is not None and options.rows < len(dataset):
        chosen = np.sort(
            np.random.default_rng(options.seed).choice(len(dataset), options.rows, replace=False)
        )
        dataset = dataset.take(chosen)
    request = _request(path, dataset, name, options)
    backend = make_backend(name, folder.devices / "jobs", request=request, resend=options.resend)
    runner = ChipRunner(student.model_, backend, options.layout, options.tolerance)
    shots = runner.allowed(_SHOTS) if options.shots is None else options.shots
    runner.check_shots(shots)
    if options.drifts and runner.calibration is None:
        raise ConfigError(f"{name} has no calibration that could drift: leave out --drifts")
    cost = _cost(runner, len(dataset), shots, options)
    if backend.is_real and not options.yes:
        raise ConfigError(
            f"{name} is a chip: {_in_words(cost)} would be run; give --yes to run them. Nothing was sent"
        )
    inputs = _angles(path, student, dataset)
    truth = [str(label) for label in dataset.labels or ()]
    known = calibration_angles(folder, student)
    found = _measure(runner, inputs, known, truth, classes, shots, options)
    made = datetime.datetime.now(tz=datetime.UTC)
    identity = f"{name.replace(':', '-').replace('/', '-')}-{made:%Y%m%dT%H%M%S}"
    result = {
        "schema": _SCHEMA,
        "id": identity,
        "qdllm_version": qdllm.__version__,
        "date": made.isoformat(timespec="seconds"),
        "backend": name,
        "is_real": backend.is_real,
        "shots": shots,
        "options": {
            key: value for key, value in asdict(options).items() if key not in ("shots", "yes", "resend")
        },
        "data": dataset.name,
        "n_rows": len(dataset),
        "rows_seen_in_training": count_seen(folder, dataset),
        "calibration": _about_calibration(runner),
        "circuit": _about_circuit(runner),
        **found,
        "cost_estimate": cost,
        "spent": dict(runner.spent),
        "jobs": getattr(backend, "jobs", []),
    }
    write_json(folder.devices / f"{identity}.json", result)
    return result


def _request(path: str | Path, dataset: TextDataset, name: str, options: ChipOptions) -> str:
    """Name what is to be measured: the same command, after a crash or tomorrow, is the same request."""
    wanted = [
        name,
        file_sha256(student_folder(path) / "model.safetensors"),
        dataset.row_ids,
        [options.shots, options.layout, options.tolerance, options.seed],
    ]
    return sha256(json.dumps(wanted).encode()).hexdigest()[:16]


def _measure(
    runner: ChipRunner,
    inputs: NDArray[np.float64],
    calibration_inputs: NDArray[np.float64],
    truth: list[str],
    classes: list[str],
    shots: int,
    options: ChipOptions,
) -> dict[str, Any]:
    seed = options.seed
    exact = runner.exact(inputs)

    def scored(estimate: Estimate) -> dict[str, Any]:
        return _scores(estimate, exact, truth, classes)

    perfect = runner.on(SimulatorBackend("statevector", None))
    found: dict[str, Any] = {"exact": scored(exact)}
    found["sampled"] = scored(perfect.estimate(perfect.measure(inputs, shots, seed=seed)))
    if runner.calibration is not None and not isinstance(runner.backend, SimulatorBackend):
        noisy = runner.on(SimulatorBackend("noisy", runner.calibration))
        at_chip = noisy.correct(calibration_inputs, max(shots, _CALIBRATION_SHOTS), seed=seed + 1)
        found["predicted"] = scored(noisy.mitigate(noisy.measure(inputs, shots, seed=seed), at_chip))
    corrections = runner.correct(calibration_inputs, max(shots, _CALIBRATION_SHOTS), seed=seed + 1)
    first, *_ = measurements = [
        runner.measure(inputs, shots, seed=seed + 1000 * (repeat + 1)) for repeat in range(options.repeats)
    ]
    raw = [scored(runner.estimate(measured)) for measured in measurements]
    mitigated = [scored(runner.mitigate(measured, corrections)) for measured in measurements]
    found["raw"], found["mitigated"] = raw[0], mitigated[0]
    if options.repeats > 1:
        found["repeats"] = {
            "raw": [one["accuracy"] for one in raw],
            "mitigated": [one["accuracy"] for one in mitigated],
        }
    if options.drifts:
        found["drift"] = {"spread": DRIFT}
        for estimates in runner.drifted(
            inputs, shots, calibration_inputs, corrections, times=options.drifts, spread=DRIFT
        ):
            for way, estimate in estimates.items():
                found["drift"].setdefault(way, []).append(scored(estimate)["accuracy"])
    if options.zero_noise:
        found["zero_noise"] = scored(runner.extrapolate(first, corrections.readout, shots, seed=seed + 3))
    if options.stop_rule is not None:
        adaptive = runner.measure_adaptively(
            inputs, shots, corrections, options.stop_rule, seed=seed + 4, first=options.first
        )
        found["adaptive"] = {
            **scored(runner.mitigate(adaptive, corrections)),
            "mean_shots": float(adaptive.shots.mean()),
            "shots_saved": float(1 - adaptive.shots.mean() / shots),
        }
    return found


def _scores(estimate: Estimate, exact: Estimate, truth: list[str], classes: list[str]) -> dict[str, Any]:
    exponentials = np.exp(estimate.logits - estimate.logits.max(axis=1, keepdims=True))
    same = estimate.logits.argmax(axis=1) == exact.logits.argmax(axis=1)
    found = scores(truth, exponentials / exponentials.sum(axis=1, keepdims=True), classes)
    accuracy = found["accuracy"]
    return {
        **found,
        "accuracy_standard_error": float(np.sqrt(accuracy * (1 - accuracy) / len(truth))),
        "agreement_with_exact": float(same.mean()),
        "z_standard_error": float(np.sqrt(estimate.variances.mean())),
        "z_rmse": float(np.sqrt(((estimate.values - exact.values) ** 2).mean())),
    }


def _angles(path: str | Path, student: Student, dataset: TextDataset) -> NDArray[np.float64]:
    """Return the circuit's inputs of texts; features that the run holds are not made again."""
    known: dict[str, NDArray[np.float32]] = {}
    features = RunFolder(path).features
    if features.is_file():
        table = Features.read(features)
        known = dict(zip(table.row_ids, table.x, strict=True))
    new = [i for i, row in enumerate(dataset.row_ids) if row not in known]
    if new:
        encoder = TextStudent.from_pretrained(student_folder(path)).encoder_
        made = encoder.encode([dataset.texts[i] for i in new])
        known |= {dataset.row_ids[i]: x for i, x in zip(new, made, strict=True)}
    return to_angles(student, np.stack([known[row] for row in dataset.row_ids]))


def calibration_angles(folder: RunFolder, student: Student) -> NDArray[np.float64]:
    """Return inputs to calibrate on: of validation rows, or random ones where only the student is at hand.

    Rows are drawn, not the first ones taken: data often come sorted by class.
    """
    rng = np.random.default_rng(0)
    if folder.features.is_file() and folder.split.is_file():
        split = pq.read_table(folder.split, columns=["row_id", "part"]).to_pydict()
        rows = [r for r, part in zip(split["row_id"], split["part"], strict=True) if part == "validation"]
        rows = rows or [r for r, part in zip(split["row_id"], split["part"], strict=True) if part == "train"]
        drawn = [rows[i] for i in rng.permutation(len(rows))[:_DRAWN_INPUTS]]
        return to_angles(student, Features.read(folder.features).align(drawn))
    return rng.uniform(0, np.pi, (_DRAWN_INPUTS, student.model_.circuit.n_inputs))


def to_angles(student: Student, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what a student encodes of features (n, n_features): (n, n_inputs)."""
    with torch.no_grad():
        return np.asarray(student.model_.angles(torch.as_tensor(x, dtype=torch.float64)).numpy())


def _cost(runner: ChipRunner, n_rows: int, shots: int, options: ChipOptions) -> dict[str, Any]:
    times = options.repeats + bool(options.zero_noise)
    rounds = 0 if options.stop_rule is None else len(runner.rounds(shots, options.first))
    calibrating = runner.allowed(max(shots, _CALIBRATION_SHOTS))
    circuits = runner.n_branches * (n_rows * (times + rounds) + CALIBRATION_INPUTS) + 2
    all_shots = n_rows * shots * (times + bool(rounds)) + (CALIBRATION_INPUTS + 2) * calibrating
    service = getattr(runner.backend, "service", None)
    return {
        "circuits": circuits,
        "shots": all_shots,
        "cost": None if service is None else service.cost(circuits, all_shots),
        "unit": None if service is None else service.unit,
    }


def _in_words(cost: dict[str, Any]) -> str:
    price = "" if cost["cost"] is None else f", about {cost['cost']:g} {cost['unit']},"
    return f"{cost['circuits']:,} circuits of {cost['shots']:,} shots in all{price}"


def _about_calibration(runner: ChipRunner) -> dict[str, Any] | None:
    c = runner.calibration
    if c is None:
        return None
    return {"id": c.id, "chip": c.chip, "date": c.date, "source": c.source, "measured": c.measured}


def _about_circuit(runner: ChipRunner) -> dict[str, Any]:
    lowered, written = runner.lowered, to_native(runner.model.circuit)
    fidelity = None
    if runner.calibration is not None:
        fidelity = expected_fidelity(lowered, runner.calibration, runner.qubits)
    return {
        "qubits": list(runner.qubits),
        "two_qubit_gates": lowered.two_qubit_gates,
        "two_qubit_depth": lowered.depth,
        "two_qubit_gates_as_written": sum(len(gate.qubits) == 2 for gate in written.gates),
        "two_qubit_depth_as_written": two_qubit_depth(written),
        "circuits_a_text": 1 << lowered.n_coins,
        "phases_dropped": lowered.dropped,
        "phases_dropped_bound": lowered.drop_bound,
        "expected_fidelity": fidelity,
    }
