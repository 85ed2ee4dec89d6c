"""A trained student on a backend: lowered, laid out, measured, and mitigated."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from qdllm.devices.backends import Backend, SimulatorBackend, check_request
from qdllm.devices.batch import Counts
from qdllm.devices.layout import best_path, check_layout, check_path
from qdllm.devices.lowering import lower
from qdllm.devices.mitigation import Affine, AffineCorrection, ReadoutInversion, ZeroNoise
from qdllm.devices.reading import Estimate, Linear, Readout, Runs, allot_shots, prepare, read, select
from qdllm.devices.stopping import StopRule
from qdllm.errors import ConfigError
from qdllm.simulate import StatevectorSimulator
from qdllm.student.model import StudentModel

__all__ = ["CALIBRATION_INPUTS", "ChipRunner", "Corrections", "Measured"]

CALIBRATION_INPUTS = 32
"""How many inputs are measured to know what a chip makes of observables."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """What was measured of some inputs."""

    runs: Runs
    counts: list[Counts]

    @property
    def shots(self) -> Floats:
        """Shots of each input, its branches together."""
        shots = [float(counts.shots) for counts in self.counts]
        return np.asarray(np.bincount(self.runs.inputs, shots), dtype=np.float64)


@dataclass(frozen=True)
class Corrections:
    """What mitigation found out about the chip."""

    readout: Readout
    affine: Affine


@dataclass
class ChipRunner:
    """Run a student's circuits on a backend.

    Parameters
    ----------
    model : StudentModel
        Trained.
    backend : Backend
    layout : tuple of int, optional
        The qubits of the line; by default the best path of the backend's calibration.
    tolerance : float
        See `qdllm.devices.lower`.

    Raises
    ------
    ConfigError
        If the chip has too few qubits, or the layout is disconnected.
    CircuitError, TooLargeError
        If the circuit cannot be lowered.
    """

    model: StudentModel
    backend: Backend
    layout: tuple[int, ...] | None = None
    tolerance: float = 0.0
    spent: dict[str, int] = field(default_factory=lambda: {"circuits": 0, "shots": 0})

    def __post_init__(self) -> None:
        """Lower the circuit and find its place."""
        circuit = self.model.circuit.bind(parameters=self.model.theta.detach().double().tolist())
        self.lowered = lower(circuit, self.model.simulator.observables, tolerance=self.tolerance)
        self.calibration = self.backend.calibration()
        n_wires = self.lowered.n_wires
        if self.calibration is None:
            self.qubits = tuple(range(n_wires)) if self.layout is None else self.layout
            check_layout(self.qubits, n_wires)
        elif self.layout is None:
            self.qubits = best_path(self.calibration, self.lowered)
        else:
            check_path(self.calibration, self.layout, n_wires)
            self.qubits = self.layout
        self._exact = StatevectorSimulator(circuit, self.model.observables)
        self.weight = self.model.readout.weight.detach().double().numpy()
        self.bias = self.model.readout.bias.detach().double().numpy()

    def on(self, backend: Backend) -> ChipRunner:
        """Return a runner of the same circuits on the same qubits of another backend.

        Raises
        ------
        ConfigError
            If these qubits are no line of its calibration.
        """
        other = copy.copy(self)
        other.backend, other.calibration = backend, backend.calibration()
        other.spent = {"circuits": 0, "shots": 0}
        if other.calibration is not None:
            check_path(other.calibration, self.qubits, self.lowered.n_wires)
        return other

    def exact(self, inputs: Floats) -> Estimate:
        """Return the exact values and logits of inputs (n, n_inputs), the encoding's angles."""
        with torch.no_grad():
            chunks = torch.split(torch.as_tensor(inputs), 1024)
            values = torch.cat([self._exact(x, torch.zeros(0, dtype=torch.float64)) for x in chunks]).numpy()
        none = np.zeros((len(values), len(self.bias), len(self.bias)))
        logits, one_shot = values @ self.weight.T + self.bias, np.zeros(2 * values.shape[1:])
        return Estimate(values, np.zeros_like(values), logits, none, one_shot)

    @property
    def n_branches(self) -> int:
        """How many circuits an input is, at most."""
        return 1 << self.lowered.n_coins

    @property
    def _least(self) -> int:
        """Shots of an input, at least."""
        return self.backend.limits.step * self.n_branches

    @property
    def _unit(self) -> int:
        """What shots of an input are a multiple of."""
        return self._least if self.backend.limits.uniform else self.backend.limits.step

    def allowed(self, shots: int) -> int:
        """Return the fewest shots of an input, so many at least, that the backend allows."""
        return max(self._unit * math.ceil(shots / self._unit), self._least)

    def check_shots(self, shots: int) -> None:
        """Refuse a number of shots that the backend does not allow for an input.

        Raises
        ------
        ConfigError
            If it does not.
        """
        if shots != self.allowed(shots):
            multiples = "" if self._unit == 1 else f" in multiples of {self._unit}"
            raise ConfigError(
                f"{self.backend.name} takes at least {self._least} shots{multiples} for an input of "
                f"{self.n_branches} circuits, not {shots}"
            )

    def rounds(self, shots: int, first: int = 8) -> list[int]:
        """Return the shots of each round of `measure_adaptively`: so many first, then as many again."""
        found: list[int] = []
        while (rest := shots - sum(found)) >= self._least:
            found.append(min(sum(found) or self.allowed(first), rest))
        return found

    def measure(self, inputs: Floats, shots: int, *, seed: int) -> Measured:
        """Measure inputs, `shots` times each, their branches together.

        Raises
        ------
        ConfigError
            If the backend does not allow so many.
        """
        self.check_shots(shots)
        return self._run(prepare(self.lowered, inputs, self.qubits), shots, seed)

    def correct(self, inputs: Floats, shots: int, *, seed: int) -> Corrections:
        """Measure what mitigation needs: two circuits for the readout, and inputs of known exact values.

        Parameters
        ----------
        inputs : ndarray (n, n_inputs)
            Drawn from what the student is asked. The first `CALIBRATION_INPUTS` are measured; the exact
            values of all say how observables go together.
        """
        inversion = ReadoutInversion(self.qubits)
        batch = inversion.circuits()
        shots = self.allowed(shots)
        readout = inversion.combine(self._send(batch, [shots] * len(batch), seed))
        runs = prepare(self.lowered, inputs[:CALIBRATION_INPUTS], self.qubits)
        correction = AffineCorrection(runs, self.exact(inputs).values)
        measured = self._run(runs, shots, seed + 1)
        return Corrections(readout, correction.combine(self.estimate(measured, readout)))

    def extrapolate(self, measured: Measured, readout: Readout, shots: int, *, seed: int) -> Estimate:
        """Measure once more with three times the two-qubit errors, and extrapolate to none."""
        method = ZeroNoise(measured.runs)
        folded = self._run(replace(measured.runs, batch=method.circuits()), shots, seed)
        return method.combine(self.estimate(measured, readout), self.estimate(folded, readout))

    def estimate(self, measured: Measured, readout: Readout | None = None) -> Estimate:
        """Return values and logits as measured, misreadings undone where `readout` is given."""
        return self._read(measured, readout)

    def mitigate(self, measured: Measured, corrections: Corrections) -> Estimate:
        """Return the best estimate of exact values and logits, misreadings undone."""
        return self._read(measured, corrections.readout, corrections.affine.undo)

    def measure_adaptively(
        self,
        inputs: Floats,
        shots: int,
        corrections: Corrections | None,
        rule: StopRule,
        *,
        seed: int,
        first: int = 8,
    ) -> Measured:
        """Measure each input until a rule says that it is enough, at most `shots` times.

        Rounds double the shots of the inputs that are left; `first` are those of the first round.

        Raises
        ------
        ConfigError
            If the backend does not allow so many shots.
        """
        self.check_shots(shots)
        runs = prepare(self.lowered, inputs, self.qubits)
        parts: list[list[Counts]] = [[] for _ in runs.inputs]
        left, done = np.arange(len(inputs)), 0
        for number in self.rounds(shots, first):
            circuits = np.flatnonzero(np.isin(runs.inputs, left))
            round_ = self._run(select(runs, left), number, seed + done)
            for circuit, counts in zip(circuits, round_.counts, strict=True):
                parts[circuit].append(counts)
            done += number
            so_far = Measured(select(runs, left), [Counts.join(parts[circuit]) for circuit in circuits])
            found = self.estimate(so_far) if corrections is None else self.mitigate(so_far, corrections)
            left = left[~rule(found, done)]
            if not len(left):
                break
        return Measured(runs, [Counts.join(part) for part in parts])

    def drifted(
        self,
        inputs: Floats,
        shots: int,
        calibration_inputs: Floats,
        corrections: Corrections,
        *,
        times: int,
        spread: float,
    ) -> Iterator[dict[str, Estimate]]:
        """Simulate chips whose every figure has drifted by a factor exp(N(0, spread²)) from the calibration.

        Yields
        ------
        dict
            ``raw``; ``corrected_before``, by corrections found before the drift; and ``corrected_anew``.
        """
        if self.calibration is None:
            raise ConfigError(f"{self.backend.name} has no calibration that could drift")
        for seed in range(times):
            runner = self.on(SimulatorBackend("drifted", self.calibration.drifted(spread, seed)))
            measured = runner.measure(inputs, shots, seed=seed)
            anew = runner.correct(calibration_inputs, shots, seed=seed + 50)
            yield {
                "raw": runner.estimate(measured),
                "corrected_before": runner.mitigate(measured, corrections),
                "corrected_anew": runner.mitigate(measured, anew),
            }

    def _read(
        self,
        measured: Measured,
        readout: Readout | None,
        correction: Callable[[float], Linear] | None = None,
    ) -> Estimate:
        runs, counts, weight, bias = measured.runs, measured.counts, self.weight, self.bias
        return read(self.lowered, runs, counts, weight, bias, readout=readout, correction=correction)

    def _run(self, runs: Runs, shots: int, seed: int) -> Measured:
        limits = self.backend.limits
        if limits.uniform:
            each = [shots // self.n_branches] * len(runs.batch)
        else:
            each = allot_shots(runs, shots, limits.step).tolist()
        return Measured(runs, self._send(runs.batch, each, seed))

    def _send(self, batch: Any, shots: Sequence[int], seed: int) -> list[Counts]:
        check_request(self.backend.name, self.backend.limits, batch, shots)
        self.spent["circuits"] += len(batch)
        self.spent["shots"] += sum(shots)
        return self.backend.run(batch, shots, seed=seed)
