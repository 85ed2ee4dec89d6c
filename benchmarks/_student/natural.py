"""The circuit's angles by quantum natural gradient, and by gradient descent to compare it with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from _student.training import Technique
from qdllm.circuits import compile_circuit
from qdllm.distill import Batch
from qdllm.simulate.torch_engine import TorchEngine
from qdllm.student import StudentModel

__all__ = ["GradientDescent", "NaturalGradient", "fubini_study"]

# Of one rotation by itself, exp(−i t P/2), on a state that it turns most.
_ALONE = 0.25


class GradientDescent(Technique):
    """Plain gradient descent for the circuit's angles, AdamW for the rest.

    Parameters
    ----------
    rate : float
        Step size of the angles at the start, of a gradient divided by the metric ¼ of one rotation by itself;
        it falls as AdamW's does. Their decay stays AdamW's.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def step(self, model: StudentModel, optimizer: torch.optim.Optimizer, x: Tensor) -> None:
        """See `Technique.step`."""
        gradient, model.theta.grad = model.theta.grad, None  # AdamW leaves alone what has no gradient
        if gradient is None:
            raise ValueError("the angles have no gradient")
        optimizer.step()
        adam = float(optimizer.param_groups[0]["lr"])
        falling = adam / self.options.learning_rate
        with torch.no_grad():
            model.theta.mul_(1 - adam * self.options.circuit_decay)
            model.theta.sub_(self.rate * falling * self.direction(model, gradient, x))

    def direction(self, model: StudentModel, gradient: Tensor, x: Tensor) -> Tensor:  # noqa: ARG002
        """Return the direction of steepest ascent."""
        return gradient / _ALONE


class NaturalGradient(GradientDescent):
    """Quantum natural gradient (Stokes et al., Quantum 4 (2020) 269, arXiv 1909.02108).

    The gradient is divided by the Fubini–Study metric, the whole matrix, a mean over rows of the batch.

    Parameters
    ----------
    rate : float
        See `GradientDescent`.
    damping : float
        Added to the metric's diagonal, above 0: angles that merge or do nothing leave it singular.
    every : int
        Steps from one look at the metric to the next.
    rows : int
        Rows that it is a mean over.
    """

    def __init__(self, rate: float, *, damping: float = 0.01, every: int = 50, rows: int = 4) -> None:
        super().__init__(rate)
        self.damping = damping
        self.every = every
        self.rows = rows

    def begin(self, model: StudentModel, training: Batch) -> list[nn.Parameter]:  # noqa: ARG002
        """See `Technique.begin`."""
        self.engine = TorchEngine(compile_circuit(model.circuit))
        self.steps = 0
        return []

    @torch.no_grad()
    def direction(self, model: StudentModel, gradient: Tensor, x: Tensor) -> Tensor:
        """See `GradientDescent.direction`."""
        if self.steps % self.every == 0:
            metric = fubini_study(self.engine, model.angles(x[: self.rows]), model.theta)
            self.factor = torch.linalg.cholesky(metric + self.damping * torch.eye(len(metric)))
        self.steps += 1
        return torch.cholesky_solve(gradient[:, None], self.factor)[:, 0]


@torch.no_grad()
def fubini_study(engine: TorchEngine, inputs: Tensor, parameters: Tensor) -> Tensor:
    """Return the Fubini–Study metric of a circuit's state in its parameters, a mean over inputs.

    Re⟨∂ᵢψ|∂ⱼψ⟩ − ⟨∂ᵢψ|ψ⟩⟨ψ|∂ⱼψ⟩ of the state as it is compiled: without what no observable sees.

    Parameters
    ----------
    engine : TorchEngine
    inputs : Tensor, shape (batch, n_inputs)
    parameters : Tensor, shape (n_parameters,)

    Returns
    -------
    Tensor, shape (n_parameters, n_parameters)
        Symmetric and positive semidefinite.
    """
    state = _planes(engine._run(inputs, parameters))
    moves = _planes(torch.func.jacfwd(lambda angles: engine._run(inputs, angles))(parameters))
    together = torch.einsum("pkbi,pkbj->ij", moves, moves)
    # ⟨∂ψ|ψ⟩ is imaginary, since a state keeps its norm.
    (real, imaginary), (real_moves, imaginary_moves) = state, moves
    along = torch.einsum("kbi,kb->bi", real_moves, imaginary) - torch.einsum(
        "kbi,kb->bi", imaginary_moves, real
    )
    return (together - along.T @ along) / len(inputs)


def _planes(state: Tensor) -> Tensor:
    """Give a state that is real its imaginary plane."""
    return state if len(state) == 2 else torch.cat([state, torch.zeros_like(state)])
