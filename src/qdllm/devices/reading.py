"""From counts to expectation values with their standard errors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdllm.devices.batch import CircuitBatch, Counts
from qdllm.devices.lowering import Lowered

__all__ = ["Estimate", "Linear", "Readout", "Runs", "allot_shots", "prepare", "read", "select"]

_LEAST_WEIGHT = 1e-6  # a branch less likely than this is not run

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Readout:
    """How each wire is misread: probabilities of 0 for 1 and of 1 for 0, (n_wires,) each."""

    read_1_as_0: Floats
    read_0_as_1: Floats

    def undo(self, states: npt.NDArray[np.int64]) -> Floats:
        """Return for each outcome and wire a number whose mean is that of the true sign, (n, n_wires)."""
        signs = 1.0 - 2.0 * (states[:, None] >> np.arange(len(self.read_1_as_0)) & 1)
        offset = self.read_1_as_0 - self.read_0_as_1
        return (signs - offset) / (1.0 - self.read_1_as_0 - self.read_0_as_1)


@dataclass(frozen=True)
class Runs:
    """The circuits of some inputs: one for each input and branch that is likely enough.

    Parameters
    ----------
    batch : CircuitBatch
    inputs, branches : ndarray of int64 (n_circuits,)
        Which input and branch a circuit is of.
    weights : ndarray (n_circuits,)
        The branch's probability; those of an input sum to 1.
    """

    batch: CircuitBatch
    inputs: npt.NDArray[np.int64]
    branches: npt.NDArray[np.int64]
    weights: Floats


@dataclass(frozen=True)
class Estimate:
    """Observables of some inputs.

    Parameters
    ----------
    values : ndarray (n, n_observables)
    variances : ndarray (n, n_observables)
        Of the values: the squares of their standard errors. By sampling, and where values are corrected by
        what the correction cannot know.
    logits : ndarray (n, n_classes)
    logit_covariances : ndarray (n, n_classes, n_classes)
        Of the same.
    one_shot : ndarray (n_observables, n_observables)
        Covariance of what one shot says of the observables, in the mean over the inputs.
    """

    values: Floats
    variances: Floats
    logits: Floats
    logit_covariances: Floats
    one_shot: Floats


def prepare(lowered: Lowered, inputs: Floats, layout: tuple[int, ...]) -> Runs:
    """Return the circuits of inputs (n, n_inputs)."""
    weights = lowered.weights(inputs)
    weights = np.where(weights > _LEAST_WEIGHT, weights, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    which, branch = np.nonzero(weights)
    batch = CircuitBatch(lowered.circuit, lowered.angles(inputs)[which, branch], layout)
    return Runs(batch, which, branch, weights[which, branch])


def select(runs: Runs, inputs: npt.NDArray[np.int64]) -> Runs:
    """Return the circuits of some inputs, given in order, which are numbered anew."""
    rows = np.flatnonzero(np.isin(runs.inputs, inputs))
    numbers = np.searchsorted(inputs, runs.inputs[rows])
    return Runs(runs.batch.take(rows), numbers, runs.branches[rows], runs.weights[rows])


def allot_shots(runs: Runs, shots: int, step: int = 1) -> npt.NDArray[np.int64]:
    """Divide each input's shots over its branches in proportion: multiples of `step`, at least one each.

    Together they are `shots`, a multiple of `step` that is enough for all branches.
    """
    steps, inputs = shots // step, runs.inputs
    spare = np.maximum(steps - np.bincount(inputs), 0)[inputs]
    beyond = np.maximum(runs.weights * steps - 1, 0)
    total = np.bincount(inputs, beyond)[inputs]
    share = spare * beyond / np.where(total > 0, total, 1)
    whole = np.floor(share)
    left = spare - np.bincount(inputs, whole)[inputs]  # goes to the largest remainders
    order = np.lexsort((whole - share, inputs))
    rank = np.empty(len(order))
    rank[order] = np.arange(len(order)) - np.searchsorted(inputs[order], inputs[order])
    return np.asarray(step * (1 + whole + (rank < left)), dtype=np.int64)


@dataclass(frozen=True)
class Linear:
    """What to make of measured values: gain @ measured + offset.

    Parameters
    ----------
    gain : ndarray (n_observables, n_observables)
    offset : ndarray (n_observables,)
    unknown : ndarray (n_observables, n_observables)
        Covariance of the result's errors, those by sampling left out.
    """

    gain: Floats
    offset: Floats
    unknown: Floats


def read(
    lowered: Lowered,
    runs: Runs,
    counts: Sequence[Counts],
    weight: Floats,
    bias: Floats,
    *,
    readout: Readout | None = None,
    correction: Callable[[float], Linear] | None = None,
) -> Estimate:
    """Estimate every observable, and logits that are linear in them.

    Parameters
    ----------
    lowered : Lowered
    runs : Runs
    counts : sequence of Counts
        One a circuit of `runs`.
    weight, bias : ndarray (n_classes, n_observables) and (n_classes,)
        The logits are weight @ estimate + bias.
    readout : Readout, optional
        Misreadings to undo.
    correction : callable, optional
        What to make of values that are measured with so many shots.
    """
    n_inputs, n_observables = int(runs.inputs.max()) + 1, len(lowered.parities)
    one = np.eye(n_observables)
    as_measured = Linear(one, np.zeros(n_observables), 0 * one)
    shots = np.bincount(runs.inputs, [found.shots for found in counts]).tolist()
    by_shots = {number: as_measured if correction is None else correction(number) for number in set(shots)}
    corrections = [by_shots[number] for number in shots]
    values = np.stack([c.offset for c in corrections])
    variances = np.stack([c.unknown.diagonal() for c in corrections])
    covariances = np.stack([weight @ c.unknown @ weight.T for c in corrections])
    one_shot = np.zeros((n_observables, n_observables))
    for which, branch, share, found in zip(runs.inputs, runs.branches, runs.weights, counts, strict=True):
        said = _shot_values(lowered, found.states, int(branch), readout)
        n, gain = found.shots, corrections[which].gain
        mean = found.numbers @ said / n
        values[which] += share * gain @ mean
        deviation = said - mean
        # One more shot than there were, as bad as can be, so that few shots never look certain.
        scatter = ((deviation * found.numbers[:, None]).T @ deviation + one) / (n + 1)
        one_shot += share * scatter / n_inputs
        reaching = weight @ gain
        variances[which] += share**2 * (gain @ scatter * gain).sum(axis=1) / n
        covariances[which] += share**2 * reaching @ scatter @ reaching.T / n
    return Estimate(values, variances, values @ weight.T + bias, covariances, one_shot)


def _shot_values(
    lowered: Lowered, states: npt.NDArray[np.int64], branch: int, readout: Readout | None
) -> Floats:
    """Return what each outcome says of each observable, (n_states, n_observables)."""
    true_signs = None if readout is None else readout.undo(states)
    columns = []
    for observable in lowered.parities:
        column = np.zeros(len(states))
        for term in observable:
            sign = -term.coefficient if (term.coins & branch).bit_count() & 1 else term.coefficient
            if true_signs is None:
                column += sign * (1.0 - 2.0 * (np.bitwise_count(states & term.wires) & 1))
            else:
                wires = [w for w in range(lowered.n_wires) if term.wires >> w & 1]
                column += sign * true_signs[:, wires].prod(axis=1)
        columns.append(column)
    return np.column_stack(columns)
