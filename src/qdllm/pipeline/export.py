"""`qdllm export`: a student's formula, or a saved surrogate, for other tools."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from qdllm.encoders import Encoder, TransformerEncoder, load_encoder
from qdllm.errors import ConfigError
from qdllm.files import atomic_path, write_text
from qdllm.pipeline.run_folder import student_folder
from qdllm.pipeline.surrogate import load_surrogate_of
from qdllm.surrogate import Surrogate, TextSurrogate
from qdllm.surrogate.exports import text_to_onnx, to_c, to_onnx, to_python, write_npz
from qdllm.surrogate.text import ENCODER_FOLDER

__all__ = ["FORMULA_SUFFIXES", "export_formula"]

FORMULA_SUFFIXES = {"c": ".h", "numpy": ".npz", "onnx": ".onnx", "python": ".py"}
"""What a file of each format ends with."""


def export_formula(
    path: str | Path, kind: Literal["c", "numpy", "onnx", "python"], out: str | Path, max_error: float
) -> str:
    """Write a surrogate, or that of a run's student, for other tools.

    Parameters
    ----------
    path : path
        A run, a saved student or a saved surrogate.
    kind : {"c", "numpy", "onnx", "python"}
    out : path
        Ends as `FORMULA_SUFFIXES` says.
    max_error : float
        Of a student that is compiled here: how far a logit may be from its own, at any angles.

    Returns
    -------
    str
        What was written, in a sentence.

    Raises
    ------
    ConfigError
        If `out` ends otherwise, or the student's encoder does not suit the format.
    """
    target, folder = Path(out), student_folder(path)
    if target.suffix != FORMULA_SUFFIXES[kind]:
        raise ConfigError(f"{target}: --format {kind} writes a file that ends with {FORMULA_SUFFIXES[kind]}")
    encoder_folder = folder / ENCODER_FOLDER
    encoder = load_encoder(encoder_folder) if kind in ("onnx", "python") and encoder_folder.is_dir() else None
    surrogate = load_surrogate_of(folder, max_error)
    proven = f"no logit off by more than {surrogate.certificate.max_error:.3g}"
    if kind == "c":
        write_text(target, to_c(surrogate))
        return f"features to logits, {proven}"
    if kind == "numpy":
        return f"the numbers, and {write_npz(surrogate, target)} to predict with them, {proven}"
    if kind == "python":
        if encoder is None:
            raise ConfigError(f"{folder}: no encoder here, so no whole model for --format python")
        write_text(target, to_python(TextSurrogate(surrogate, encoder)))
        return f"texts to classes, {proven}"
    return f"{_write_onnx(surrogate, encoder, target)}, {proven}"


def _write_onnx(surrogate: Surrogate, encoder: Encoder | None, target: Path) -> str:
    """Write the encoder in front where it is one transformer, and its tokenizer beside the graph."""
    whole = isinstance(encoder, TransformerEncoder) and encoder.layer is None
    if isinstance(encoder, TransformerEncoder) and whole:
        model = text_to_onnx(surrogate, encoder)
        tokenizer = target.with_name(f"{target.stem}-tokenizer.json")
        with atomic_path(tokenizer) as temporary:
            shutil.copyfile(encoder.tokenizer_file, temporary)
        what = f"token ids to probabilities, {tokenizer.name} beside it"
    else:
        model, what = to_onnx(surrogate), "features to probabilities"
    with atomic_path(target) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return what
