"""Angles: affine expressions of named symbols.

An angle is ``constant + sum(coefficient * symbol)``. A symbol is either an *input* (one value a sample, from
the encoding) or a *parameter* (one value for all samples, trained).
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

from qdllm.errors import CircuitError

__all__ = ["Angle", "Symbol", "input_symbol", "parameter"]

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class Symbol:
    """A named angle that is known only when the circuit is run.

    Parameters
    ----------
    name : str
        An identifier: ASCII letters, digits and underscores.
    is_input : bool
        True for an input, False for a trained parameter.
    """

    name: str
    is_input: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _IDENTIFIER.match(self.name):
            raise CircuitError(f"symbol name {self.name!r} must be letters, digits and underscores")


@dataclass(frozen=True)
class Angle:
    """An affine expression of symbols, in radians; supports ``+``, ``-`` and multiplication by numbers.

    Parameters
    ----------
    constant : float
        The part without symbols; finite.
    terms : tuple of (Symbol, float)
        Each symbol once, in order of first appearance, with its finite non-zero coefficient.

    Examples
    --------
    >>> angle = 2 * parameter("a") - input_symbol("x_0") + 0.5
    >>> str(angle)
    '2*a - x_0 + 0.5'
    >>> angle.evaluate({"a": 1.0, "x_0": 0.25})
    2.25
    """

    constant: float = 0.0
    terms: tuple[tuple[Symbol, float], ...] = ()

    def __post_init__(self) -> None:
        for number in (self.constant, *(coefficient for _, coefficient in self.terms)):
            if not math.isfinite(number):
                raise CircuitError(f"an angle needs finite numbers, got {number!r}")
        if len({symbol.name for symbol, _ in self.terms}) != len(self.terms):
            raise CircuitError("an angle names a symbol twice: add its coefficients")

    @classmethod
    def of(cls, value: object) -> "Angle":
        """Turn a number or a symbol into an angle."""
        if isinstance(value, Angle):
            return value
        if isinstance(value, Symbol):
            return cls(0.0, ((value, 1.0),))
        if isinstance(value, Real):
            return cls(float(value))
        raise CircuitError(f"an angle must be a number, a symbol or an Angle, got {type(value).__name__}")

    def evaluate(self, values: Mapping[str, float]) -> float:
        """Return the angle's value for the symbols' values."""
        return self.constant + sum(coefficient * values[symbol.name] for symbol, coefficient in self.terms)

    def bind(self, values: Mapping[str, float]) -> "Angle":
        """Replace the symbols that `values` names by their numbers."""
        known = sum(c * float(values[s.name]) for s, c in self.terms if s.name in values)
        return Angle(self.constant + known, tuple((s, c) for s, c in self.terms if s.name not in values))

    def __add__(self, other: "Angle | Symbol | float") -> "Angle":
        other = Angle.of(other)
        merged = dict(self.terms)
        for symbol, coefficient in other.terms:
            merged[symbol] = merged.get(symbol, 0.0) + coefficient
        return Angle(self.constant + other.constant, tuple((s, c) for s, c in merged.items() if c != 0.0))

    def __mul__(self, factor: float) -> "Angle":
        if factor == 0:
            return Angle()
        return Angle(self.constant * factor, tuple((s, c * factor) for s, c in self.terms))

    def __neg__(self) -> "Angle":
        return self * -1.0

    def __sub__(self, other: "Angle | Symbol | float") -> "Angle":
        return self + -Angle.of(other)

    def __rsub__(self, other: float) -> "Angle":
        return Angle.of(other) - self

    def __truediv__(self, divisor: float) -> "Angle":
        return self * (1.0 / divisor)

    __radd__ = __add__
    __rmul__ = __mul__

    def __str__(self) -> str:
        pieces = [(coefficient, symbol.name) for symbol, coefficient in self.terms]
        if self.constant or not pieces:
            pieces.append((self.constant, ""))
        text = ""
        for number, name in pieces:
            size = abs(number)
            body = name if name and size == 1 else f"{size:.12g}*{name}" if name else f"{size:.12g}"
            sign = "-" if number < 0 else "+"
            text += f" {sign} {body}" if text else body if sign == "+" else f"-{body}"
        return text


def input_symbol(name: str) -> Angle:
    """Return the angle that is an input of that name."""
    return Angle.of(Symbol(name, is_input=True))


def parameter(name: str) -> Angle:
    """Return the angle that is a trained parameter of that name."""
    return Angle.of(Symbol(name))
