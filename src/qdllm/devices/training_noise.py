"""What a chip does to a student's outputs, for training with it."""

from typing import Any

import numpy as np
import torch

from qdllm.circuits import make_ansatz, parse_observables, readout_labels
from qdllm.devices.backends import SimulatorBackend
from qdllm.devices.calibration import Calibration
from qdllm.devices.layout import best_path
from qdllm.devices.lowering import lower
from qdllm.devices.mitigation import AffineCorrection
from qdllm.devices.reading import allot_shots, prepare, read
from qdllm.simulate import StatevectorSimulator

__all__ = ["chip_noise"]

_INPUTS, _SHOTS = 64, 2048
_ANGLE = 0.3  # standard deviation of the random parameters, as trained ones have it


def chip_noise(
    calibration: Calibration, ansatz: str, n_qubits: int, n_layers: int, readout: str, *, seed: int = 0
) -> dict[str, Any]:
    """Return options of `qdllm.distill.OutputNoise` for a circuit that is not trained yet.

    Random inputs are simulated on the chip with random parameters near 0, and every observable's measured
    values fitted as a line in its exact ones.

    Parameters
    ----------
    calibration : Calibration
    ansatz, n_qubits, n_layers, readout
        As `qdllm.Student` takes them.
    seed : int
    """
    rng = np.random.default_rng(seed)
    circuit = make_ansatz(ansatz, n_qubits, n_layers)
    circuit = circuit.bind(parameters=rng.normal(0.0, _ANGLE, circuit.n_parameters).tolist())
    labels = readout_labels(readout, n_qubits)
    lowered = lower(circuit, parse_observables(labels, n_qubits))
    inputs = rng.uniform(0.0, np.pi, (_INPUTS, circuit.n_inputs))
    none = torch.zeros(0, dtype=torch.float64)
    exact = StatevectorSimulator(circuit, labels)(torch.as_tensor(inputs), none).numpy()
    runs = prepare(lowered, inputs, best_path(calibration, lowered))
    shots = allot_shots(runs, _SHOTS).tolist()
    counts = SimulatorBackend("training", calibration).run(runs.batch, shots, seed=seed)
    nothing = np.zeros((1, len(labels)))
    found = AffineCorrection(runs, exact).combine(read(lowered, runs, counts, nothing, np.zeros(1)))
    return {
        "scale": found.slope.tolist(),
        "offset": found.offset.tolist(),
        "spread": np.sqrt(found.residual).tolist(),
    }
