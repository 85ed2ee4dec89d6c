"""The student as a torch module: projection → encoding → circuit → expectation values → linear readout."""

import math
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn

from qdllm.circuits import Circuit, make_encoding, readout_labels
from qdllm.distill import OutputNoise
from qdllm.simulate import StatevectorSimulator

__all__ = ["ProjectedModel", "StudentModel"]


class ProjectedModel(nn.Module):
    """Any model that begins with a linear map of the features, `projection`: what `Student` can train."""

    projection: nn.Linear

    @torch.no_grad()
    def fold_scaling(self, mean: Tensor, scale: Tensor) -> None:
        """Let the projection take raw features where it took (x − mean) / scale."""
        weight = self.projection.weight.double() / scale.double()
        self.projection.bias.copy_(self.projection.bias.double() - weight @ mean.double())
        self.projection.weight.copy_(weight)


class StudentModel(ProjectedModel):
    """A variational circuit between two linear maps.

    Parameters
    ----------
    n_features, n_classes : int
        Width of the input and of the logits.
    circuit : Circuit
        Its inputs are angles in radians.
    encoding : str
        Name of the map from the projection's output to angles (`qdllm.circuits.make_encoding`).
    readout : str
        Which products of Zs the linear readout is of (`qdllm.circuits.READOUTS`).
    seed : int
        Seeds the initial parameters.
    noise : mapping, optional
        Options of `qdllm.distill.OutputNoise`, which disturbs ⟨Z⟩ in training.
    phases : float
        The projection's biases begin uniform between -phases and phases.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        circuit: Circuit,
        encoding: str,
        readout: str,
        seed: int,
        noise: Mapping[str, Any] | None = None,
        phases: float = 0.0,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.circuit = circuit
        self.encoding = make_encoding(encoding)
        self.observables = readout_labels(readout, circuit.n_qubits)
        self.simulator = StatevectorSimulator(circuit, self.observables)
        self.projection = nn.Linear(n_features, circuit.n_inputs)
        self.theta = nn.Parameter(torch.empty(circuit.n_parameters))
        self.readout = nn.Linear(len(self.observables), n_classes)
        self.noise = OutputNoise(len(self.observables), **(noise or {}))
        nn.init.normal_(self.projection.weight, std=1 / math.sqrt(n_features), generator=generator)
        # Near the identity, far from the flat middle of parameter space (barren plateaus).
        nn.init.normal_(self.theta, std=0.1, generator=generator)
        nn.init.normal_(self.readout.weight, std=1 / math.sqrt(len(self.observables)), generator=generator)
        nn.init.zeros_(self.readout.bias)
        # A sine is odd in its angle; a phase lets it tell both ends of a feature from its middle.
        nn.init.uniform_(self.projection.bias, -phases, phases, generator=generator)

    def angles(self, x: Tensor) -> Tensor:
        """Features (batch, n_features) to input angles in radians (batch, n_inputs)."""
        angles: Tensor = self.encoding(self.projection(x))
        return angles

    def forward(self, x: Tensor) -> Tensor:
        """Features (batch, n_features) to logits (batch, n_classes)."""
        logits: Tensor = self.readout(self.noise(self.simulator(self.angles(x), self.theta)))
        return logits

    def extra_repr(self) -> str:
        """Name what no weight shows; `qdllm.distill.train` tells checkpoints of different students by it."""
        gates = sha256("; ".join(map(str, self.circuit.gates)).encode()).hexdigest()[:16]
        noise = self.noise.extra_repr()
        return f"encoding={self.encoding.name}, circuit={self.circuit.name}, gates={gates}, noise={noise}"
