"""The n-gram table as a torch module: what is trained together with a student."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from scipy import sparse

__all__ = ["NgramTable"]

# Root mean square length of a text's row of input: what makes a vector move as far in a step as a student's
# other parameters do, although most texts of a batch have nothing to say about it.
_LENGTH = 60.0


class NgramTable(nn.Module):
    """Vectors of n-grams, begun at 0, so that an n-gram that training never moves says nothing.

    Rows of input are scaled to one length on average, so that one step size suits any texts.

    Parameters
    ----------
    bags : csr_matrix, shape (n, n_slots)
        The texts that training looks at (`NgramEncoder.weighted_bags`).
    idf : ndarray of float32, shape (n_slots,)
        What they are weighted with.
    dim : int
        Length of a vector.
    """

    idf: Tensor
    ends: Tensor
    slots: Tensor
    weights: Tensor

    def __init__(self, bags: sparse.csr_matrix, idf: NDArray[np.float32], dim: int) -> None:
        super().__init__()
        scale = _LENGTH * np.sqrt(bags.shape[0] / max(np.square(bags.data).sum(), 1.0))
        self.digest = sha256(
            b"".join(a.tobytes() for a in (bags.indptr, bags.indices, bags.data))
        ).hexdigest()
        self.vectors = nn.Parameter(torch.zeros(bags.shape[1], dim))
        self._keep("idf", scale * idf, np.float32)
        self._keep("ends", bags.indptr, np.int64)
        self._keep("slots", bags.indices, np.int64)
        self._keep("weights", scale * bags.data, np.float32)

    def forward(self, rows: Tensor) -> Tensor:
        """Numbers of texts (batch,) to features (batch, dim)."""
        lengths = self.ends[rows + 1] - self.ends[rows]
        offsets = lengths.cumsum(0) - lengths
        first = (self.ends[rows] - offsets).repeat_interleave(lengths)
        entries = first + torch.arange(len(first), device=first.device)
        features: Tensor = functional.embedding_bag(
            self.slots[entries],
            self.vectors,
            offsets,
            mode="sum",
            per_sample_weights=self.weights[entries],
        )
        return features

    def table(self) -> NDArray[np.float32]:
        """Return what to multiply a bag with, shape (n_slots, dim)."""
        return np.asarray((self.idf[:, None] * self.vectors.detach()).cpu().numpy())

    def _keep(self, name: str, values: NDArray[Any], dtype: type[np.generic]) -> None:
        """Hold what moves with the module and is no parameter of it, and not saved."""
        self.register_buffer(name, torch.as_tensor(values.astype(dtype)), persistent=False)
