"""The Pareto front of trained designs, and which of them to take."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qdllm.search.space import Design

__all__ = ["Candidate", "choose", "pareto_front", "standard_error"]


@dataclass(frozen=True)
class Candidate:
    """A design that was trained to the end.

    Attributes
    ----------
    trial : int
        Its place among the finished trials, from 0.
    design : mapping
        Parameters of the `qdllm.Student`.
    accuracy : float
        On the validation rows, in [0, 1].
    two_qubit_gates : int
        That a chip would have to run: without dead gates and those that the readout absorbs.
    parameters : int
        Trained numbers: projection, circuit, readout.
    """

    trial: int
    design: Design
    accuracy: float
    two_qubit_gates: int
    parameters: int

    @property
    def costs(self) -> tuple[int, int]:
        """What is to be small: two-qubit gates, then parameters."""
        return self.two_qubit_gates, self.parameters

    def dominates(self, other: "Candidate") -> bool:
        """Tell whether it is nowhere worse than `other` and somewhere better."""
        ours = (-self.accuracy, *self.costs)
        theirs = (-other.accuracy, *other.costs)
        return ours != theirs and all(a <= b for a, b in zip(ours, theirs, strict=True))


def pareto_front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates that no other dominates, the most accurate first.

    Of those that are equal in all three, the one of the earliest trial stays.
    """
    unique: dict[tuple[float, ...], Candidate] = {}
    for candidate in sorted(candidates, key=lambda c: c.trial):
        unique.setdefault((candidate.accuracy, *candidate.costs), candidate)
    front = [c for c in unique.values() if not any(other.dominates(c) for other in unique.values())]
    return sorted(front, key=lambda c: (-c.accuracy, c.costs))


def choose(front: Sequence[Candidate], n_rows: int) -> Candidate:
    """Return the cheapest candidate within one standard error of the most accurate one.

    The one-standard-error rule of Breiman, Friedman, Olshen and Stone (Classification and Regression
    Trees, 1984, section 3.4.3): differences that the validation rows cannot tell apart are not paid for.
    Cheapest is fewest two-qubit gates, then fewest parameters, then the highest accuracy.

    Parameters
    ----------
    front : sequence of Candidate
        At least one.
    n_rows : int
        Number of validation rows that the accuracies are of.
    """
    best = max(candidate.accuracy for candidate in front)
    least = best - standard_error(best, n_rows)
    return min((c for c in front if c.accuracy >= least), key=lambda c: (c.costs, -c.accuracy))


def standard_error(accuracy: float, n_rows: int) -> float:
    """Return the binomial standard error of an accuracy on `n_rows` rows."""
    return math.sqrt(accuracy * (1 - accuracy) / n_rows)
