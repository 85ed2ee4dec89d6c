"""A model's name by its content: what expensive results are filed under."""

import hashlib
import json
from pathlib import Path

import torch

from qdllm.errors import ConfigError
from qdllm.files import read_json
from qdllm.models.contenthash import content_hash
from qdllm.models.loading import local_folder, preferred_dtype

__all__ = ["fingerprint"]

_CONTENT = ("*.safetensors", "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "*.model")
_HISTORY = {"_name_or_path", "transformers_version"}  # fields of a config that do not change what it computes


def fingerprint(name: str | Path, *, dtype: torch.dtype | None = None) -> str:
    """Hash a model's weights, tokenizer and configuration, and the dtype it would be computed in.

    File hashes are remembered by path, size and time of change, so only the first call reads the weights.

    Parameters
    ----------
    name : str or Path
        Whatever `local_folder` takes.
    dtype : torch.dtype, optional
        `preferred_dtype` unless given; to check a name that was made on a machine with another one.

    Returns
    -------
    str
        32 hexadecimal digits. Equal for equal content wherever the folder lies.

    Raises
    ------
    ConfigError
        If there is no such model or it has no safetensors weights.
    """
    folder = local_folder(name)
    if not any(folder.glob("*.safetensors")):
        raise ConfigError(f"{folder}: no *.safetensors weights in this folder; convert the model first")
    files = {path for pattern in _CONTENT for path in folder.glob(pattern) if path.is_file()}
    config = read_json(folder / "config.json")
    content = {
        "files": {path.name: content_hash(path) for path in sorted(files)},
        "config": {key: value for key, value in config.items() if key not in _HISTORY},
        "dtype": str(dtype or preferred_dtype()),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
