"""What every encoder is: texts in, one feature vector a text out, and a folder that brings it back."""

import hashlib
import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qdllm.data import TextDataset
from qdllm.errors import DataError, SavedModelError, WorkError
from qdllm.files import atomic_folder, folder_bytes, read_json, write_json

__all__ = ["Encoder", "SavedEncoder", "digest", "read_saved"]

CONFIG = "config.json"


class Encoder(ABC):
    """Turns texts into features.

    Nothing here scales features: their statistics come from training rows alone, and are the student's.

    Attributes
    ----------
    name : str
        What the encoder is called in reports; `make_encoder` takes it.
    """

    name: str

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """32 hexadecimal digits that name everything the features depend on besides the text."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Length of a feature vector."""

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """How many numbers the encoder needs at inference."""

    @property
    def n_trained(self) -> int:
        """How many of them are trained together with a student."""
        return 0

    @property
    def n_bytes(self) -> int:
        """How many bytes on disk the encoder needs at inference."""
        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder) / "encoder")
            return folder_bytes(folder)

    def fit(self, texts: Sequence[str]) -> Self:
        """Learn from training texts; a pretrained encoder has nothing to learn.

        Parameters
        ----------
        texts : sequence of str
            Of training rows alone; labels are not needed.

        Raises
        ------
        DataError
            If there are no texts, or one of them cannot be used.
        """
        if checked := _checked(texts):
            self._fit(checked)
            return self
        raise DataError(f"encoder {self.name!r}: no texts to fit on; give the training texts")

    def encode(self, texts: Sequence[str], *, cached: bool = True) -> NDArray[np.float32]:
        """Compute the features of texts.

        Parameters
        ----------
        texts : sequence of str, length n
        cached : bool
            Take from the cache what is there. Without it every text costs what a new one costs.

        Returns
        -------
        ndarray of float32, shape (n, dim)
            All finite.

        Raises
        ------
        DataError
            If a text cannot be used; the message names the row.
        ConfigError
            If the encoder has to be fitted first.
        WorkError
            If a model gives numbers that are not finite.
        """
        checked = _checked(texts)
        if not checked:
            return np.zeros((0, self.dim), dtype=np.float32)
        x = self._encode(checked) if cached else self._compute(checked)
        if not np.isfinite(x).all():
            row = int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0]) + 1
            raise WorkError(
                f"encoder {self.name!r}: the features of text {row} are not finite; choose another model"
            )
        return x

    def save(self, folder: str | Path) -> None:
        """Write the encoder into `folder`, atomically; `load_encoder` brings it back.

        A pretrained encoder writes the name of its model and not the weights.
        """
        with atomic_folder(folder) as temporary:
            self._write_state(temporary)
            saved = SavedEncoder(
                type=self._type(), name=self.name, fingerprint=self.fingerprint, options=self._options()
            )
            write_json(temporary / CONFIG, saved.model_dump(mode="json", by_alias=True))

    def _fit(self, texts: list[str]) -> None:  # noqa: B027 - pretrained encoders have nothing to do
        pass

    @abstractmethod
    def _type(self) -> Literal["tfidf", "transformer", "joined", "ngrams"]: ...

    @abstractmethod
    def _encode(self, texts: list[str]) -> NDArray[np.float32]: ...

    def _compute(self, texts: list[str]) -> NDArray[np.float32]:
        """Encode without a cache; overridden by those that have one."""
        return self._encode(texts)

    @abstractmethod
    def _options(self) -> dict[str, Any]:
        """Return what the constructor was given, as JSON."""

    def _write_state(self, folder: Path) -> None:  # noqa: B027 - pretrained encoders have none
        """Write what was learnt."""


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Literal["qdllm.encoder"] = "qdllm.encoder"
    version: Literal[1] = 1


class SavedEncoder(BaseModel):
    """What config.json of a saved encoder holds."""

    model_config = ConfigDict(extra="forbid", validate_by_name=True, validate_by_alias=True)

    schema_: _Schema = Field(default_factory=_Schema, alias="schema")
    type: Literal["tfidf", "transformer", "joined", "ngrams"]
    name: str
    fingerprint: str
    options: dict[str, Any]


def read_saved(folder: Path) -> SavedEncoder:
    """Read config.json of a saved encoder.

    Raises
    ------
    SavedModelError
        If it is missing, is not JSON, or is not an encoder's.
    """
    try:
        return SavedEncoder.model_validate(read_json(folder / CONFIG))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise SavedModelError(f"{folder / CONFIG}, {where}: {first['msg']}; not a saved encoder") from error
    except DataError as error:
        raise SavedModelError(f"{error}; save the encoder again") from error


def digest(content: Any) -> str:
    """Hash JSON values to 32 hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _checked(texts: Sequence[str]) -> list[str]:
    return list(TextDataset.from_lists(texts, name="texts").texts)
