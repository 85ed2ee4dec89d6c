"""Error mitigation, every method by the same three verbs: circuits, (a backend's) run, combine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qdllm.devices.batch import CircuitBatch, Counts, fold, state_preparations
from qdllm.devices.reading import Estimate, Readout, Runs

__all__ = ["Affine", "AffineCorrection", "ReadoutInversion", "ZeroNoise"]

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
    """What a chip makes of each observable; all arrays are (n_observables,).

    Parameters
    ----------
    centre, noisy : ndarray
        Mean of the exact and of the measured values.
    spread : ndarray
        Variance of the exact values.
    slope : ndarray
        measured ≈ noisy + slope · (exact − centre).
    residual : ndarray
        Variance of what is measured beside that line, sampling left out.
    sampling : ndarray
        Variance that sampling adds, times the shots.
    """

    centre: Floats
    noisy: Floats
    spread: Floats
    slope: Floats
    residual: Floats

    sampling: Floats

    def gain(self, shots: Floats) -> Floats:
        """Return the slopes of exact values on those measured with `shots` (n,) shots: (n, n_observables).

        The fewer the shots, the less a measured value says, and the closer the answer stays to the mean.
        """
        noise = self.residual + self.sampling / shots[:, None] + 1e-12
        return np.asarray(self.slope * self.spread / (self.slope**2 * self.spread + noise))


@dataclass(frozen=True)
class AffineCorrection:
    """Fit a line for every observable, on inputs whose exact values are known.

    As Czarnik et al., Quantum 5 (2021) 592, do with Clifford circuits.

    Parameters
    ----------
    runs : Runs
        The calibration inputs' circuits.
    exact : ndarray (n, n_observables)
        Their exact values.
    """

    runs: Runs
    exact: Floats

    def circuits(self) -> CircuitBatch:
        """Return the calibration inputs' circuits."""
        return self.runs.batch

    def combine(self, estimate: Estimate, shots: float) -> Affine:
        """Fit measured values as a function of exact ones, since sampling errors are the measured ones'."""
        centre, noisy = self.exact.mean(axis=0), estimate.values.mean(axis=0)
        deviation = self.exact - centre
        spread = (deviation**2).mean(axis=0)
        slope = (deviation * (estimate.values - noisy)).mean(axis=0) / np.maximum(spread, 1e-12)
        beside = (estimate.values - noisy - slope * deviation) ** 2
        sampling = estimate.variances.mean(axis=0)
        residual = np.maximum(beside.mean(axis=0) - sampling, 0.0)
        return Affine(centre, noisy, spread, slope, residual, sampling * shots)


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
        )
