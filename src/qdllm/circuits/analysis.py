"""What compiling found out: parameters that merge or do nothing, gates that need not be run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qdllm.circuits.circuit import GATES, Circuit
from qdllm.circuits.compiled import CompiledCircuit, Diagonal, compile_circuit, stage_basis
from qdllm.circuits.observables import Observable, each_z
from qdllm.circuits.rotations import mark_live, to_rotations

__all__ = ["CircuitReport", "analyse", "prune"]


@dataclass(frozen=True)
class CircuitReport:
    """What a circuit comes to.

    Parameters
    ----------
    n_parameters : int
        Named parameters.
    n_effective : int
        Independent directions among them: the rank of the merged angles' dependence on the parameters.
    dead : tuple of str
        Parameters that no observable depends on.
    merged : tuple of tuple of str
        Groups of parameters that only ever act as one sum.
    two_qubit_gates : int
        As written.
    two_qubit_gates_needed : int
        Without dead gates and without trailing linear ones, which the observables absorb.
    stages : tuple of str
        The compiled stages in words.
    """

    n_qubits: int
    n_inputs: int
    n_parameters: int
    n_effective: int
    dead: tuple[str, ...]
    merged: tuple[tuple[str, ...], ...]
    two_qubit_gates: int
    two_qubit_gates_needed: int
    stages: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.n_qubits} qubits, {self.n_inputs} inputs",
                f"{self.n_parameters} named parameters: {self.n_effective} effective, {len(self.dead)} dead "
                f"(zero gradient), {len(self.merged)} groups that act as one sum",
                f"{self.two_qubit_gates} two-qubit gates as written, {self.two_qubit_gates_needed} needed",
                "stages: " + " → ".join(self.stages),
            ]
        )


def analyse(circuit: Circuit, observables: Sequence[Observable] | None = None) -> CircuitReport:
    """Report on a circuit.

    Parameters
    ----------
    circuit : Circuit
        Any circuit.
    observables : sequence of Observable, optional
        Default: Z of every qubit.

    Examples
    --------
    >>> from qdllm.circuits import qd_llm
    >>> print(analyse(qd_llm()))
    11 qubits, 11 inputs
    144 named parameters: 47 effective, 36 dead (zero gradient), 30 groups that act as one sum
    52 two-qubit gates as written, 35 needed
    stages: product (11) → diagonal (19) → local (10) → diagonal (18) → linear → local (10) → readout (11)
    """
    compiled = compile_circuit(circuit, observables)
    matrix = compiled.parameter_matrix
    used = [bool(column.any()) for column in matrix.T]
    groups: dict[tuple[float, ...], list[str]] = {}
    for name, column, alive in zip(circuit.parameter_names, matrix.T, used, strict=True):
        if alive:
            scaled = column / column[np.flatnonzero(column)[0]]
            groups.setdefault(tuple(scaled.round(12)), []).append(name)
    return CircuitReport(
        n_qubits=circuit.n_qubits,
        n_inputs=circuit.n_inputs,
        n_parameters=circuit.n_parameters,
        n_effective=int(np.linalg.matrix_rank(matrix)) if matrix.size else 0,
        dead=tuple(name for name, alive in zip(circuit.parameter_names, used, strict=True) if not alive),
        merged=tuple(tuple(group) for group in groups.values() if len(group) > 1),
        two_qubit_gates=_count(circuit),
        two_qubit_gates_needed=_count(prune(circuit, observables)[0]),
        stages=_stage_names(compiled),
    )


def prune(
    circuit: Circuit, observables: Sequence[Observable] | None = None
) -> tuple[Circuit, tuple[Observable, ...]]:
    """Leave out gates that the observables do not depend on, and trailing linear gates that they absorb.

    Returns
    -------
    circuit : Circuit
        With the gates that are left.
    observables : tuple of Observable
        What to read after it, one for each of the given ones; Z strings stay Z strings.
    """
    observables = each_z(circuit.n_qubits) if observables is None else observables
    rotations, pulled = to_rotations(circuit, observables)
    alive = {r.gate for r, live in zip(rotations, mark_live(rotations, pulled), strict=True) if live}
    rotating = {r.gate for r in rotations}
    kept, absorbed, busy = [], [], set[int]()
    for position in reversed(range(len(circuit.gates))):
        gate = circuit.gates[position]
        if position in rotating and position not in alive and gate.name != "H":
            continue  # H also moves the frame
        if position not in rotating and not busy & set(gate.qubits):
            absorbed.append(gate)
        else:
            kept.append(gate)
            busy |= set(gate.qubits)
    _, left = to_rotations(Circuit(circuit.n_qubits, reversed(absorbed)), observables)
    return Circuit(circuit.n_qubits, reversed(kept), circuit.name), left


def _count(circuit: Circuit) -> int:
    return sum(GATES[gate.name][0] == 2 for gate in circuit.gates)


def _stage_names(compiled: CompiledCircuit) -> tuple[str, ...]:
    names = []
    numbering, _ = stage_basis((), compiled.n_qubits)
    for position, stage in enumerate(compiled.stages):
        if isinstance(stage, Diagonal):
            names.append(f"diagonal ({len(stage.terms)})")
            continue
        wanted, _ = stage_basis(stage.rotations, compiled.n_qubits, numbering)
        if wanted != numbering and position:
            names.append("linear")
        numbering = wanted
        names.append(f"{'local' if position else 'product'} ({len(stage.rotations)})")
    return (*names, f"readout ({len({s for o in compiled.observables for s, _ in o})})")
