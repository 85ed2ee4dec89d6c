"""A transformer encoder and a surrogate as one ONNX graph: token ids in, probabilities out."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

from qdllm.errors import ConfigError
from qdllm.extras import require
from qdllm.surrogate.exports.onnx_graph import IR_VERSION, OPSET, to_onnx

if TYPE_CHECKING:
    from qdllm.encoders import TransformerEncoder
    from qdllm.surrogate.surrogate import Surrogate

__all__ = ["text_to_onnx"]


def text_to_onnx(surrogate: Surrogate, encoder: TransformerEncoder) -> Any:
    """Return the ONNX model: ``input_ids`` and ``attention_mask`` (n, tokens) to logits and probabilities.

    The tokenizer stays apart: texts are cut to `encoder.recipe.max_tokens` and padded on the right.

    Parameters
    ----------
    surrogate : Surrogate
    encoder : TransformerEncoder
        The last layer of a model without a head.

    Raises
    ------
    ConfigError
        If the encoder takes a middle layer.
    MissingExtraError
        If the package onnx or onnxscript is not installed.
    """
    require("onnx", "onnx", "an ONNX export")
    require("onnxscript", "onnx", "an ONNX export of an encoder")
    import torch
    from onnx import compose

    from qdllm.models import load_encoder, pool, quiet

    if encoder.layer is not None:
        raise ConfigError(f"encoder {encoder.name!r}: only an encoder's last layer goes into one graph")
    recipe = encoder.recipe
    model, _ = load_encoder(encoder.source, dtype=torch.float32)

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            states = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            x = pool(states, attention_mask, recipe.pooling)
            return x / x.norm(dim=1, keepdim=True) if recipe.normalize else x

    ids, mask = torch.ones(2, 2, 7, dtype=torch.int64)
    mask[1, 5:] = 0  # without any padding the exporter would leave the mask out
    free = {0: torch.export.Dim("n"), 1: torch.export.Dim("tokens", max=recipe.max_tokens)}
    with quiet(), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter about itself
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            Pooled().eval(),
            (ids, mask),
            input_names=["input_ids", "attention_mask"],
            output_names=["features"],
            opset_version=OPSET,
            dynamic_shapes=(free, free),
            dynamo=True,
            verbose=False,
        )
    front: Any = program.model_proto  # type: ignore[union-attr]
    front.ir_version = IR_VERSION
    back = compose.add_prefix(to_onnx(surrogate), "student_", rename_inputs=False, rename_outputs=False)
    merged = compose.merge_models(front, back, io_map=[("features", "features")])
    del merged.metadata_props[:]
    merged.metadata_props.extend(back.metadata_props)
    return merged
