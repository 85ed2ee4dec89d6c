"""Two qubits in a known state, prepared with one CNOT: the Schmidt decomposition."""

import numpy as np
import numpy.typing as npt

__all__ = ["prepare_pair", "zyz"]

Floats = npt.NDArray[np.float64]


def prepare_pair(
    first: Floats, second: Floats, first_phase: Floats, second_phase: Floats, both_phase: Floats
) -> Floats:
    """Return the angles that prepare RZ ⊗ RZ · RZZ · RY ⊗ RY |00> with one CNOT, for each row.

    A state of two qubits is s_0 |a_0 b_0> + s_1 |a_1 b_1> in two bases of single qubits: RY and CNOT make
    s_0 |00> + s_1 |11>, and a rotation of each qubit turns the bases.

    Parameters
    ----------
    first, second : ndarray (n,)
        Angles of the two RYs.
    first_phase, second_phase, both_phase : ndarray (n,)
        Angles of the RZs and of RZZ.

    Returns
    -------
    ndarray (n, 6)
        RY of the first qubit; then, after CNOT, its RZ, RY and RZ, and the second qubit's RY and RZ.
    """
    signs = np.array([1.0, -1.0])
    amplitudes = np.stack([np.cos(first / 2), np.sin(first / 2)], axis=1)[:, :, None]
    amplitudes = amplitudes * np.stack([np.cos(second / 2), np.sin(second / 2)], axis=1)[:, None, :]
    phases = (
        first_phase[:, None, None] * signs[:, None]
        + second_phase[:, None, None] * signs
        + both_phase[:, None, None] * signs[:, None] * signs
    )
    left, sizes, right = np.linalg.svd(amplitudes * np.exp(-0.5j * phases))
    a = zyz(left)
    b = zyz(right.swapaxes(1, 2))
    schmidt = 2 * np.arctan2(sizes[:, 1], sizes[:, 0])
    # RZ on either qubit of s_0 |00> + s_1 |11> is the same.
    return np.column_stack([schmidt, a[:, 0] + b[:, 0], a[:, 1], a[:, 2], b[:, 1], b[:, 2]])


def zyz(unitaries: npt.NDArray[np.complex128]) -> Floats:
    """Return angles (n, 3) with U = RZ(third) RY(second) RZ(first) up to a phase, for unitaries (n, 2, 2)."""
    # With determinant 1, the phase of U_11 is half the sum of the RZs and that of U_10 half their difference.
    special = unitaries / np.sqrt(np.linalg.det(unitaries))[:, None, None]
    turn = 2 * np.arctan2(np.abs(special[:, 1, 0]), np.abs(special[:, 1, 1]))
    total, between = np.angle(special[:, 1, 1]), np.angle(special[:, 1, 0])
    return np.column_stack([total - between, turn, total + between])
