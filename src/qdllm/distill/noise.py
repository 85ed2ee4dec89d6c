"""Noise on the circuit's outputs while a student is trained, so that it learns to live with a chip's."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from qdllm.errors import ConfigError

__all__ = ["OutputNoise"]


class OutputNoise(nn.Module):
    """Damp, shift and spread expectation values in training, as a chip and a few shots do (QuantumNAT).

    z becomes scale · z + offset + spread · N(0, 1), and then a mean of `shots` outcomes of ±1, in the normal
    approximation. In evaluation nothing happens. (Wang et al., DAC 2022, inject errors into gates; what those
    come to, averaged over them, is an affine map of each value.)

    Parameters
    ----------
    n_observables : int
    shots : int, optional
        None for as many as one likes.
    scale, offset, spread : float or sequence of float, length n_observables
        Of each value.

    Raises
    ------
    ConfigError
        If a number is out of range, or there are too few or too many.
    """

    scale: Tensor
    offset: Tensor
    spread: Tensor

    def __init__(
        self,
        n_observables: int,
        *,
        shots: int | None = None,
        scale: float | Sequence[float] = 1.0,
        offset: float | Sequence[float] = 0.0,
        spread: float | Sequence[float] = 0.0,
    ) -> None:
        super().__init__()
        if shots is not None and shots < 1:
            raise ConfigError(f"noise.shots is {shots}: it must be at least 1")
        self.shots = shots
        for name, value in (("scale", scale), ("offset", offset), ("spread", spread)):
            tensor = torch.as_tensor(value, dtype=torch.float32)
            if tensor.ndim and tensor.shape != (n_observables,):
                raise ConfigError(f"noise.{name} has {len(tensor)} numbers, the readout {n_observables}")
            if not bool(torch.isfinite(tensor).all()) or (name == "spread" and bool((tensor < 0).any())):
                raise ConfigError(f"noise.{name} must be finite{', at least 0' if name == 'spread' else ''}")
            self.register_buffer(name, tensor, persistent=False)
        # Whoever trains gives its own, which a checkpoint restores.
        self.generator: torch.Generator | None = None

    def forward(self, z: Tensor) -> Tensor:
        """Map expectation values (batch, n_observables) to noisy ones."""
        if not self.training or self.generator is None:
            return z
        z = self.scale * z + self.offset + self.spread * self._normal(z)
        if self.shots is None:
            return z
        variance = (1 - z.square()).clamp_min(0) / self.shots
        return z + (variance + 1e-12).sqrt() * self._normal(z)

    def _normal(self, z: Tensor) -> Tensor:
        return torch.randn(z.shape, generator=self.generator, dtype=z.dtype)

    def extra_repr(self) -> str:
        """Name what no weight shows."""
        numbers = {name: getattr(self, name).tolist() for name in ("scale", "offset", "spread")}
        return f"shots={self.shots}, {numbers}"
