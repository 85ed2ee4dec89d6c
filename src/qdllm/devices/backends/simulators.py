"""Our own simulators: exact probabilities, or a calibrated chip's errors."""

from collections.abc import Sequence

import torch

from qdllm.devices.backends.base import Limits
from qdllm.devices.batch import CircuitBatch, Counts
from qdllm.devices.calibration import Calibration
from qdllm.simulate import NoisySimulator

__all__ = ["SimulatorBackend"]


class SimulatorBackend:
    """Sample outcomes; with a calibration, as noisy as that chip.

    Parameters
    ----------
    name : str
    calibration : Calibration, optional
        None for a chip without errors.
    """

    is_real = False

    def __init__(self, name: str, calibration: Calibration | None) -> None:
        self.name = name
        self.limits = Limits()
        self._calibration = calibration

    def run(self, batch: CircuitBatch, shots: Sequence[int], *, seed: int) -> list[Counts]:
        """Run circuits; return the counts of each."""
        noise = None if self._calibration is None else self._calibration.noise(batch.layout)
        simulator = NoisySimulator(batch.circuit, noise)
        outcomes = simulator.sample(
            torch.as_tensor(batch.angles), torch.zeros(0), shots=list(shots), seed=seed
        )
        return [Counts.of(found) for found in outcomes]

    def calibration(self) -> Calibration | None:
        """Return the calibration that is simulated."""
        return self._calibration

    def target(self) -> None:
        """Return None: there is no Qiskit target."""
