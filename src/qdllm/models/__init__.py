"""Hugging Face models behind small functions: load one, name it by its content, read its hidden states."""

from qdllm.models.fingerprint import fingerprint
from qdllm.models.hidden import (
    POOLINGS,
    encode_batches,
    hidden_states,
    keep_layers,
    layer_count,
    pool,
    token_limit,
)
from qdllm.models.loading import (
    load_causal_lm,
    load_classifier,
    load_encoder,
    load_untaught,
    local_folder,
    model_kind,
    preferred_device,
    preferred_dtype,
    quiet,
    resolve,
)

__all__ = [
    "POOLINGS",
    "encode_batches",
    "fingerprint",
    "hidden_states",
    "keep_layers",
    "layer_count",
    "load_causal_lm",
    "load_classifier",
    "load_encoder",
    "load_untaught",
    "local_folder",
    "model_kind",
    "pool",
    "preferred_device",
    "preferred_dtype",
    "quiet",
    "resolve",
    "token_limit",
]
