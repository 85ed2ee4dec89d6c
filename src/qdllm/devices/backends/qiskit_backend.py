"""Any Qiskit ``BackendV2``: IBM's fake backends, Braket's local simulator and others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qdllm.devices.backends.base import Limits
from qdllm.devices.batch import CircuitBatch, Counts, repeats
from qdllm.devices.calibration import Calibration, Coupler, Qubit
from qdllm.errors import ConfigError
from qdllm.extras import require

__all__ = ["QiskitBackend", "calibration_from_target", "fake_backend", "to_qiskit", "transpiled"]

_TWO_QUBIT_GATES = ("cz", "ecr", "cx", "rzz")


class QiskitBackend:
    """Run on a ``BackendV2``: circuits lie on the layout's qubits, and Qiskit translates their gates.

    Parameters
    ----------
    name : str
    backend : qiskit.providers.BackendV2
    calibration : Calibration, optional
        By default that of the backend's target, where it has one.
    is_real : bool
    """

    def __init__(
        self, name: str, backend: Any, calibration: Calibration | None = None, *, is_real: bool = False
    ) -> None:
        self.name = name
        self.is_real = is_real
        self._backend = backend
        self._calibration = calibration
        self.limits = Limits(n_qubits=backend.num_qubits, uniform=True)

    def run(self, batch: CircuitBatch, shots: Sequence[int], *, seed: int) -> list[Counts]:
        """Run circuits; return the counts of each."""
        circuits = transpiled(batch, self._backend, seed)
        options = {"seed_simulator": seed} if "seed_simulator" in vars(self._backend.options) else {}
        result = self._backend.run(circuits, shots=shots[0], **options).result()
        return [
            Counts.from_keys(result.get_counts(row), len(batch.layout), self.name)
            for row in range(len(batch))
        ]

    def calibration(self) -> Calibration | None:
        """Return the calibration that the target holds, None if it holds no errors."""
        return self._calibration or calibration_from_target(self._backend.target, self.name)

    def target(self) -> Any:
        """Return the Qiskit ``Target``."""
        return self._backend.target


def fake_backend(name: str) -> QiskitBackend:
    """Return IBM's fake backend of that name, such as ``torino``.

    Raises
    ------
    ConfigError
        If there is none.
    MissingExtraError
        If ``qiskit-ibm-runtime`` is not installed.
    """
    provider = require("qiskit_ibm_runtime.fake_provider", "ibm", "a fake backend")
    classes = (f"Fake{name.capitalize()}", f"Fake{name.capitalize()}V2")
    found = next((getattr(provider, known) for known in classes if hasattr(provider, known)), None)
    if found is None:
        raise ConfigError(f"no fake backend {name!r}: try torino, sherbrooke or manila")
    require("qiskit_aer", "aer", "a fake backend's noise")
    return QiskitBackend(f"fake:{name}", found())


def to_qiskit(batch: CircuitBatch, row: int) -> Any:
    """Return one circuit, on its wires, as a Qiskit ``QuantumCircuit`` that measures wire w into bit w."""
    qiskit = require("qiskit", "qiskit", "a Qiskit backend")
    circuit = qiskit.QuantumCircuit(len(batch.layout), len(batch.layout))
    for gate, again in repeats(batch.physical(row)):
        if again:
            circuit.barrier(*gate.qubits)
        getattr(circuit, gate.name.lower())(*(angle.constant for angle in gate.angles), *gate.qubits)
    circuit.measure(range(len(batch.layout)), range(len(batch.layout)))
    return circuit


def transpiled(batch: CircuitBatch, backend: Any, seed: int) -> list[Any]:
    """Return the circuits in the backend's gates, on the layout's qubits."""
    qiskit = require("qiskit", "qiskit", "a Qiskit backend")
    circuits = [to_qiskit(batch, row) for row in range(len(batch))]
    found: list[Any] = qiskit.transpile(
        circuits,
        backend,
        initial_layout=list(batch.layout),
        optimization_level=1,
        seed_transpiler=seed,
        num_processes=1,
    )
    return found


def calibration_from_target(target: Any, chip: str) -> Calibration | None:
    """Read a calibration from a Qiskit ``Target``.

    Returns
    -------
    Calibration or None
        None if the target holds no errors, as that of a simulator.

    Raises
    ------
    ConfigError
        If it holds some of what is needed: the message names the missing figure.
    """
    gate = next((name for name in _TWO_QUBIT_GATES if name in target.operation_names), None)
    pairs = target[gate] if gate else {}
    if target.qubit_properties is None or not any(
        found is not None and found.error is not None for found in pairs.values()
    ):
        return None
    one = next(name for name in ("sx", "ry", "rx", "x") if name in target.operation_names)
    qubits = {}
    for number, about in enumerate(target.qubit_properties):
        rotation, measure = target[one].get((number,)), target["measure"].get((number,))
        figures: dict[str, Any] = {
            "T1": getattr(about, "t1", None),
            "T2": getattr(about, "t2", None),
            f"error of {one}": getattr(rotation, "error", None),
            "error of measure": getattr(measure, "error", None),
        }
        missing = next((name for name, value in figures.items() if value is None), None)
        if missing:
            raise ConfigError(f"{chip}: qubit {number}: the calibration has no {missing}")
        t1, t2, error, misread = (float(value) for value in figures.values())
        # A figure of 1 marks what does not work.
        qubits[number] = Qubit(t1 * 1e6, t2 * 1e6, min(error, 0.5), min(misread, 0.45), min(misread, 0.45))
    fidelities: dict[tuple[int, int], float] = {}
    for (a, b), found in pairs.items():
        error = 1.0 if found is None or found.error is None else min(found.error, 1.0)
        fidelities[min(a, b), max(a, b)] = max(fidelities.get((min(a, b), max(a, b)), 0.0), 1.0 - error)
    durations = [found.duration for found in pairs.values() if found is not None and found.duration]
    singles = [found.duration for found in target[one].values() if found is not None and found.duration]
    if not durations or not singles:
        raise ConfigError(f"{chip}: the calibration has no durations of {one} and {gate}")
    return Calibration(
        chip=chip,
        date="",
        source="the backend's own target",
        measured=True,
        one_qubit_ns=sorted(singles)[len(singles) // 2] * 1e9,
        two_qubit_ns=sorted(durations)[len(durations) // 2] * 1e9,
        qubits=qubits,
        couplers=tuple(Coupler(pair, fidelity) for pair, fidelity in sorted(fidelities.items())),
    )
