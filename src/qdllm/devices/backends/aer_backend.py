"""Qiskit Aer with a calibrated chip's errors, put in gate by gate: the check of our own simulator."""

from collections.abc import Sequence
from typing import Any

from qdllm.circuits import Circuit
from qdllm.devices.backends.base import Limits
from qdllm.devices.batch import CircuitBatch, Counts
from qdllm.devices.calibration import Calibration
from qdllm.extras import require
from qdllm.simulate import NoiseModel, Site, fault_sites

__all__ = ["AerBackend"]


class AerBackend:
    """Sample outcomes with Aer.

    Parameters
    ----------
    name : str
    calibration : Calibration, optional
        None for a chip without errors.
    method : str
        Aer's: ``"density_matrix"``, or ``"statevector"`` for one trajectory a shot.
    twirled : bool
        Whether relaxation while waiting is a Pauli channel, as in our simulator, or as it is.

    Raises
    ------
    MissingExtraError
        If ``qiskit-aer`` is not installed.
    """

    is_real = False

    def __init__(
        self,
        name: str,
        calibration: Calibration | None,
        *,
        method: str = "automatic",
        twirled: bool = True,
    ) -> None:
        self._aer = require("qiskit_aer", "aer", "Aer")
        self._noise = require("qiskit_aer.noise", "aer", "Aer")
        self._qiskit = require("qiskit", "qiskit", "Aer")
        self.name = name
        self.limits = Limits(uniform=True)
        self._calibration = calibration
        self._method = method
        self._twirled = twirled

    def run(self, batch: CircuitBatch, shots: Sequence[int], *, seed: int) -> list[Counts]:
        """Run circuits; return the counts of each."""
        noise = None if self._calibration is None else self._calibration.noise(batch.layout)
        sites = [] if noise is None else fault_sites(batch.circuit, noise)
        circuits = [
            self.circuit(batch.circuit.bind(angles.tolist()), sites, noise) for angles in batch.angles
        ]
        simulator = self._aer.AerSimulator(method=self._method, noise_model=self._misreading(noise))
        result = simulator.run(circuits, shots=shots[0], seed_simulator=seed).result()
        n_wires = len(batch.layout)
        return [Counts.from_keys(result.get_counts(row), n_wires, self.name) for row in range(len(batch))]

    def circuit(self, circuit: Circuit, sites: Sequence[Site], noise: NoiseModel | None) -> Any:
        """Return a bound circuit in Qiskit's form, each CNOT a CZ between Hadamards, with its errors."""
        at: dict[int, list[Site]] = {}
        for site in sites:
            at.setdefault(site.gate, []).append(site)
        made = self._qiskit.QuantumCircuit(circuit.n_qubits, circuit.n_qubits)
        self._strike(made, at.get(-1, []), "rotation", noise)
        for position, gate in enumerate(circuit.gates):
            if len(gate.qubits) == 1:
                getattr(made, gate.name.lower())(gate.angles[0].constant, gate.qubits[0])
                continue
            turned = gate.qubits[1:] if gate.name == "CNOT" else ()
            for target in turned:
                made.h(target)
            made.cz(*gate.qubits)
            self._strike(made, at.get(position, []), "cz", noise)
            self._strike(made, at.get(position, []), "idle", noise)
            for target in turned:
                made.h(target)
            self._strike(made, at.get(position, []), "rotation", noise)
        made.measure(range(circuit.n_qubits), range(circuit.n_qubits))
        return made

    def calibration(self) -> Calibration | None:
        """Return the calibration that is simulated."""
        return self._calibration

    def target(self) -> None:
        """Return None: every qubit is joined to every other."""

    def _strike(self, made: Any, sites: Sequence[Site], kind: str, noise: NoiseModel | None) -> None:
        for site in sites:
            if site.kind == kind:
                made.append(self._error(site, noise).to_instruction(), list(site.wires))

    def _error(self, site: Site, noise: NoiseModel | None) -> Any:
        if site.kind == "idle" and not self._twirled and noise is not None:
            wire = site.wires[0]
            return self._noise.thermal_relaxation_error(noise.t1[wire], noise.t2[wire], site.time)
        # Aer writes the first qubit last.
        paulis = [(name[::-1], probability) for name, probability in site.paulis.items()]
        spared = 1.0 - sum(probability for _, probability in paulis)
        return self._noise.pauli_error([*paulis, ("I" * len(site.wires), spared)])

    def _misreading(self, noise: NoiseModel | None) -> Any:
        if noise is None:
            return None
        model = self._noise.NoiseModel()
        for wire in range(noise.n_qubits):
            one, zero = noise.read_1_as_0[wire], noise.read_0_as_1[wire]
            model.add_readout_error(self._noise.ReadoutError([[1 - zero, zero], [one, 1 - one]]), [wire])
        return model
