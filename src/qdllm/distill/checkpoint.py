"""A training run on disk: everything that the next epoch depends on, in one safetensors file."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from qdllm.files import atomic_path

if TYPE_CHECKING:
    from qdllm.distill.training import TrainingHistory

__all__ = ["Checkpoint"]


class Checkpoint:
    """One file, written after each epoch and read at the start.

    Parameters
    ----------
    path : Path
        Where it lies.
    identity : str
        A digest of model, rows, loss and options; a file with another identity counts as not there.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self.identity = identity

    def exists(self) -> bool:
        """Tell whether there is a readable file that belongs to this training."""
        if not self.path.is_file():
            return False
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
        except SafetensorError:
            return False
        return metadata.get("identity") == self.identity

    def save(
        self,
        model: nn.Module,
        best: dict[str, Tensor],
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        history: "TrainingHistory",
    ) -> None:
        """Write the state after an epoch; a crash leaves the file of the epoch before."""
        tensors = {"generator": generator.get_state()}
        tensors |= {f"model.{name}": value for name, value in model.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in best.items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
        metadata = {"identity": self.identity, "history": json.dumps(asdict(history))}
        with atomic_path(self.path) as temporary:
            save_file({name: value.clone() for name, value in tensors.items()}, temporary, metadata=metadata)

    def load(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        history: "TrainingHistory",
    ) -> dict[str, Tensor]:
        """Restore everything in place; return the best parameters so far."""
        with safe_open(self.path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            recorded = json.loads(file.metadata()["history"])
        for name, value in recorded.items():
            setattr(history, name, value)
        generator.set_state(tensors["generator"])
        model.load_state_dict(_below("model.", tensors))
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _below("optimizer.", tensors).items():
            index, entry = name.split(".", 1)
            state.setdefault(int(index), {})[entry] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        return _below("best.", tensors)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
