"""Error mitigation, every method by the same three verbs: circuits, (a backend's) run, combine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qdllm.devices.batch import CircuitBatch, Counts, fold, state_preparations
from qdllm.devices.reading import Estimate, Readout, Runs

__all__ = ["Affine", "AffineCorrection", "ReadoutInversion", "ZeroNoise"]

_LEAST_SLOPE = 0.05  # an observable that kept less than this of its range is not stretched further

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
    """What noise made of each observable: noisy = scale · exact + offset, (n_observables,) each."""

    scale: Floats
    offset: Floats

    def undo(self, estimate: Estimate, weight: Floats, bias: Floats) -> Estimate:
        """Return the estimate stretched back, with the standard errors that this costs."""
        values = (estimate.values - self.offset) / self.scale
        # Covariances between observables are not kept: each class's are stretched as its variance is.
        variances = estimate.variances / self.scale**2
        before = estimate.variances @ (weight**2).T
        factor = np.sqrt((variances @ (weight**2).T + 1e-12) / (before + 1e-12))
        covariances = estimate.logit_covariances * factor[:, :, None] * factor[:, None, :]
        return Estimate(values, variances, values @ weight.T + bias, covariances)


@dataclass(frozen=True)
class AffineCorrection:
    """Fit scale and offset of every observable on inputs whose exact values are known (Czarnik et al.,
    Quantum 5 (2021) 592, with circuits of the student itself in the place of Clifford circuits).

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

    def combine(self, estimate: Estimate) -> Affine:
        """Fit noisy values as a function of exact ones: sampling errors are the noisy ones' alone."""
        centre, noisy = self.exact.mean(axis=0), estimate.values.mean(axis=0)
        deviation = self.exact - centre
        spread = (deviation**2).sum(axis=0)
        slope = (deviation * (estimate.values - noisy)).sum(axis=0) / np.maximum(spread, 1e-9)
        # An observable that is the same for all inputs shows an offset and no scale.
        slope = np.where(spread > 1e-3, np.maximum(slope, _LEAST_SLOPE), 1.0)
        return Affine(slope, noisy - slope * centre)


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
