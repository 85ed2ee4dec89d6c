"""Pooled hidden states of chosen layers, for any model made of a list of blocks."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qdllm.errors import ConfigError
from qdllm.models.loading import quiet

__all__ = [
    "POOLINGS",
    "encode_batches",
    "hidden_states",
    "keep_layers",
    "layer_count",
    "pool",
    "token_limit",
]

POOLINGS = ("mean", "last", "mean+last", "cls")


def layer_count(model: Any) -> int:
    """Return the number of blocks; `hidden_states` numbers them from 1."""
    return int(model.config.get_text_config().num_hidden_layers)


def keep_layers(model: Any, layers: Collection[int]) -> None:
    """Take all blocks out of a model, in place, but these; they stay in their order.

    Parameters
    ----------
    model
        What a loader of this package returned; with a head or without.
    layers : collection of int
        Which blocks stay, from 1 to `layer_count`.

    Raises
    ------
    ConfigError
        If a layer does not exist, or the model is not made of one list of blocks.
    """
    config, depth = model.config.get_text_config(), layer_count(model)
    if not layers or min(layers) < 1 or max(layers) > depth:
        raise ConfigError(f"layers {list(layers)}: this model has layers 1 to {depth}")
    blocks = _blocks(model.base_model, depth)
    if blocks is None:
        raise ConfigError(f"a {type(model).__name__} has no list of blocks to take layers from")
    for layer in range(depth, 0, -1):
        if layer not in layers:
            del blocks[layer - 1]
    config.num_hidden_layers = len(blocks)
    if getattr(config, "layer_types", None):  # of models whose blocks attend in different ways
        config.layer_types = [kind for i, kind in enumerate(config.layer_types, start=1) if i in layers]


def token_limit(model: Any, tokenizer: Any, max_tokens: int) -> int:
    """Return the largest number of tokens, at most `max_tokens`, that the model takes."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return int(min(max_tokens, tokenizer.model_max_length, positions or max_tokens))


def hidden_states(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    layers: Sequence[int],
    pooling: str = "mean+last",
    *,
    max_tokens: int = 256,
    tokens_per_batch: int | None = None,
) -> NDArray[np.float32]:
    """Compute pooled hidden states; blocks behind the deepest layer asked for are never computed.

    Parameters
    ----------
    model, tokenizer
        What a loader of this package returned; with a head or without.
    texts : sequence of str, length n
        A text longer than `max_tokens` is cut.
    layers : sequence of int
        Which blocks' outputs, 1 to `layer_count`. The last one is taken after the model's final norm, as
        transformers' ``output_hidden_states`` does.
    pooling : {"mean", "last", "mean+last", "cls"}
        Over the tokens of a text; "mean+last" joins the two, "cls" is the first token.
    max_tokens : int
        Special tokens included.
    tokens_per_batch : int, optional
        Padded tokens computed at once; texts of like length go together. By default what keeps a CPU's caches
        or a GPU busy.

    Returns
    -------
    ndarray of float32, shape (n, len(layers) * width)
        Layers one after the other; width is the model's hidden size, twice that for "mean+last".

    Raises
    ------
    ConfigError
        If a layer or the pooling does not exist.
    """
    depth = layer_count(model)
    if pooling not in POOLINGS:
        raise ConfigError(f"pooling {pooling!r}: not one of {', '.join(POOLINGS)}")
    if not layers or min(layers) < 1 or max(layers) > depth:
        raise ConfigError(f"layers {list(layers)}: this model has layers 1 to {depth}")
    base = model.base_model
    rows: dict[int, NDArray[np.float32]] = {}
    with torch.inference_mode():
        for indices, ids, mask in encode_batches(
            model, tokenizer, texts, max_tokens=max_tokens, tokens_per_batch=tokens_per_batch
        ):
            states = _forward(base, ids, mask, layers, depth)
            pooled = torch.cat([pool(states[layer], mask, pooling) for layer in layers], dim=1)
            rows.update(zip(indices, pooled.cpu().numpy(), strict=True))
    width = model.config.get_text_config().hidden_size * (2 if pooling == "mean+last" else 1)
    return (
        np.stack([rows[i] for i in range(len(texts))]) if rows else np.zeros((0, len(layers) * width), "f4")
    )


def pool(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Pool a batch's hidden states over the tokens of its mask, in float32.

    Parameters
    ----------
    states : Tensor, shape (b, t, d)
    mask : Tensor, shape (b, t)
        1 where there is a token; padding is on the right.
    pooling : {"mean", "last", "mean+last", "cls"}
        See `hidden_states`.

    Returns
    -------
    Tensor of float32, shape (b, d), or (b, 2d) for "mean+last"
    """
    lengths = mask.sum(dim=1)
    parts = []
    if "mean" in pooling:
        weights = mask[:, :, None].to(torch.float32)
        parts.append((states.float() * weights).sum(dim=1) / lengths[:, None])
    if "last" in pooling:
        parts.append(states[torch.arange(len(states), device=states.device), lengths - 1].float())
    if pooling == "cls":
        parts.append(states[:, 0].float())
    return torch.cat(parts, dim=1)


def encode_batches(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    max_tokens: int = 256,
    tokens_per_batch: int | None = None,
) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor]]:
    """Tokenise texts and yield them in batches of like length, longest first, on the model's device.

    Yields
    ------
    indices : list of int, length b
        Which texts these are.
    ids : Tensor of int64, shape (b, t)
        Padded on the right.
    mask : Tensor of int64, shape (b, t)
        1 where there is a token.
    """
    if not texts:
        return
    limit = token_limit(model, tokenizer, max_tokens)
    with quiet():
        encoded = tokenizer(list(texts), truncation=True, max_length=limit)["input_ids"]
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    encoded = [ids or [padding] for ids in encoded]  # a text may come to no token at all
    budget = tokens_per_batch or (1024 if model.device.type == "cpu" else 16_384)
    order = sorted(range(len(texts)), key=lambda i: -len(encoded[i]))
    start = 0
    while start < len(order):
        length = len(encoded[order[start]])
        indices = order[start : start + max(1, budget // length)]
        start += len(indices)
        ids = torch.full((len(indices), length), padding)
        mask = torch.zeros((len(indices), length), dtype=torch.int64)
        for row, index in enumerate(indices):
            ids[row, : len(encoded[index])] = torch.tensor(encoded[index])
            mask[row, : len(encoded[index])] = 1
        yield indices, ids.to(model.device), mask.to(model.device)


class _DeepEnough(Exception):  # noqa: N818 - a signal, not an error
    """Raised by the hook of the deepest block asked for, to leave the forward pass there."""


def _forward(
    base: Any, ids: torch.Tensor, mask: torch.Tensor, layers: Sequence[int], depth: int
) -> dict[int, torch.Tensor]:
    """Return the outputs of the chosen blocks, each (b, t, d)."""
    blocks = _blocks(base, depth)
    if blocks is None:
        outputs = base(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        return {layer: outputs.hidden_states[layer] for layer in layers}
    states: dict[int, torch.Tensor] = {}
    deepest = max(layers)

    def keep(layer: int) -> Callable[..., None]:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            states[layer] = output[0] if isinstance(output, tuple) else output
            if layer == deepest:
                raise _DeepEnough

        return hook

    with _hooks({blocks[layer - 1]: keep(layer) for layer in layers if layer < depth}):
        try:
            outputs = base(input_ids=ids, attention_mask=mask)
        except _DeepEnough:
            return states
    states[depth] = outputs.last_hidden_state
    return states


def _blocks(base: Any, depth: int) -> Any | None:
    """Find the list of blocks: the only module list as long as the model is deep."""
    lists = [m for m in base.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == depth]
    return lists[0] if len(lists) == 1 else None


@contextmanager
def _hooks(hooks: dict[Any, Callable[..., None]]) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
