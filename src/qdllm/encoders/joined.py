"""Several encoders side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qdllm.encoders.base import Encoder, digest
from qdllm.errors import ConfigError

__all__ = ["JoinedEncoder"]


class JoinedEncoder(Encoder):
    """The features of several encoders, one after the other.

    Parameters
    ----------
    parts : sequence of Encoder
        At least two.

    Raises
    ------
    ConfigError
        If there are fewer, or one is there twice.
    """

    def __init__(self, parts: Sequence[Encoder]) -> None:
        names = [part.name for part in parts]
        if len(names) < 2 or len(set(names)) < len(names):
            raise ConfigError(f"encoders {names}: join at least two, each of them once")
        self.parts = tuple(parts)
        self.name = "+".join(names)

    @property
    def fingerprint(self) -> str:
        """See `Encoder.fingerprint`."""
        return digest([part.fingerprint for part in self.parts])

    @property
    def dim(self) -> int:
        """The sum over the parts."""
        return sum(part.dim for part in self.parts)

    @property
    def n_parameters(self) -> int:
        """The sum over the parts."""
        return sum(part.n_parameters for part in self.parts)

    @property
    def n_bytes(self) -> int:
        """The sum over the parts."""
        return sum(part.n_bytes for part in self.parts)

    def _fit(self, texts: list[str]) -> None:
        for part in self.parts:
            part.fit(texts)

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        return np.concatenate([part.encode(texts) for part in self.parts], axis=1)

    def _compute(self, texts: list[str]) -> NDArray[np.float32]:
        return np.concatenate([part.encode(texts, cached=False) for part in self.parts], axis=1)

    def _type(self) -> Literal["joined"]:
        return "joined"

    def _options(self) -> dict[str, Any]:
        return {"parts": [f"part-{number}" for number in range(len(self.parts))]}

    def _write_state(self, folder: Path) -> None:
        for number, part in enumerate(self.parts):
            part.save(folder / f"part-{number}")
