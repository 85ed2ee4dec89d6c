"""Encodings: from the projection's output to the circuit's input angles.

Each is a small stateless object, differentiable, that maps a float tensor (..., n_inputs) to angles of
the same shape.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from qdllm.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ENCODINGS", "Encoding", "LinearEncoding", "MinMaxEncoding", "TanhEncoding", "make_encoding"]


class Encoding(Protocol):
    """What maps projected features to angles."""

    name: str

    def __call__(self, u: "Tensor") -> "Tensor":
        """Map (..., n_inputs) to angles in radians of the same shape."""
        ...


class LinearEncoding:
    """The default: angle = pi/2 + u, centred where a rotated qubit responds most."""

    name = "linear"

    def __call__(self, u: "Tensor") -> "Tensor":
        """Map (..., n_inputs) to angles in radians of the same shape."""
        return u + math.pi / 2


class TanhEncoding:
    """angle = pi/2 (1 + tanh u), always between 0 and pi."""

    name = "tanh"

    def __call__(self, u: "Tensor") -> "Tensor":
        """Map (..., n_inputs) to angles in radians of the same shape."""
        return (u.tanh() + 1) * (math.pi / 2)


class MinMaxEncoding:
    """The paper's: each sample scaled to [0, 10]; a constant one becomes 0."""

    name = "minmax"

    def __call__(self, u: "Tensor") -> "Tensor":
        """Map (..., n_inputs) to angles in radians of the same shape."""
        low = u.amin(dim=-1, keepdim=True)
        span = u.amax(dim=-1, keepdim=True) - low
        return (u - low) * (10 / span.masked_fill(span == 0, 1))


ENCODINGS: Mapping[str, type[Encoding]] = {
    encoding.name: encoding for encoding in (LinearEncoding, MinMaxEncoding, TanhEncoding)
}
"""Every encoding by name."""


def make_encoding(name: str) -> Encoding:
    """Return the encoding of that name.

    Raises
    ------
    ConfigError
        If the name is unknown.
    """
    if name not in ENCODINGS:
        raise ConfigError(f"unknown encoding {name!r}: use one of {', '.join(sorted(ENCODINGS))}")
    return ENCODINGS[name]()
