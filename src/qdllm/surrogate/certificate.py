"""What is proven and what was seen of the distance between a surrogate and its student."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Certificate", "Check", "check_logits"]


@dataclass(frozen=True)
class Check:
    """A surrogate beside its student on given texts.

    Parameters
    ----------
    rows : int
    max_error : float
        The largest difference of a logit.
    agreement : float
        Share of the rows with the same class.
    certified : float
        Share of the rows whose class the worst case could not change: the student's margin is above twice
        the bound.
    """

    rows: int
    max_error: float
    agreement: float
    certified: float


@dataclass(frozen=True)
class Certificate:
    """How far a surrogate's logits are from its student's, in exact arithmetic.

    Parameters
    ----------
    max_error : float
        No logit differs by more, at any angles: the largest of `errors`.
    errors : tuple of float
        The bound of each class's logit.
    truncation : float
        The part of it that the propagation cut off.
    asked : float
        The error that was asked for.
    check : Check, optional
        What was seen on texts, where any were given.
    """

    max_error: float
    errors: tuple[float, ...]
    truncation: float
    asked: float
    check: Check | None = None

    @property
    def met(self) -> bool:
        """Whether the error that was asked for is kept."""
        return self.max_error <= self.asked

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "errors": list(self.errors), "met": self.met}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Certificate:
        """Bring back what `as_dict` gave."""
        check = values["check"]
        return cls(
            max_error=values["max_error"],
            errors=tuple(values["errors"]),
            truncation=values["truncation"],
            asked=values["asked"],
            check=None if check is None else Check(**check),
        )


def check_logits(ours: NDArray[Any], exact: NDArray[np.float64], max_error: float) -> Check:
    """Compare logits (n, n_classes) of a surrogate with its student's."""
    best = np.sort(exact, axis=1)
    return Check(
        rows=len(exact),
        max_error=float(np.abs(ours - exact).max()),
        agreement=float((ours.argmax(axis=1) == exact.argmax(axis=1)).mean()),
        certified=float((best[:, -1] - best[:, -2] > 2 * max_error).mean()),
    )
