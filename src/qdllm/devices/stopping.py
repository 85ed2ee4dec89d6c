"""When a text has been measured often enough."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from qdllm.devices.reading import Estimate
from qdllm.errors import ConfigError

__all__ = ["StopRule"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)
_REACH = 8.0  # standard deviations; what lies beyond them is nothing

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class StopRule:
    """Stop measuring a text when one of these says so.

    Parameters
    ----------
    confidence : float, optional
        Its class is decided: the two largest logits differ by more standard errors than a normal variable
        does with this probability, in (1/2, 1).
    least_gain : float, optional
        As many shots again are expected to gain less than this, in points of accuracy per 1,000 shots;
        above 0. What more shots are worth is the value of information (Howard 1966) of one step, as in the
        knowledge gradient (Frazier, Powell and Dayanik 2008).

    Raises
    ------
    ConfigError
        If a value is out of range, or none is given.
    """

    confidence: float | None = None
    least_gain: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot stop."""
        if self.confidence is None and self.least_gain is None:
            raise ConfigError("adaptive shots need a confidence or a least gain")
        if self.confidence is not None and not 0.5 < self.confidence < 1.0:
            raise ConfigError(f"the confidence is {self.confidence}: it must be between 0.5 and 1")
        if self.least_gain is not None and not self.least_gain > 0:
            raise ConfigError(f"the least gain is {self.least_gain}: it must be above 0")

    def __call__(self, estimate: Estimate, shots: int) -> npt.NDArray[np.bool_]:
        """Return which inputs need no more, (n,), after so many shots of each."""
        lead, error = _lead(estimate)
        enough = np.zeros(len(lead), dtype=bool)
        if self.confidence is not None:
            enough |= lead >= NormalDist().inv_cdf(self.confidence) * error
        if self.least_gain is not None:
            per_shot = _gain(estimate, lead, error) / shots
            enough |= 100 * 1000 * per_shot < self.least_gain
        return enough


def _gain(estimate: Estimate, lead: Floats, error: Floats) -> Floats:
    """Return how much likelier the right class is expected to become by as many shots again, (n,).

    They halve the variance of the lead, so the lead that they will show is normal around today's with half
    its variance. Where it is negative the other class is taken, which is then the likelier one by
    tanh(|lead| / 2) of what the two have together. Of corrected values a part of the variance is not of
    sampling and stays: for them this is an upper estimate.
    """
    ordered = np.sort(estimate.logits, axis=1)
    exponentials = np.exp(ordered - ordered[:, -1:])
    both = exponentials[:, -2:].sum(axis=1) / exponentials.sum(axis=1)
    deviation = error / np.sqrt(2.0)
    nodes = _REACH * (_NODES + 1) / 2  # below zero, in standard deviations
    density = np.exp(-0.5 * (nodes + (lead / deviation)[:, None]) ** 2) / np.sqrt(2 * np.pi)
    loss = np.tanh(deviation[:, None] * nodes / 2) * density
    return np.asarray(both * (loss @ (_REACH * _WEIGHTS / 2)))


def _lead(estimate: Estimate) -> tuple[Floats, Floats]:
    """Return by how much the largest logit leads the second, and the standard error of that, (n,) each."""
    order = np.argsort(estimate.logits, axis=1)
    rows = np.arange(len(order))
    best, second = order[:, -1], order[:, -2]
    c = estimate.logit_covariances
    variance = c[rows, best, best] + c[rows, second, second] - 2 * c[rows, best, second]
    lead = estimate.logits[rows, best] - estimate.logits[rows, second]
    return lead, np.sqrt(np.maximum(variance, 1e-12))
