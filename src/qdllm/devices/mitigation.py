"""Error mitigation, every method by the same three verbs: circuits, (a backend's) run, combine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qdllm.devices.batch import CircuitBatch, Counts, fold, state_preparations
from qdllm.devices.reading import Estimate, Linear, Readout, Runs

__all__ = ["Affine", "AffineCorrection", "ReadoutInversion", "ZeroNoise"]

_LEAST_VARIANCE = 1e-12

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ReadoutInversion:
    """Find how wires are misread, from two circuits: all 0 and all 1."""

    layout: tuple[int, ...]

    def circuits(self) -> CircuitBatch:
        """Return the two circuits."""
        return state_preparations(self.layout)

    def combine(self, counts: Sequence[Counts]) -> Readout:
        """Return the misreadings that the counts show."""
        wires = np.arange(len(self.layout))
        ones = [(c.numbers[:, None] * (c.states[:, None] >> wires & 1)).sum(axis=0) for c in counts]
        # Half a shot of either kind beside, so that no wire looks perfect or, at few shots, useless.
        zeros_read = (ones[0] + 0.5) / (counts[0].shots + 1)
        ones_read = (ones[1] + 0.5) / (counts[1].shots + 1)
        return Readout(np.minimum(1 - ones_read, 0.45), np.minimum(zeros_read, 0.45))


@dataclass(frozen=True)
class Affine:
    """What a chip makes of the observables: measured ≈ offset + slope · exact.

    Parameters
    ----------
    slope, offset : ndarray (n_observables,)
    residual : ndarray (n_observables,)
        Variance of what is measured beside that line, sampling left out.
    one_shot : ndarray (n_observables, n_observables)
        Covariance of what one shot says.
    mean, covariance : ndarray (n_observables,) and (n_observables, n_observables)
        Of exact values over the student's inputs.
    """

    slope: Floats
    offset: Floats
    residual: Floats
    one_shot: Floats
    mean: Floats
    covariance: Floats

    def undo(self, shots: float) -> Linear:
        """Return the best linear estimate of exact values from those measured with so many shots.

        The fewer the shots, the less a measured value says, and the more is taken from the others, which
        exact values go together with. With many shots and no residual the line is undone.
        """
        reached = self.covariance * self.slope  # covariance of exact and measured values
        noise = np.diag(self.residual + _LEAST_VARIANCE) + self.one_shot / shots
        gain = np.asarray(np.linalg.solve(self.slope[:, None] * reached + noise, reached.T).T)
        kept = np.eye(len(gain)) - gain * self.slope  # of an exact value's distance from the mean
        unknown = kept @ self.covariance @ kept.T + gain * self.residual @ gain.T
        return Linear(gain, self.mean - gain @ (self.offset + self.slope * self.mean), unknown)


@dataclass(frozen=True)
class AffineCorrection:
    """Fit a line for every observable, on inputs whose exact values are known.

    As Czarnik et al., Quantum 5 (2021) 592, do with Clifford circuits.

    Parameters
    ----------
    runs : Runs
        The calibration inputs' circuits.
    exact : ndarray (n, n_observables)
        Their exact values, then those of more inputs, which say how values go together.
    """

    runs: Runs
    exact: Floats

    def circuits(self) -> CircuitBatch:
        """Return the calibration inputs' circuits."""
        return self.runs.batch

    def combine(self, estimate: Estimate) -> Affine:
        """Fit measured values as a function of exact ones, since sampling errors are the measured ones'."""
        exact = self.exact[: len(estimate.values)]
        centre, noisy = exact.mean(axis=0), estimate.values.mean(axis=0)
        deviation = exact - centre
        spread = np.maximum((deviation**2).mean(axis=0), _LEAST_VARIANCE)
        slope = (deviation * (estimate.values - noisy)).mean(axis=0) / spread
        beside = (estimate.values - noisy - slope * deviation) ** 2
        residual = np.maximum(beside.mean(axis=0) - estimate.variances.mean(axis=0), 0.0)
        covariance = np.atleast_2d(np.cov(self.exact.T, bias=True))
        mean = self.exact.mean(axis=0)
        return Affine(slope, noisy - slope * centre, residual, estimate.one_shot, mean, covariance)


@dataclass(frozen=True)
class ZeroNoise:
    """Extrapolate linearly from the two-qubit errors as they are, and three times as many, to none."""

    runs: Runs

    def circuits(self) -> CircuitBatch:
        """Return the circuits with every CNOT three times."""
        return replace(self.runs.batch, circuit=fold(self.runs.batch.circuit))

    def combine(self, plain: Estimate, folded: Estimate) -> Estimate:
        """Return (3 plain − folded) / 2."""
        return Estimate(
            (3 * plain.values - folded.values) / 2,
            (9 * plain.variances + folded.variances) / 4,
            (3 * plain.logits - folded.logits) / 2,
            (9 * plain.logit_covariances + folded.logit_covariances) / 4,
            (9 * plain.one_shot + folded.one_shot) / 4,
        )
