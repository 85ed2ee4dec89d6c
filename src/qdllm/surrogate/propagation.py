"""A circuit's expectation values as a trigonometric polynomial, by Pauli propagation.

The observables are carried back through the compiled stages (Heisenberg picture). A rotation by t about a
string G leaves strings that commute with it and turns any other P into cos(t) P + sin(t) iGP. Where t depends
on an input, it is a variable of the polynomial; else the two are numbers. On |0...0> strings of Zs alone are
1 and all others 0. After Begušić, Hejazi and Chan, arXiv 2306.04797, and Rudolph et al., arXiv 2505.21606;
here with exact variables, one coefficient an output, and a bound on what is cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdllm.circuits import Circuit, CompiledCircuit, compile_circuit, gf2, parse_observables
from qdllm.errors import CircuitError, TooLargeError
from qdllm.surrogate.polynomial import Masks, Polynomial, merge_terms

__all__ = ["Expansion", "expand"]

_MOST_BITS = 64
_MOST_STRINGS = 1 << 22
_ROUNDING = 1e-15  # of the largest coefficient: what is smaller is none


@dataclass(frozen=True, eq=False)
class Expansion:
    """A circuit's weighted expectation values as a polynomial of the angles that depend on inputs.

    Parameters
    ----------
    polynomial : Polynomial
        One output for each row of weights.
    matrix : ndarray, shape (n_variables, n_inputs)
        Variables are ``matrix @ inputs + offset``.
    offset : ndarray, shape (n_variables,)
    dropped : ndarray, shape (n_outputs,)
        Bound on what truncation cut off each output, at any angles.
    n_strings : int
        The most Pauli strings there were at once.
    """

    polynomial: Polynomial
    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    dropped: NDArray[np.float64]
    n_strings: int


def expand(
    circuit: Circuit,
    parameters: NDArray[np.float64],
    weights: NDArray[np.float64],
    observables: Sequence[str] | None = None,
    *,
    max_error: float = 0.0,
) -> Expansion:
    """Expand weighted sums of expectation values.

    Parameters
    ----------
    circuit : Circuit
        At most 64 qubits and 64 rotations that depend on inputs. An input that turns several rotations gives
        several variables: products of these are the higher frequencies.
    parameters : ndarray, shape (n_parameters,)
        Finite.
    weights : ndarray, shape (n_outputs, n_observables)
    observables : sequence of str, optional
        Pauli strings; default: Z of every qubit.
    max_error : float
        How far truncation may move an output at any angles; 0 for none.

    Raises
    ------
    CircuitError
        If the circuit is too wide, or a number is not finite.
    TooLargeError
        If there are too many strings for this error.
    """
    if not (np.isfinite(parameters).all() and np.isfinite(weights).all()):
        raise CircuitError(
            "a parameter of the circuit or a weight of the readout is not finite; train it again"
        )
    compiled = compile_circuit(circuit, parse_observables(observables, circuit.n_qubits))
    angles = [angle for *_, angle in compiled.rotations]
    varying = [a for a in angles if compiled.input_matrix[a].any()]
    if circuit.n_qubits > _MOST_BITS or len(varying) > _MOST_BITS:
        raise CircuitError(
            f"{circuit.name or 'the circuit'} has {circuit.n_qubits} qubits and {len(varying)} rotations by "
            f"inputs: a polynomial is made of at most {_MOST_BITS} of each"
        )
    # In the order of the inputs, so that where each turns one rotation variables are inputs.
    varying.sort(key=lambda a: (int(np.flatnonzero(compiled.input_matrix[a])[0]), a))
    values = compiled.constants + compiled.parameter_matrix @ parameters
    matrix = compiled.input_matrix[varying]
    signs = np.where(np.array([row[row != 0][0] for row in matrix]) < 0, -1.0, 1.0) if varying else np.ones(0)
    propagation = _Propagation(compiled, weights, max_error)
    variables = {a: (j, float(signs[j])) for j, a in enumerate(varying)}
    for x, z, a in reversed(compiled.rotations):
        if a in variables:
            propagation.turn_by_variable(x, z, *variables[a])
        else:
            propagation.turn(x, z, float(values[a]))
        propagation.settle(x)
    return Expansion(
        polynomial=propagation.polynomial(len(varying)),
        matrix=signs[:, None] * matrix,
        offset=signs * values[varying],
        dropped=propagation.dropped,
        n_strings=propagation.n_strings,
    )


class _Propagation:
    """Terms: Pauli string (x, z) times the sines and cosines so far, with a coefficient an output."""

    def __init__(self, compiled: CompiledCircuit, weights: NDArray[np.float64], max_error: float) -> None:
        strings = [
            (s.x, s.z, c * weights[:, column])
            for column, observable in enumerate(compiled.observables)
            for s, c in observable
        ]
        x, z = (np.array([term[i] for term in strings], dtype=np.uint64) for i in (0, 1))
        none = np.zeros_like(x)
        self._keys: tuple[Masks, ...] = (x, z, none, none)
        self._coefficients = np.stack([term[2] for term in strings]).astype(np.float64)
        self._n_qubits = compiled.n_qubits
        self._flips = [x for x, _, _ in compiled.rotations]  # of those still to come
        self._max_error = max_error
        self.dropped = np.zeros(len(weights))
        self.n_strings = 0
        self._keep(self._reaching_zero())

    def turn(self, x: int, z: int, angle: float) -> None:
        """Carry the terms back through a rotation by a number."""
        moved, turned, sign = self._anticommuting(x, z)
        rest = self._coefficients[moved]
        self._coefficients[moved] *= np.cos(angle)
        self._append(turned, np.sin(angle) * sign[:, None] * rest)

    def turn_by_variable(self, x: int, z: int, variable: int, sign_of_angle: float) -> None:
        """Carry the terms back through a rotation by a variable of the polynomial, or minus it."""
        moved, turned, sign = self._anticommuting(x, z)
        bit = np.uint64(1 << variable)
        px, pz, sines, cosines = self._keys
        cosines = cosines.copy()
        cosines[moved] |= bit
        tx, tz, ts, tc = turned
        self._keys = px, pz, sines, cosines
        self._append((tx, tz, ts | bit, tc), sign_of_angle * sign[:, None] * self._coefficients[moved])

    def settle(self, flip: int) -> None:
        """Add up equal terms after a rotation of this flip, and drop what is dead or small."""
        self._flips.pop()
        if flip:
            self._keep(self._reaching_zero())
        self._keys, self._coefficients = merge_terms(self._keys, self._coefficients)
        self._truncate()
        self.n_strings = max(self.n_strings, len(self._coefficients))
        if self.n_strings > _MOST_STRINGS:
            raise TooLargeError(
                f"the polynomial passes {_MOST_STRINGS:,} Pauli strings: allow a larger error, so that small "
                "ones may be dropped, or take fewer layers"
            )

    def polynomial(self, n_variables: int) -> Polynomial:
        """Return the value on |0...0>, once all rotations are done."""
        _, _, sines, cosines = self._keys
        (sines, cosines), coefficients = merge_terms((sines, cosines), self._coefficients)
        return Polynomial(n_variables, sines, cosines, coefficients)

    def _anticommuting(
        self, x: int, z: int
    ) -> tuple[NDArray[np.intp], tuple[Masks, ...], NDArray[np.float64]]:
        """Return which strings P anticommute with G, the strings iGP, and their signs."""
        px, pz, *_ = self._keys
        moved = np.flatnonzero(
            (np.bitwise_count(px & np.uint64(z)) ^ np.bitwise_count(pz & np.uint64(x))) & 1
        )
        px, pz, sines, cosines = (key[moved] for key in self._keys)
        qx, qz = px ^ np.uint64(x), pz ^ np.uint64(z)
        # The power of i in iGP, strings being i^|x & z| X^x Z^z; real rotations are exp(angle/2 X^x Z^z),
        # which is a rotation about G by minus the angle where |x & z| is 3 modulo 4.
        ys = (x & z).bit_count()
        power = 1 + ys + np.bitwise_count(px & pz).astype(np.int64) - np.bitwise_count(qx & qz)
        power += 2 * np.bitwise_count(px & np.uint64(z))
        sign = np.where(power & 2, -1.0, 1.0) * (-1.0 if ys & 2 else 1.0)
        return moved, (qx, qz, sines, cosines), sign

    def _append(self, keys: tuple[Masks, ...], coefficients: NDArray[np.float64]) -> None:
        self._keys = tuple(np.append(old, new) for old, new in zip(self._keys, keys, strict=True))
        self._coefficients = np.concatenate([self._coefficients, coefficients])

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        self._keys = tuple(key[kept] for key in self._keys)
        self._coefficients = self._coefficients[kept]

    def _reaching_zero(self) -> NDArray[np.bool_]:
        """Say which strings the rotations to come may still turn into Zs alone."""
        alive = np.ones(len(self._coefficients), dtype=bool)
        for mask in _annihilators(self._flips, self._n_qubits):
            alive &= np.bitwise_count(self._keys[0] & np.uint64(mask)) & 1 == 0
        return alive

    def _truncate(self) -> None:
        """Drop the smallest terms, as many as this step's part of the error allows."""
        largest = np.abs(self._coefficients).max(axis=1, initial=0.0)
        allowed = max((self._max_error - self.dropped.max()) / (len(self._flips) + 1), 0.0)
        allowed = max(allowed, _ROUNDING * float(largest.max(initial=0.0)))
        small = np.flatnonzero(largest <= allowed)
        small = small[np.argsort(largest[small])]
        sums = np.cumsum(np.abs(self._coefficients[small]), axis=0)
        n_gone = int(np.searchsorted(sums.max(axis=1, initial=0.0), allowed, side="right"))
        if n_gone:
            self.dropped = self.dropped + sums[n_gone - 1]
            kept = np.ones(len(largest), dtype=bool)
            kept[small[:n_gone]] = False
            self._keep(kept)


def _annihilators(flips: Sequence[int], n_qubits: int) -> list[int]:
    """Return masks of even parity with all flips, and with nothing but what they span."""
    echelon: list[int] = []
    basis = [x for x in flips if gf2.extend(echelon, x)]
    rank = len(basis)
    basis += [1 << q for q in range(n_qubits) if gf2.extend(echelon, 1 << q)]
    inverse = gf2.invert(basis)
    return [sum((inverse[q] >> i & 1) << q for q in range(n_qubits)) for i in range(rank, n_qubits)]
