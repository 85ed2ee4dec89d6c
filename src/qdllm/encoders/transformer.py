"""Pooled hidden states of a pretrained transformer, kept on disk."""

import math
import re
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from qdllm.data import VectorCache, cached_map
from qdllm.data import cache_dir as default_cache_dir
from qdllm.encoders.base import Encoder, SavedEncoder, digest
from qdllm.errors import ConfigError, SavedModelError
from qdllm.extras import require
from qdllm.files import read_json

__all__ = ["TransformerEncoder"]

_MAX_TOKENS = 256
_BATCH = 256  # texts written to the cache at once
_TOKENIZER = {".json", ".txt", ".model"}  # configurations among them, which are small
_MODULES = {"Transformer", "Pooling", "Normalize"}  # of sentence-transformers
_POOLINGS = {
    "cls": "cls",
    "mean": "mean",
    "lasttoken": "last",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "last",
}


class TransformerEncoder(Encoder):
    """A frozen Hugging Face model without its head: one layer's hidden states, pooled over a text's tokens.

    A sentence-transformers folder is obeyed: its pooling, normalisation, prompt and maximal length. A plain
    Hugging Face model gets mean pooling and no normalisation. Features are computed in bfloat16 where the
    machine does so natively, else in float32, pooled in float32, and computed once: they stay in the cache
    folder under the content of the model and all settings.

    Parameters
    ----------
    source : str or Path
        A pinned asset ("minilm", "smollm2"), a folder, a GGUF file or a name on the Hugging Face hub.
    layer : int, optional
        Which block's output, from 1; later blocks are never computed. The last one unless given; middle ones
        of a causal language model make better features.
    pooling : {"mean", "last", "mean+last", "cls"}, optional
        What the folder says unless given; "mean+last" with a layer.
    max_tokens : int, optional
        A text is cut there; the folder's limit, at most 256, unless given. Never more than the model takes.
    cache_dir : path, optional
        Where the cache is.

    Attributes
    ----------
    recipe : Recipe
        The pooling, the limit and all else that holds for this encoder.

    Raises
    ------
    ConfigError
        If there is no such model, or it asks for what is not supported.
    NetworkError
        If the model is on the hub and the hub cannot be reached.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        layer: int | None = None,
        pooling: str | None = None,
        max_tokens: int | None = None,
        cache_dir: str | Path | None = None,
    ) -> None:
        from qdllm import models

        if max_tokens is not None and max_tokens < 1:
            raise ConfigError(f"max_tokens {max_tokens}: at least 1")
        if pooling is not None and pooling not in models.POOLINGS:
            raise ConfigError(f"pooling {pooling!r}: not one of {', '.join(models.POOLINGS)}")
        path = Path(source).expanduser()
        self.source = str(path.resolve()) if path.exists() else str(source)
        self.name = self.source + (f"@{layer}" if layer else "") + (f":{pooling}" if pooling else "")
        self._folder = models.local_folder(self.source)
        recipe = _recipe(self._folder) if layer is None else Recipe(pooling="mean+last")
        self.layer = layer
        self.recipe = recipe._replace(
            pooling=pooling or recipe.pooling, max_tokens=max_tokens or min(recipe.max_tokens, _MAX_TOKENS)
        )
        self._chosen = {"source": self.source, "layer": layer, "pooling": pooling, "max_tokens": max_tokens}
        self._cache_dir = Path(cache_dir) if cache_dir else default_cache_dir()
        depth = self._config.num_hidden_layers
        if layer is not None and not 1 <= layer <= depth:
            raise ConfigError(f"encoder {self.name!r}: layer {layer}, but the model has layers 1 to {depth}")

    @cached_property
    def fingerprint(self) -> str:
        """See `Encoder.fingerprint`; equal for equal content wherever the model's folder lies."""
        return digest(self._settings())

    @property
    def dim(self) -> int:
        """The model's hidden size, twice that for "mean+last"."""
        return int(self._config.hidden_size * len(self.recipe.pooling.split("+")))

    @cached_property
    def n_parameters(self) -> int:
        """The model's weights, without blocks behind the layer used."""
        return sum(numbers for numbers, _ in self._tensors)

    @property
    def n_bytes(self) -> int:
        """The weights as they are stored, without blocks behind the layer used, and the tokenizer."""
        weights = sum(numbers * bits // 8 for numbers, bits in self._tensors)
        files = (file for file in self._folder.iterdir() if file.suffix in _TOKENIZER)
        return weights + sum(file.stat().st_size for file in files)

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer in the form of the package tokenizers.

        Raises
        ------
        ConfigError
            If the model comes without one.
        """
        file = self._folder / "tokenizer.json"
        if not file.is_file():
            raise ConfigError(f"{self._folder}: no tokenizer.json, so no tokenizer for other tools")
        return file

    @cached_property
    def _tensors(self) -> list[tuple[int, int]]:
        """How many numbers each tensor that is used has, and of how many bits."""
        safetensors = require("safetensors", "llm", "reading a Hugging Face model")
        found = []
        for file in sorted(self._folder.glob("*.safetensors")):
            with safetensors.safe_open(file, framework="numpy") as weights:
                for key in weights.keys():  # noqa: SIM118 - it is not a dict
                    block = re.search(r"\.(\d+)\.", key)
                    if self.layer is None or block is None or int(block[1]) < self.layer:
                        tensor = weights.get_slice(key)
                        bits = re.search(r"\d+", tensor.get_dtype())
                        found.append((math.prod(tensor.get_shape()), int(bits[0]) if bits else 8))
        return found

    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        cache = VectorCache(self._cache_dir / "features", self._settings())
        return cached_map(
            cache, texts, self._compute, batch_size=_BATCH, description=f"encoding with {self.name}"
        )

    def _compute(self, texts: list[str]) -> NDArray[np.float32]:
        from qdllm import models

        model, tokenizer = self._model
        recipe, layer = self.recipe, self.layer or models.layer_count(model)
        if recipe.lowercase:
            texts = [text.lower() for text in texts]
        texts = [recipe.prompt + text for text in texts]
        x = models.hidden_states(
            model, tokenizer, texts, [layer], recipe.pooling, max_tokens=recipe.max_tokens
        )
        return x / np.linalg.norm(x, axis=1, keepdims=True) if recipe.normalize else x

    @cached_property
    def _model(self) -> tuple[Any, Any]:
        from qdllm import models

        return models.load_encoder(self.source)

    @cached_property
    def _config(self) -> Any:
        auto_config = require("transformers", "llm", "reading a Hugging Face model").AutoConfig
        try:
            config = auto_config.from_pretrained(self._folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(
                f"{self._folder}: not a model transformers can read ({str(error)[:200]})"
            ) from error
        if config.is_encoder_decoder:
            raise ConfigError(
                f"{self._folder}: an encoder-decoder model; give an encoder or a causal language model"
            )
        return config.get_text_config()

    def _settings(self, dtype: str | None = None) -> dict[str, Any]:
        """Everything a feature depends on besides the text, as JSON."""
        import torch

        from qdllm import models

        of_dtype = getattr(torch, dtype) if dtype else None
        return {
            "kind": "features",
            "model": models.fingerprint(self.source, dtype=of_dtype),
            "layer": self.layer,
            **self.recipe._asdict(),
        }

    def _type(self) -> Literal["transformer"]:
        return "transformer"

    def _options(self) -> dict[str, Any]:
        from qdllm import models

        return self._chosen | {"dtype": str(models.preferred_dtype()).removeprefix("torch.")}

    @classmethod
    def _load(cls, folder: Path, saved: SavedEncoder, cache_dir: str | Path | None) -> "TransformerEncoder":
        try:
            settings = _Saved.model_validate(saved.options)
        except ValidationError as error:
            raise SavedModelError(f"{folder}: the encoder's settings were altered; save it again") from error
        encoder = cls(**settings.model_dump(exclude={"dtype"}), cache_dir=cache_dir)
        # The machine may compute in another dtype now, which changes little; it must be the same model.
        if digest(encoder._settings(settings.dtype)) != saved.fingerprint:
            raise SavedModelError(
                f"{folder}: the model {settings.source!r} is not the one this encoder was saved with; "
                "bring that one back"
            )
        return encoder


class _Saved(BaseModel):
    """The settings of a saved encoder."""

    model_config = ConfigDict(extra="forbid")

    source: str
    layer: int | None
    pooling: str | None
    max_tokens: int | None
    dtype: Literal["bfloat16", "float32"]


class Recipe(NamedTuple):
    """How the hidden states of a model are made into features."""

    pooling: str = "mean"
    normalize: bool = False
    max_tokens: int = _MAX_TOKENS
    prompt: str = ""
    lowercase: bool = False


def _recipe(folder: Path) -> Recipe:
    """Read the recipe of a sentence-transformers folder; a plain Hugging Face folder has the default one."""
    root = folder.parent if folder.name == "0_Transformer" else folder
    if not (root / "modules.json").is_file():
        return Recipe()
    modules = {
        str(module["type"]).rsplit(".", 1)[-1]: module["path"] for module in read_json(root / "modules.json")
    }
    if unknown := sorted(set(modules) - _MODULES):
        raise ConfigError(
            f"{root}: the sentence-transformers module {unknown[0]} is not supported; those that are: "
            + ", ".join(sorted(_MODULES))
        )
    limits = _optional(root / modules.get("Transformer", "") / "sentence_bert_config.json")
    prompts = _optional(root / "config_sentence_transformers.json")
    pooling = _optional(root / modules.get("Pooling", "") / "config.json") if "Pooling" in modules else {}
    prompt = (prompts.get("prompts") or {}).get(prompts.get("default_prompt_name")) or ""
    if prompt and not pooling.get("include_prompt", True):
        raise ConfigError(f"{root}: a prompt left out of the pooling is not supported; choose another model")
    return Recipe(
        pooling=_pooling(pooling, root) if pooling else "mean",
        normalize="Normalize" in modules,
        max_tokens=limits.get("max_seq_length") or _MAX_TOKENS,
        prompt=prompt,
        lowercase=bool(limits.get("do_lower_case")),
    )


def _pooling(config: dict[str, Any], root: Path) -> str:
    """Translate the pooling of sentence-transformers: a mode by name, or a flag for each mode."""
    modes = [config["pooling_mode"]] if "pooling_mode" in config else []
    modes += [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    if len(modes) != 1 or modes[0] not in _POOLINGS:
        raise ConfigError(
            f"{root}: pooling {', '.join(map(str, modes))} is not supported; mean, cls and last are"
        )
    return _POOLINGS[modes[0]]


def _optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
