"""The n-gram table as a torch module: what is trained together with a student."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

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

    def __init__(self, bags: sparse.csr_matrix, idf: NDArray[np.float32], dim: int) -> None:
        super().__init__()
        scale = _LENGTH * np.sqrt(bags.shape[0] / max(np.square(bags.data).sum(), 1.0))
        self.digest = sha256(
            b"".join(a.tobytes() for a in (bags.indptr, bags.indices, bags.data))
        ).hexdigest()
        self.vectors = nn.Parameter(torch.zeros(bags.shape[1], dim))
        self._idf = torch.as_tensor((scale * idf).astype(np.float32))
        self._ends = torch.as_tensor(bags.indptr.astype(np.int64))
        self._slots = torch.as_tensor(bags.indices.astype(np.int64))
        self._weights = torch.as_tensor((scale * bags.data).astype(np.float32))

    def forward(self, rows: Tensor) -> Tensor:
        """Numbers of texts (batch,) to features (batch, dim)."""
        lengths = self._ends[rows + 1] - self._ends[rows]
        offsets = lengths.cumsum(0) - lengths
        entries = torch.arange(int(lengths.sum())) + (self._ends[rows] - offsets).repeat_interleave(lengths)
        slots, weights = self._slots[entries], self._weights[entries]
        features: Tensor = functional.embedding_bag(
            slots, self.vectors, offsets, mode="sum", per_sample_weights=weights
        )
        return features

    def table(self) -> NDArray[np.float32]:
        """Return what to multiply a bag with, shape (n_slots, dim)."""
        return np.asarray((self._idf[:, None] * self.vectors.detach()).numpy())
