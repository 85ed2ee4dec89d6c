"""Observables: weighted sums of Pauli strings, as bit masks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from qdllm.errors import CircuitError, ConfigError

__all__ = ["READOUTS", "Observable", "PauliString", "each_z", "parse_observables", "readout_labels"]


@dataclass(frozen=True)
class PauliString:
    """A product of Pauli operators: i^|x & z| X^x Z^z, which is Hermitian.

    Parameters
    ----------
    x, z : int
        Bit q of `x` is set where X or Y acts on qubit q, bit q of `z` where Z or Y does.
    """

    x: int
    z: int

    @classmethod
    def from_label(cls, label: str) -> "PauliString":
        """Read a label of I, X, Y and Z whose last character is qubit 0 (as in Qiskit)."""
        x = z = 0
        for character in label:
            if character not in "IXYZ":
                raise CircuitError(f"Pauli string {label!r}: {character!r} is not one of I, X, Y, Z")
            x = x << 1 | (character in "XY")
            z = z << 1 | (character in "YZ")
        return cls(x, z)


Observable = tuple[tuple[PauliString, float], ...]
"""A sum of Pauli strings with their real coefficients."""


def each_z(n_qubits: int) -> tuple[Observable, ...]:
    """Return the observables Z_0, Z_1, ... of every qubit."""
    return tuple(((PauliString(0, 1 << q), 1.0),) for q in range(n_qubits))


def parse_observables(
    observables: Sequence[str | Mapping[str, float]] | None, n_qubits: int
) -> tuple[Observable, ...]:
    """Turn labels into observables.

    Parameters
    ----------
    observables : sequence of str or mapping of str to float, optional
        Each a Pauli string (``"IZX"``: X on qubit 0, Z on qubit 1) or a sum of them with coefficients. None:
        Z of every qubit.
    n_qubits : int
        The length every label must have.

    Raises
    ------
    CircuitError
        If there is none, or a label or coefficient is wrong.
    """
    if observables is None:
        return each_z(n_qubits)
    if isinstance(observables, str) or not isinstance(observables, Sequence) or not observables:
        raise CircuitError("observables must be a list of at least one Pauli string or sum of them")
    return tuple(_parse(observable, n_qubits) for observable in observables)


def _parse(observable: str | Mapping[str, float], n_qubits: int) -> Observable:
    if isinstance(observable, str):
        observable = {observable: 1.0}
    if not isinstance(observable, Mapping) or not observable:
        raise CircuitError(
            "an observable must be a Pauli string or a mapping of Pauli strings to coefficients"
        )
    for label, coefficient in observable.items():
        if len(label) != n_qubits:
            raise CircuitError(
                f"Pauli string {label!r} has {len(label)} characters, the circuit {n_qubits} qubits"
            )
        if not math.isfinite(coefficient):
            raise CircuitError(f"Pauli string {label!r}: its coefficient {coefficient!r} is not finite")
    return tuple((PauliString.from_label(label), float(c)) for label, c in observable.items())


READOUTS = ("z", "zz", "strings")
"""What a student may read: every Z; also every product of two; or every product of Zs there is."""

_MOST_STRINGS = 10


def readout_labels(readout: str, n_qubits: int) -> list[str]:
    """Return the Pauli strings of a readout, those of fewest qubits first.

    A linear layer on them is a trained observable: with ``"strings"``, any that is diagonal.

    Parameters
    ----------
    readout : str
        One of `READOUTS`.
    n_qubits : int
        At most 10 for ``"strings"``, of which there are 2^n - 1.

    Raises
    ------
    ConfigError
        If the name is unknown, or there would be too many strings.
    """
    if readout not in READOUTS:
        raise ConfigError(f"unknown readout {readout!r}: use one of {', '.join(READOUTS)}")
    if readout == "strings" and n_qubits > _MOST_STRINGS:
        raise ConfigError(f"the readout 'strings' of {n_qubits} qubits is too wide: at most {_MOST_STRINGS}")
    largest = {"z": 1, "zz": 2, "strings": n_qubits}[readout]
    chosen = (set(q) for size in range(1, largest + 1) for q in combinations(range(n_qubits), size))
    return ["".join("Z" if q in some else "I" for q in reversed(range(n_qubits))) for some in chosen]
