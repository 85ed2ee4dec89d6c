"""What a chip does wrong, in numbers: Pauli errors of gates and of waiting, and misread qubits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from qdllm.errors import CircuitError

__all__ = ["NoiseModel"]


@dataclass(frozen=True)
class NoiseModel:
    """Errors of the wires that a circuit runs on.

    A gate's error is its average infidelity as calibrated, which holds the decay during the gate already;
    T1 and T2 therefore act on waiting wires alone. Both become Pauli channels: a gate's depolarises, a
    waiting wire's is the Pauli twirl of relaxation and dephasing (Geller and Zhou, Phys. Rev. A 88 (2013)
    012314, eq. 10 to 12).

    Parameters
    ----------
    one_qubit : tuple of float
        Infidelity of a rotation on each wire, in [0, 1/2]. RZ is a change of frame and costs nothing.
    two_qubit : mapping of (int, int) to float
        Infidelity of CZ on wires (a, b), a < b, in [0, 3/4].
    t1, t2 : tuple of float
        Relaxation and dephasing times of each wire in microseconds; T2 is at most 2 T1; may be infinite.
    read_1_as_0, read_0_as_1 : tuple of float
        Probability of misreading each wire, in [0, 1/2).
    one_qubit_time, two_qubit_time : float
        Durations of a rotation and of CZ in microseconds.

    Raises
    ------
    CircuitError
        If a number is out of range or the lists differ in length.
    """

    one_qubit: tuple[float, ...]
    two_qubit: Mapping[tuple[int, int], float]
    t1: tuple[float, ...]
    t2: tuple[float, ...]
    read_1_as_0: tuple[float, ...]
    read_0_as_1: tuple[float, ...]
    one_qubit_time: float
    two_qubit_time: float

    def __post_init__(self) -> None:
        """Refuse what is no channel."""
        for name in ("t1", "t2", "read_1_as_0", "read_0_as_1"):
            if len(getattr(self, name)) != self.n_qubits:
                raise CircuitError(f"noise: {name} has {len(getattr(self, name))} wires, not {self.n_qubits}")
        limits = {"one_qubit": 0.5, "read_1_as_0": 0.5, "read_0_as_1": 0.5}
        for name, limit in limits.items():
            for wire, value in enumerate(getattr(self, name)):
                if not 0.0 <= value <= limit:
                    raise CircuitError(f"noise: {name} of wire {wire} is {value}: it must be in [0, {limit}]")
        for pair, value in self.two_qubit.items():
            if not 0.0 <= value <= 0.75:
                raise CircuitError(f"noise: the CZ error of wires {pair} is {value}: it must be in [0, 0.75]")
        for wire, (t1, t2) in enumerate(zip(self.t1, self.t2, strict=True)):
            if not 0.0 < t2 <= 2 * t1:
                raise CircuitError(f"noise: T2 of wire {wire} is {t2} and T1 {t1}: T2 must be in (0, 2 T1]")

    @property
    def n_qubits(self) -> int:
        """Number of wires."""
        return len(self.one_qubit)

    def rotation_error(self, wire: int) -> float:
        """Return the probability that a rotation leaves a Pauli error, each of X, Y and Z alike."""
        return self.one_qubit[wire] * 3 / 2

    def cz_error(self, first: int, second: int) -> float:
        """Return the probability that CZ leaves a Pauli error, each of the 15 alike.

        Raises
        ------
        CircuitError
            If the wires have no coupler.
        """
        pair = (min(first, second), max(first, second))
        if pair not in self.two_qubit:
            raise CircuitError(f"noise: wires {pair[0]} and {pair[1]} have no coupler")
        return self.two_qubit[pair] * 5 / 4

    def idle_errors(self, wire: int, time: float) -> tuple[float, float, float]:
        """Return the probabilities of X, Y and Z after waiting `time` microseconds."""
        decayed = -math.expm1(-time / self.t1[wire]) / 4
        return decayed, decayed, max(-math.expm1(-time / self.t2[wire]) / 2 - decayed, 0.0)
